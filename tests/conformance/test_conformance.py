"""Our binary and PGlite on Node, given the same bytes, give the same bytes back.

One test per corpus file. Both engines live through the whole session and are reset between files;
after a file with a mismatch both are replaced, so that the next file begins from equal states.
"""

from pathlib import Path

import compare
import corpus
import engine_pair
import extension_scripts
import pgwire
import pytest

HERE = Path(__file__).resolve().parent
DIFFERENCES = compare.load(HERE / "differences.toml")
MISMATCHES_SHOWN = 12


def reference_broke(path: Path, answer: bytes) -> str | None:
    """Why Node's answer is none (it swallows traps and goes on with a broken engine)."""
    if answer.startswith(b"ERROR: "):
        return answer.decode(errors="replace")
    result = pgwire.Result(answer)
    if any(e.get("S") == "PANIC" for e in result.errors):
        return result.describe()
    if path.suffix == ".sql" and result.status is None:
        return "no ReadyForQuery"
    return None


@pytest.mark.parametrize("path", corpus.files(), ids=lambda path: path.name)
def test_same_answers(path, pair, summary):
    requests = corpus.load(path)
    listed = {d.statement: d for d in DIFFERENCES if d.file == path.name}
    unused = set(listed)
    mismatches = []
    pair.open()
    clean = False
    try:
        for request in requests + [
            corpus.Request(f"(reset) {sql}", pgwire.query(sql)) for sql in engine_pair.RESET
        ]:
            try:
                difference = listed.get(compare.squeeze(request.label))
                ours, theirs = pair.exchange(request.payload, apart=difference is not None)
            except (pgwire.PortClosed, pgwire.PortTimeout) as e:
                pytest.fail(f"{request.label}\n{e}", pytrace=False)
            broken = reference_broke(path, theirs)
            if broken:
                pytest.fail(f"PGlite on Node broke ({broken}) at:\n{request.label}", pytrace=False)
            summary["requests"] += 1
            summary["errors"] += any(m.kind == "E" for m in pgwire.split(theirs))
            if compare.equal(ours, theirs):
                continue
            if difference and compare.same(ours, theirs, difference):
                unused.discard(difference.statement)
                summary["listed"] += 1
                continue
            mismatches.append(compare.report(request.label, ours, theirs))
        # After a startup packet a session reports its role, which PGlite's has not, again and again.
        clean = not mismatches and path.name != "startup.py"
    finally:
        if not clean:
            pair.close()
    summary["files"] += 1
    if mismatches:
        shown = mismatches[:MISMATCHES_SHOWN]
        head = f"{len(mismatches)} of {len(requests)} answers differ"
        if len(shown) < len(mismatches):
            head += f" (the first {len(shown)} are shown)"
        pytest.fail("\n\n".join([head, *shown]), pytrace=False)
    if unused:
        pytest.fail(
            "differences.toml lists statements that are not in the file or do not differ:\n"
            + "\n".join(sorted(unused)),
            pytrace=False,
        )


def test_corpus_is_large_enough():
    """The issue asks for at least 300 statements."""
    count = sum(len(corpus.load(path)) for path in corpus.files())
    assert count >= 500, count


def test_differences_name_existing_files():
    names = {path.name for path in corpus.files()}
    names |= {f"extensions/{script.name}.sql" for script in extension_scripts.scripts()}
    assert [d.file for d in DIFFERENCES if d.file not in names] == []

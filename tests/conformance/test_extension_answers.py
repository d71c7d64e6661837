"""What the extensions' tests ask (tests/integration/extensions), asked of both engines.

All extensions are in one pair of them, but for those that PGlite on Node does not answer with others beside them.
"""

from pathlib import Path

import compare
import corpus  # noqa: F401  (puts pgwire on the path)
import engine_pair
import extension_scripts
import pgwire
import pytest
from test_conformance import DIFFERENCES, MISMATCHES_SHOWN, reference_broke

SCRIPTS = extension_scripts.scripts()


# Found here: with others loaded pgcrypto's ciphers "cannot be initialized" or pg_trgm's % calls a null function, and PGlite
# does not start with two libraries that are preloaded.
APART = {"pg_trgm", "pgcrypto"} | {script.name for script in SCRIPTS if script.preload}


@pytest.fixture(scope="module")
def pairs():
    """By name of the extension; of all others, by ""."""
    archives = engine_pair.extension_archives()
    made = {"": engine_pair.Pair([archive for archive in archives if name_of(archive) not in APART])}
    for script in SCRIPTS:
        if script.name in APART:
            made[script.name] = engine_pair.Pair([archive for archive in archives if name_of(archive) == script.name],
                                                 [script.name] if script.preload else [])
    yield made
    for pair in made.values():
        pair.close()


def name_of(archive):
    return archive.name.removesuffix(".tar.gz")


def requests(script, helpers):
    """The second half comes twice."""
    found = [step.statement for step in extension_scripts.helpers()] if helpers else []
    found += ["discard all;", *script.opening, *(step.statement for step in script.first)]
    for _ in range(2):
        found += ["discard all;", script.path, *(step.statement for step in script.again)]
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_same_answers(script, pairs, summary):
    file = f"extensions/{script.name}.sql"
    listed = {d.statement: d for d in DIFFERENCES if d.file == file}
    unused = set(listed)
    mismatches = []
    pair = pairs[script.name if script.name in APART else ""]
    fresh = pair.ours is None
    pair.open()
    clean = False
    try:
        for statement in requests(script, fresh):
            difference = listed.get(compare.squeeze(statement))
            try:
                ours, theirs = pair.exchange(pgwire.query(statement), apart=difference is not None)
            except (pgwire.PortClosed, pgwire.PortTimeout) as e:
                pytest.fail(f"{statement}\n{e}", pytrace=False)
            broken = reference_broke(Path(file), theirs)
            if broken:
                pytest.fail(f"PGlite on Node broke ({broken}) at:\n{statement}", pytrace=False)
            summary["requests"] += 1
            summary["errors"] += any(m.kind == "E" for m in pgwire.split(theirs))
            if compare.equal(ours, theirs):
                continue
            if difference and compare.same(ours, theirs, difference):
                unused.discard(difference.statement)
                summary["listed"] += 1
                continue
            mismatches.append(compare.report(statement, ours, theirs))
        clean = not mismatches
    finally:
        if not clean or script.name in APART:
            pair.close()
    summary["files"] += 1
    assert not mismatches, "\n\n".join([f"{len(mismatches)} answers differ", *mismatches[:MISMATCHES_SHOWN]])
    assert not unused, "differences.toml lists statements that are not there or do not differ"


def test_ours_answers_beside_others():
    """Why some are apart: on Node, the newer ones, the order in which libraries come decides which of them work."""
    archives = [archive for archive in engine_pair.extension_archives() if name_of(archive) in ("pgcrypto", "pg_trgm")]
    archives.reverse()  # the other way round it works
    pair = engine_pair.Pair(archives)
    pair.open()
    try:
        for statement in ("create extension pg_trgm;", "create extension pgcrypto;"):
            ours, theirs = pair.exchange(pgwire.query(statement))
            assert ours == theirs
        ours, _ = pair.exchange(pgwire.query("select 'abc' % 'abd', encode(digest('abc', 'md5'), 'hex');"))
        assert pgwire.Result(ours).rows == [("t", "900150983cd24fb0d6963f7d28e17f72")]
    finally:
        pair.close()

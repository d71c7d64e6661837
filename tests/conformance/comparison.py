"""A list of requests that both engines answer, compared."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from pathlib import Path

import compare
import engine_pair
import pgwire
import pytest

DIFFERENCES = compare.load(Path(__file__).with_name("differences.toml"))
MISMATCHES_SHOWN = 12


def reference_broke(answer: bytes, is_sql: bool) -> str | None:
    """Why Node's answer is none (it swallows traps and goes on with a broken engine)."""
    if answer.startswith(b"ERROR: "):
        return answer.decode(errors="replace")
    result = pgwire.Result(answer)
    if any(e.get("S") == "PANIC" for e in result.errors):
        return result.describe()
    if is_sql and result.status is None:
        return "no ReadyForQuery"
    return None


class Comparison:
    """`file` is the name by which differences.toml lists what may differ."""

    def __init__(self, pair: engine_pair.Pair, file: str, summary: MutableMapping[str, int]):
        self._pair = pair
        self._is_sql = file.endswith(".sql")
        self._summary = summary
        self._listed = {d.statement: d for d in DIFFERENCES if d.file == file}
        self._unused = set(self._listed)
        self._asked = 0
        self._mismatches: list[str] = []

    @property
    def equal(self) -> bool:
        return not self._mismatches

    def ask(self, requests: Iterable[tuple[str, bytes]]) -> None:
        """Asks (label, bytes) of both. What no more can be asked after fails the test."""
        for label, payload in requests:
            difference = self._listed.get(compare.squeeze(label))
            try:
                ours, theirs = self._pair.exchange(payload, apart=difference is not None)
            except (pgwire.PortClosed, pgwire.PortTimeout) as e:
                pytest.fail(f"{label}\n{e}", pytrace=False)
            if broken := reference_broke(theirs, self._is_sql):
                pytest.fail(f"PGlite on Node broke ({broken}) at:\n{label}", pytrace=False)
            self._asked += 1
            self._summary["requests"] += 1
            self._summary["errors"] += any(m.kind == "E" for m in pgwire.split(theirs))
            if compare.equal(ours, theirs):
                continue
            if difference and compare.same(ours, theirs, difference):
                self._unused.discard(difference.statement)
                self._summary["listed"] += 1
            else:
                self._mismatches.append(compare.report(label, ours, theirs))

    def finish(self) -> None:
        """Fails the test where answers differ, or listed ones do not."""
        self._summary["files"] += 1
        if self._mismatches:
            shown = self._mismatches[:MISMATCHES_SHOWN]
            head = f"{len(self._mismatches)} of {self._asked} answers differ"
            if len(shown) < len(self._mismatches):
                head += f" (the first {len(shown)} are shown)"
            pytest.fail("\n\n".join([head, *shown]), pytrace=False)
        if self._unused:
            unused = "\n".join(sorted(self._unused))
            pytest.fail(f"differences.toml lists statements that are not in the file or do not differ:\n{unused}", pytrace=False)

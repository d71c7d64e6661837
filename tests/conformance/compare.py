"""Comparing two answers, and the list of known differences.

differences.toml holds [[difference]] tables:

    file       the corpus file's name
    statement  the whole statement (runs of white space count as one blank), or a script's label
    reason     why the answers cannot be equal
    and exactly one of
    columns    names of result columns whose values are not compared (whether null is compared)
    fields     letters of ErrorResponse/NoticeResponse fields that are not compared
    messages   type letters of backend messages whose bodies are not compared; "S:name" is the
               ParameterStatus of one parameter
    rows       "count": only the number of rows and the other messages are compared

An entry whose statement is gone, or whose answers have become equal, fails the test.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

import pgwire

LOOSENINGS = ("columns", "fields", "messages", "rows")


def squeeze(text: str) -> str:
    return " ".join(text.split())


@dataclass
class Difference:
    file: str
    statement: str
    reason: str
    columns: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    rows: str = ""

    def __post_init__(self) -> None:
        used = [name for name in LOOSENINGS if getattr(self, name)]
        if len(used) != 1:
            raise ValueError(f"{self.statement!r}: exactly one of {LOOSENINGS}, not {used}")
        if self.rows not in ("", "count"):
            raise ValueError(f"{self.statement!r}: rows = {self.rows!r}")
        if not self.reason.strip():
            raise ValueError(f"{self.statement!r}: no reason")
        self.statement = squeeze(self.statement)

    def loosen(self, messages: list[pgwire.Message]) -> list[object]:
        """What of an answer is still to be equal."""
        kept: list[object] = []
        ignored: set[int] = set()
        for m in messages:
            parameter = m.body.split(b"\0")[0].decode() if m.kind == "S" else ""
            if m.kind in self.messages or f"S:{parameter}" in self.messages:
                kept.append(m.kind + parameter)
            elif m.kind == "T" and self.columns:
                names = [c.name for c in pgwire.columns_of(m)]
                ignored = {i for i, name in enumerate(names) if name in self.columns}
                kept.append(m)
            elif m.kind == "D" and self.rows == "count":
                kept.append("row")
            elif m.kind == "D" and ignored:
                values = pgwire.values_of(m)
                kept.append(
                    tuple(
                        "ignored" if i in ignored and v is not None else v
                        for i, v in enumerate(values)
                    )
                )
            elif m.kind in "EN" and self.fields:
                fields = pgwire.fields_of(m)
                kept.append(
                    (m.kind, {k: "ignored" if k in self.fields else v for k, v in fields.items()})
                )
            else:
                kept.append(m)
        return kept


def load(path: Path) -> list[Difference]:
    table = tomllib.loads(path.read_text("utf-8"))
    return [Difference(**entry) for entry in table.get("difference", [])]


def _lines(answer: bytes) -> list[str]:
    try:
        return [pgwire.decode(m) for m in pgwire.split(answer)]
    except pgwire.ProtocolError as e:
        return [f"not whole messages ({e}): {answer[:400]!r}"]


def report(label: str, ours: bytes, theirs: bytes, context: int = 2) -> str:
    """A diff for people: '-' is PGlite on Node, '+' is pglite-port."""
    diff = list(
        difflib.unified_diff(_lines(theirs), _lines(ours), "PGlite on Node", "pglite-port",
                             n=context, lineterm="")
    )  # fmt: skip
    if not diff:  # decodes to the same lines: show the bytes
        at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), 0)
        diff = [
            f"the bytes differ from offset {at} of {len(theirs)} (Node) and {len(ours)} (ours):",
            f"-{theirs[max(0, at - 20) : at + 60]!r}",
            f"+{ours[max(0, at - 20) : at + 60]!r}",
        ]
    lines = [label, *diff[:60]]
    if len(diff) > 60:
        lines.append(f"... and {len(diff) - 60} lines more")
    return "\n".join(line if len(line) <= 1000 else line[:1000] + "..." for line in lines)


# initdb numbers what it makes in this order: collations, then information_schema. Here it finds ICU's locales and makes
# some 870 collations more, so the views have higher numbers.
INITDB_OIDS = range(12000, 16384)


def equal(ours: bytes, theirs: bytes) -> bool:
    """Whether the bytes are the same, but for the numbers of information_schema's views as origins of columns."""
    return ours == theirs or _without_views(ours) == _without_views(theirs)


def _without_views(answer: bytes) -> list[object]:
    try:
        return [
            [replace(c, table=INITDB_OIDS[0] if c.table in INITDB_OIDS else c.table) for c in pgwire.columns_of(m)]
            if m.kind == "T"
            else m
            for m in pgwire.split(answer)
        ]
    except pgwire.ProtocolError:
        return [answer]


def same(ours: bytes, theirs: bytes, difference: Difference) -> bool:
    try:
        return difference.loosen(pgwire.split(ours)) == difference.loosen(pgwire.split(theirs))
    except pgwire.ProtocolError:
        return False

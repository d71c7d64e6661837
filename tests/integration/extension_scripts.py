"""What each extension is tested with: extensions/NAME.sql.

A statement ends with the first line whose last character is `;` outside a dollar quote. What it is to answer stands
below it, one line each:

    --> a | b        a row, its columns as text, null for null
    --! 23505        an error's SQLSTATE, here the only line
    --# text         a notice that contains the text
    --@ name payload a notification

What is behind `-- after a restart` holds as well when the database is opened again, in a copy of it, in another session
of it, and any number of times. A first line `-- preload` says that the library has to be in shared_preload_libraries,
`-- not in a dump: REASON` that a SQL dump does not bring the second half back.

The tables of a file are in a schema of its own, extensions in public. helpers.sql has what the files use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import pgwire

DIRECTORY = Path(__file__).with_name("extensions")
AGAIN = "-- after a restart"
_DOLLAR = re.compile(r"\$(?:[A-Za-z_]\w*)?\$")


@dataclass
class Step:
    statement: str
    rows: list[str] = field(default_factory=list)
    error: str = ""
    notices: list[str] = field(default_factory=list)
    notifications: list[str] = field(default_factory=list)


@dataclass
class Script:
    name: str  # of the extension
    first: list[Step] = field(default_factory=list)
    again: list[Step] = field(default_factory=list)
    preload: bool = False
    dumped: bool = True

    @property
    def path(self) -> str:
        return f'set search_path = "test {self.name}", public;'

    @property
    def opening(self) -> list[str]:
        """What stands before the first half: not every library is one of an extension."""
        return [
            f"do $$ begin if exists (select from pg_available_extensions where name = '{self.name}') then "
            f'set client_min_messages = warning; create extension if not exists "{self.name}" cascade; '
            "reset client_min_messages; end if; end $$;",
            f'create schema "test {self.name}";',
            self.path,
        ]


def _open_dollar_quote(text: str) -> bool:
    tag = None
    for m in _DOLLAR.finditer(text):
        if tag is None:
            tag = m.group()
        elif m.group() == tag:
            tag = None
    return tag is not None


def load(path: Path) -> Script:
    script = Script(path.stem)
    steps, lines = script.first, []
    for line in path.read_text("utf-8").splitlines():
        if lines or not line.startswith("--"):
            lines.append(line)
            statement = "\n".join(lines)
            if line.endswith(";") and not _open_dollar_quote(statement):
                steps.append(Step(statement))
                lines = []
        elif line == AGAIN:
            steps = script.again
        elif line == "-- preload":
            script.preload = True
        elif line.startswith("-- not in a dump: "):
            script.dumped = False
        elif line.startswith("--> ") or line == "-->":
            steps[-1].rows.append(line[4:])
        elif line.startswith("--! "):
            steps[-1].error = line[4:]
        elif line.startswith("--# "):
            steps[-1].notices.append(line[4:])
        elif line.startswith("--@ "):
            steps[-1].notifications.append(line[4:])
        elif not line.startswith("-- "):
            raise ValueError(f"{path.name}: {line!r}")
    if lines:
        raise ValueError(f"{path.name}: the last statement does not end with ';'")
    return script


def scripts() -> list[Script]:
    return [load(path) for path in sorted(DIRECTORY.glob("*.sql")) if path.stem != "helpers"]


def helpers() -> list[Step]:
    return load(DIRECTORY / "helpers.sql").first


def shown(result: pgwire.Result) -> list[str]:
    return [" | ".join("null" if value is None else value for value in row) for row in result.rows]


def check(step: Step, result: pgwire.Result) -> None:
    where = f"{step.statement}\n{result.describe()}"
    assert (result.sqlstate or "") == step.error, where
    assert shown(result) == step.rows, where
    assert [f"{channel} {payload}" for channel, payload in result.notifications] == step.notifications, where
    for notice in step.notices:
        assert any(notice in said["M"] for said in result.notices), where


Query = Callable[[str], pgwire.Result]


def run_first(query: Query, script: Script) -> None:
    query("discard all").ok()
    for statement in script.opening:
        query(statement).ok()
    for step in script.first:
        check(step, query(step.statement))


def run_again(query: Query, script: Script) -> None:
    query("discard all").ok()
    query(script.path).ok()
    for step in script.again:
        check(step, query(step.statement))

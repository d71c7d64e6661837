"""The corpus: files of requests, each request one packet4 frame.

`corpus/*.sql` hold SQL. Each statement is sent as one simple Query. A statement ends with the
first line whose last character is `;`, unless a dollar quote is open there; so several statements
on one line are one Query (one implicit transaction), and lines inside `$$ ... $$` may end as they
like. Lines that begin with `--` between statements are comments.

`corpus/*.py` hold extended-protocol scripts: a module with `requests(w)`, which yields
`(label, payload)`; `w` is tests/integration/pgwire.py.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))

import pgwire  # noqa: E402

DIRECTORY = HERE / "corpus"
_DOLLAR = re.compile(r"\$(?:[A-Za-z_]\w*)?\$")


@dataclass(frozen=True)
class Request:
    label: str  # the statement's text, or a script's own name for it
    payload: bytes


def _open_dollar_quote(text: str) -> bool:
    """Whether `text` ends inside a dollar quote."""
    tag = None
    for m in _DOLLAR.finditer(text):
        if tag is None:
            tag = m.group()
        elif m.group() == tag:
            tag = None
    return tag is not None


def statements(text: str) -> list[str]:
    found: list[str] = []
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not lines and (not line.strip() or line.startswith("--")):
            continue
        lines.append(line)
        statement = "\n".join(lines)
        if line.rstrip().endswith(";") and not _open_dollar_quote(statement):
            found.append(statement.strip())
            lines = []
    if lines:
        raise ValueError(f"the last statement does not end with ';': {lines[0]!r}")
    return found


def load(path: Path) -> list[Request]:
    if path.suffix == ".sql":
        return [Request(s, pgwire.query(s)) for s in statements(path.read_text("utf-8"))]
    spec = importlib.util.spec_from_file_location("corpus_" + path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [Request(label, payload) for label, payload in module.requests(pgwire)]


def files() -> list[Path]:
    return sorted([*DIRECTORY.glob("*.sql"), *DIRECTORY.glob("*.py")])

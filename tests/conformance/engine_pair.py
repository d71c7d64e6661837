"""The two engines under comparison, and the state between corpus files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pgwire

HERE = Path(__file__).resolve().parent

# Sent, and compared, after each file, so that the next one begins from the same state whatever the
# last one left behind. (OIDs and transaction ids go on counting, alike on both sides.)
RESET = [
    "rollback;",
    "discard all;",
    "select lo_unlink(oid) from pg_largeobject_metadata;",
    """do $$ declare s text; begin
      set local client_min_messages = error;
      for s in select nspname from pg_namespace
        where nspname !~ '^pg_' and nspname not in ('information_schema', 'public') order by 1
      loop execute format('drop schema %I cascade', s); end loop;
    end $$;""",
    "set client_min_messages = error;",
    "drop schema public cascade;",
    "create schema public;",
    "reset client_min_messages;",
]


def npm_directory() -> Path:
    value = os.environ.get("PGLITE_NPM_DIR")
    if not value or not (Path(value) / "dist" / "pglite.wasm").is_file():
        raise RuntimeError(
            "PGLITE_NPM_DIR must name the unpacked @electric-sql/pglite package "
            f"(with dist/pglite.wasm); it is {value!r}"
        )
    return Path(value)


def extension_archives() -> list[Path]:
    """Those of PGlite's contrib, and those of the packages that the program is built with."""
    repository = HERE.parents[1]
    lock = json.loads((repository / "aot" / "inputs.lock.json").read_text())
    archives = sorted((npm_directory() / "dist").glob("*.tar.gz"))
    for package in lock["npm"]:
        if package.startswith("@electric-sql/pglite-") and package != "@electric-sql/pglite-tools":
            fetched = subprocess.run([sys.executable, str(repository / "aot" / "fetch.py"), package], check=True,
                                     capture_output=True, text=True)
            archives += sorted((Path(fetched.stdout.strip()) / "dist").glob("*.tar.gz"))
    return archives


def reference(env: Mapping[str, str] = MappingProxyType({})) -> pgwire.PortProcess:
    """A PGlite on Node, behind the port's framing."""
    node = shutil.which("node")
    if node is None:
        raise RuntimeError("node is not installed; the reference engine needs it")
    npm_directory()
    return pgwire.PortProcess(command=[node, str(HERE / "pglite_node.mjs")], env=dict(env))


class Pair:
    """pglite-port and PGlite on Node, both freshly opened on memory://, given the same bytes.

    With archives of extensions, PGlite on Node has these, and both preload those that are named.
    """

    def __init__(self, archives: Sequence[Path] = (), preload: Sequence[str] = ()) -> None:
        self.archives = archives
        self.preload = ",".join(preload)
        self.ours: pgwire.PortProcess | None = None
        self.theirs: pgwire.PortProcess | None = None

    def open(self) -> None:
        if self.ours is not None:
            return
        options = ["--preload", self.preload] if self.preload else []
        self.theirs = reference({"EXTENSIONS": ":".join(map(str, self.archives)), "PRELOAD": self.preload})
        # PGlite on Node has no autovacuum, which changes plans and uses up transaction ids.
        self.ours = pgwire.PortProcess("--autovacuum", "off", *options)

    def close(self) -> None:
        for engine in (self.ours, self.theirs):
            if engine is not None:
                engine.kill()
        self.ours = self.theirs = None

    def exchange(self, payload: bytes, apart: bool = False) -> tuple[bytes, bytes]:
        """(our answer, theirs). An engine that died or hung raises, naming itself.

        `apart`: our engine gets the request some milliseconds after the other's answer. Clocks are
        read in milliseconds on Node, so what shows the clock is then different for certain, and
        an entry in differences.toml never looks stale by luck.
        """
        assert self.ours is not None and self.theirs is not None
        theirs = None
        self.theirs.send_frame(payload)
        self.theirs.drain()
        if apart:
            theirs = self._answer(self.theirs, "PGlite on Node")
            time.sleep(0.01)
        self.ours.send_frame(payload)
        self.ours.drain()
        ours = self._answer(self.ours, "pglite-port")
        if theirs is None:
            theirs = self._answer(self.theirs, "PGlite on Node")
        return ours, theirs

    @staticmethod
    def _answer(engine: pgwire.PortProcess, name: str) -> bytes:
        try:
            return engine.read_frame()
        except (pgwire.PortClosed, pgwire.PortTimeout) as e:
            raise type(e)(f"{name}: {e}") from None

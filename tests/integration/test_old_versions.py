"""Directories and archives of PostgreSQL 16 and 17, made by the PGlite of their time, are refused
with the way out in the message, and nothing in them is touched."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pgwire as w
import pytest

SCRIPT = Path(__file__).with_name("pglite_directory.mjs")
FETCH = w.REPOSITORY / "aot" / "fetch.py"
VERSIONS = {"16": "0.2.17", "17": "0.3.16"}  # PostgreSQL to PGlite, pinned in inputs.lock.json

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="needs node")


@pytest.fixture(scope="module", params=VERSIONS)
def old(request, tmp_path_factory):
    """The version, a directory and a `dumpDataDir` archive of that directory."""
    fetched = subprocess.run(
        [sys.executable, FETCH, f"@electric-sql/pglite@{VERSIONS[request.param]}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    work = tmp_path_factory.mktemp(f"postgres{request.param}")

    def node(*args):
        command = ["node", SCRIPT, fetched.stdout.strip(), *args]
        subprocess.run(command, check=True, capture_output=True, timeout=120)

    node("query", work / "data", "create table t as select 1 as a; select a from t")
    node("dump", work / "data", "gzip", work / "archive")
    assert (work / "data" / "PG_VERSION").read_text().strip() == request.param
    return request.param, work / "data", work / "archive"


def tree_hash(root: Path) -> str:
    """Of names, kinds, modes, times and contents, the root's own included."""
    digest = hashlib.sha256()
    for path in [root, *sorted(root.rglob("*"))]:
        stat = path.lstat()
        digest.update(f"{path} {stat.st_mode:o} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def check_message(text: str, version: str) -> None:
    lines = text.splitlines()
    assert len(lines) == 1
    assert f"made by PostgreSQL {version}, this is PostgreSQL 18" in lines[0]
    way_out = lines[0].split("18: ", 1)[1]
    assert "dump it to SQL" in way_out and "run the SQL here" in way_out
    assert VERSIONS[version].rsplit(".", 1)[0] in way_out


@pytest.mark.parametrize(
    "args", [[], ["sql", "-c", "select 1"], ["initdb"], ["dump"]], ids=["port", "sql", "initdb", "dump"]
)
def test_a_directory_is_refused_untouched(old, args):
    version, data, _ = old
    before = tree_hash(data)
    done = w.run_port(*args, "-D", str(data), stdin=b"" if args else w.frame(w.query("select 1")))
    assert done.returncode == 65, done
    check_message(done.stderr.decode(), version)
    assert tree_hash(data) == before


def test_restore_does_not_write_into_it(old, tmp_path):
    _, data, archive = old
    before = tree_hash(data)
    done = w.run_port("restore", "-D", str(data), "-f", str(archive))
    assert done.returncode == 65 and b"holds a cluster already" in done.stderr
    assert tree_hash(data) == before


def test_an_archive_is_refused(old, tmp_path):
    version, _, archive = old
    done = w.run_port("restore", "-D", str(tmp_path / "data"), "-f", str(archive))
    assert done.returncode == 65, done
    check_message(done.stderr.decode(), version)
    assert os.listdir(tmp_path) == []

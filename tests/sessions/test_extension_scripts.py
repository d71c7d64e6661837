"""What tests/integration/extensions expects is what native PostgreSQL answers, where it has the extension: contrib, and
pgvector where bench/build_pgvector.sh has built it."""

import pathlib
import socket
import subprocess
import sys

import pytest
from servers import Native

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "integration"))

import extension_scripts  # noqa: E402
import serving  # noqa: E402

SCRIPTS = extension_scripts.scripts()
LIBRARIES = {"auto_explain", "passwordcheck", "pg_overexplain"}  # no extensions


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    install = subprocess.run([HERE / "build_postgres.sh"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    server = Native(tmp_path_factory.mktemp("native"), pathlib.Path(install), [
        "shared_preload_libraries=pg_stat_statements", "autovacuum=off", "max_parallel_workers_per_gather=0"])
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def client(native):
    raw = socket.socket(socket.AF_UNIX)
    raw.connect(str(native.sockets / f".s.PGSQL.{native.port}"))
    with serving.Client(raw) as one:
        for step in extension_scripts.helpers():
            one.query(step.statement).ok()
        yield one


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_native_answers_the_same(script, client):
    known = client.query(f"select from pg_available_extensions where name = '{script.name}'").ok()
    if not known.raw_rows and script.name not in LIBRARIES:
        pytest.skip(f"native PostgreSQL has no {script.name}")
    extension_scripts.run_first(client.query, script)
    extension_scripts.run_again(client.query, script)
    extension_scripts.run_again(client.query, script)

import shutil
import tempfile
from pathlib import Path

import pgwire
import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "heavy: takes seconds or hundreds of megabytes")


@pytest.fixture(scope="module")
def _shared():
    ports = []
    yield ports
    for port in ports:
        port.kill()


@pytest.fixture
def db(_shared):
    """One port on memory:// for all tests of a module. Where a test left it without an answer or
    dead, the next one gets a new port, so that one failure stays one failure."""
    if not _shared or not (_shared[-1].usable and _shared[-1].running()):
        for old in _shared:
            old.kill()
        _shared[:] = [pgwire.PortProcess()]
    return _shared[-1]


@pytest.fixture
def clean(db):
    """The module's port, with an empty schema and default settings."""
    db.query("rollback")
    db.query("discard all")
    db.query("set client_min_messages = error").ok()
    db.query("drop schema public cascade").ok()
    db.query("create schema public").ok()
    db.query("reset client_min_messages").ok()
    return db


@pytest.fixture(scope="session")
def made():
    """A data directory with a table `t` of one row, cleanly closed. Making one takes a second or
    two, so tests that do not look at the making work on copies (`copy_made`)."""
    with tempfile.TemporaryDirectory(prefix="made-") as directory:
        path = Path(directory) / "data"
        with pgwire.PortProcess(env={"PGLITE_DATA_DIR": str(path)}) as port:
            port.query("create table t (id serial primary key, v text); insert into t (v) values ('kept')").ok()
            port.query("create index on t (v); create sequence s; select nextval('s')").ok()
            assert port.finish() == 0, port.stderr()
        yield path


@pytest.fixture
def copy_made(made):
    def copy(to):
        shutil.copytree(made, to, symlinks=True)
        return to

    return copy

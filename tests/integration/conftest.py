import pgwire
import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "heavy: takes seconds or hundreds of megabytes")


@pytest.fixture(scope="module")
def db():
    """One port on memory:// for all tests of a module; each cleans up what others would see."""
    with pgwire.PortProcess() as port:
        yield port


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

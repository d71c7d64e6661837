import pytest

import corpus  # noqa: F401  (puts pgwire on the path)
import engine_pair

SUMMARY = {"files": 0, "requests": 0, "listed": 0, "errors": 0}


@pytest.fixture(scope="session")
def pair():
    """Both engines. A test that finds them unequal closes them; the next opens fresh ones."""
    both = engine_pair.Pair()
    yield both
    both.close()


@pytest.fixture(scope="session")
def summary():
    return SUMMARY


def pytest_terminal_summary(terminalreporter):
    if SUMMARY["files"]:
        terminalreporter.write_line(
            "conformance: {requests} requests in {files} files compared with PGlite on Node, "
            "{errors} of them answered with errors, "
            "{listed} differ as listed in differences.toml".format(**SUMMARY)
        )

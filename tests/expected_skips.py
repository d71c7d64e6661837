"""Skipped tests are counted, and where PGLITE_EXPECTED_SKIPS names a list, one that is not on it is a failure.

A plugin of pytest, and a program for ctest's results: `expected_skips.py LIST JUNIT.xml`.
"""

import fnmatch
import os
import sys
import tomllib
import xml.etree.ElementTree
from pathlib import Path


def load(path) -> list[dict]:
    entries = tomllib.loads(Path(path).read_text()).get("skip", [])
    for entry in entries:
        if set(entry) != {"test", "says", "because"}:
            raise ValueError(f"{path}: an entry has `test`, `says` and `because`: {entry}")
    return entries


def is_expected(entries: list[dict], test: str, reason: str) -> bool:
    # Square brackets are pytest's parameters, not a set of characters.
    def matches(pattern):
        return fnmatch.fnmatchcase(test, pattern.replace("[", "[[]"))

    return any(matches(entry["test"]) and entry["says"] in reason for entry in entries)


def judge(entries: list[dict], skipped: list[tuple[str, str]]) -> tuple[list[str], bool]:
    """Lines for the log, and whether all is well. `skipped`: names and reasons."""
    lines = []
    good = True
    for test, reason in skipped:
        expected = is_expected(entries, test, reason)
        good = good and expected
        lines.append(f"{'skipped' if expected else 'SKIPPED, which nobody expected'}: {test}: {reason}")
    lines.append(f"{len(skipped)} skipped, " + ("as expected" if good else "not all of them expected"))
    return lines, good


# --- pytest ---


class Plugin:
    def __init__(self, entries):
        self.entries = entries
        self.skipped = []

    def _note(self, report):
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        self.skipped.append((report.nodeid, " ".join(reason.split())))

    def pytest_runtest_logreport(self, report):
        self._note(report)

    def pytest_collectreport(self, report):  # a whole module
        self._note(report)

    def pytest_sessionfinish(self, session, exitstatus):
        if exitstatus == 0 and not judge(self.entries, self.skipped)[1]:
            session.exitstatus = 1

    def pytest_terminal_summary(self, terminalreporter):
        for line in judge(self.entries, self.skipped)[0]:
            terminalreporter.write_line(line)


def pytest_configure(config):
    path = os.environ.get("PGLITE_EXPECTED_SKIPS")
    if path:
        config.pluginmanager.register(Plugin(load(path)), "expected-skips")


# --- ctest ---


def skipped_of(junit) -> list[tuple[str, str]]:
    found = []
    for case in xml.etree.ElementTree.parse(junit).getroot().iter("testcase"):
        if case.find("skipped") is None:
            continue
        output = (case.findtext("system-out") or "").splitlines()
        # GoogleTest prints "FILE:LINE: Skipped", the reason, and "[  SKIPPED ] NAME".
        after = [i for i, line in enumerate(output) if line.endswith(": Skipped")]
        reason = output[after[0] + 1] if after and after[0] + 1 < len(output) else ""
        found.append((case.get("name"), reason or case.find("skipped").get("message") or ""))
    return found


def main(arguments) -> int:
    entries = load(arguments[0])
    skipped = skipped_of(arguments[1])
    lines, good = judge(entries, skipped)
    print(*lines, sep="\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

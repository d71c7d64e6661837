"""Starting processes with little overhead, and what the kernel says about their memory."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("PGLITE_")}


class Process:
    """A child with its stdin and stdout on pipes; stderr goes to `errors`, or nowhere.

    posix_spawn, because what is measured starts before the fork: subprocess.Popen alone takes as
    long as a start may take.
    """

    def __init__(self, command: list[str], environment: dict[str, str] | None = None,
                 errors: str = os.devnull):
        child_in, self.to = os.pipe()
        self.from_, child_out = os.pipe()
        actions = [
            (os.POSIX_SPAWN_DUP2, child_in, 0),
            (os.POSIX_SPAWN_DUP2, child_out, 1),
            (os.POSIX_SPAWN_OPEN, 2, errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        ]
        self.pid = os.posix_spawn(command[0], command, {**CLEAN, **(environment or {})},
                                  file_actions=actions)
        os.close(child_in)
        os.close(child_out)

    def wait(self, seconds: float = 60):
        """Waits for its end; its resource usage. A child that stays is killed."""
        deadline = time.monotonic() + seconds
        pause = 0.0005
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
                return usage
            if time.monotonic() > deadline:
                os.kill(self.pid, 9)
                os.wait4(self.pid, 0)
                raise TimeoutError(f"a process was still there after {seconds} s; killed")
            time.sleep(pause)
            pause = min(pause * 2, 0.05)


@contextlib.contextmanager
def before_others(*pids: int) -> Iterator[None]:
    """Lets us, what we start, and `pids` run before whatever else is at work on this machine (root
    only; otherwise it does nothing).

    Not by niceness: Linux applies it inside a session (autogroups), and PostgreSQL's backends each
    start a session of their own.
    """
    changed = []
    try:
        for pid in (os.getpid(), *pids):
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
                changed.append(pid)
        yield
    finally:
        for pid in changed:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


@contextlib.contextmanager
def on_one_processor(*pids: int) -> Iterator[None]:
    """Keeps us, what we start, and `pids` on the same processor, so that a round trip does not cost
    one thing or another depending on where the scheduler wakes the other end."""
    mine = (os.getpid(), *pids)
    before = os.sched_getaffinity(0)
    try:
        for pid in mine:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(pid, {min(before)})
        yield
    finally:
        for pid in mine:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(pid, before)


def rollup(pid: int) -> dict[str, float]:
    """smaps_rollup in MB (10^6 bytes): Rss, Pss, Private_Dirty and so on."""
    values = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, amount = line.split(":")
        values[name] = int(amount.split()[0]) * 1024 / 1e6
    return values


def resident(pid: int) -> float:
    """VmRSS in MB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"process {pid} has no VmRSS")


def page_tables(pid: int) -> float:
    """VmPTE in MB: page tables are in no PSS."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmPTE:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue  # it has just ended
            parent = int(stat[stat.rindex(")") + 2 :].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        found.append(queue.pop())
        queue += children.get(found[-1], [])
    return found

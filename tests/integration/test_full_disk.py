"""Disks that are full or read-only and limits that are reached, with the kernel's own means.

While it lasts the client gets PostgreSQL's errors; afterwards everything that was acknowledged is
there and the database works. Faults that no kernel gives on demand are in
tests/durability/fault_injection_test.cc.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pgwire as w
import pytest

FULL = "No space left on device"


class Disk:
    """A small file system with a data directory on it."""

    def __init__(self, root: Path, data: Path):
        self.root = root
        self.data = data

    def open(self) -> w.PortProcess:
        return w.PortProcess("-D", str(self.data))

    def run(self, sql: str) -> tuple[int, str]:
        """The exit status and stderr of one query."""
        done = w.run_port("-D", str(self.data), stdin=w.frame(w.query(sql)))
        return done.returncode, done.stderr.decode()

    def fill(self, leave: int) -> None:
        status = os.statvfs(self.root)
        left = status.f_bavail * status.f_frsize - leave
        fd = os.open(self.root / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            while left > 0:
                left -= os.write(fd, bytes(min(left, 1 << 20)))
            os.fsync(fd)
        except OSError as error:
            assert error.strerror == FULL
        finally:
            os.close(fd)

    def empty(self) -> None:
        (self.root / "filler").unlink()


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request, tmp_path, copy_made):
    root = tmp_path / "disk"
    root.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=120m", "none", str(root)]
    if request.param == "ext4":
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(160 << 20)
        made = shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin")
        if not made:
            pytest.skip("there is no mkfs.ext4")
        subprocess.run([made, "-q", "-F", "-m", "0", str(image)], check=True)
        command = ["mount", "-o", "loop", str(image), str(root)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"{request.param} cannot be mounted here: {mounted.stderr.strip()}")
    try:
        copy_made(root / "data")
        yield Disk(root, root / "data")
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


BIG = "insert into t (v) select repeat(md5(g::text), 50) from generate_series(1, 20000) g"


def test_a_full_disk_is_an_error_and_passes(disk):
    with disk.open() as port:
        port.query("insert into t (v) values ('before')").ok()
        disk.fill(leave=3 << 20)
        for _ in range(2):
            result = port.query(BIG)
            assert result.sqlstate == "53100" and FULL in result.error["M"], result.describe()
            assert result.error["H"] == "Check free disk space."
            assert port.query("select v from t order by id").rows == [("kept",), ("before",)]
        disk.empty()
        port.query("insert into t (v) values ('after')").ok()
        port.query(BIG).ok()
        port.query("checkpoint").ok()
        assert port.finish() == 0, port.stderr()
    with disk.open() as port:
        assert port.value("select count(*) from t") == "20003"
        assert port.query("select v from t where length(v) < 10 order by id").rows == [("kept",), ("before",), ("after",)]
        assert port.finish() == 0, port.stderr()


def test_wal_that_cannot_be_written_ends_the_server(disk):
    """PostgreSQL's rule: a PANIC. Nothing acknowledged is lost, however often it is tried."""
    with disk.open() as port:
        acknowledged = 0
        disk.fill(leave=20 << 20)
        while True:
            answer = port.exchange(w.query(f"update t set v = '{acknowledged + 1}' where id = 1; select pg_switch_wal()"))
            if answer.startswith(b"ERROR: "):
                break
            assert w.Result(answer).error is None
            acknowledged += 1
            assert acknowledged < 100
        assert b"PANIC:" in answer and FULL.encode() in answer
        assert port.wait() == 70
        assert answer.decode() in port.stderr()
    disk.fill(leave=0)
    for _ in range(2):
        status, said = disk.run("select 1")
        # 74: it does not start. Where recovery needs no space it does, but cannot shut down: 70.
        assert status in (70, 74) and FULL in said.strip().splitlines()[-1], said
    disk.empty()
    with disk.open() as port:
        # The transaction in hand may have become durable, or not.
        assert int(port.value("select v from t where id = 1").replace("kept", "0")) in (acknowledged, acknowledged + 1)
        port.query(BIG).ok()
        port.query("checkpoint").ok()
        assert port.finish() == 0, port.stderr()
    with disk.open() as port:
        assert port.value("select count(*) from t") == "20001"
        assert port.finish() == 0, port.stderr()


def test_a_new_directory_on_a_full_disk(disk):
    disk.fill(leave=10 << 20)
    new = disk.root / "new"
    for command in ("initdb", "port"):
        done = w.run_port(command, "-D", str(new))
        assert done.returncode == 74, done
        assert str(new) in done.stderr.decode() and FULL in done.stderr.decode()
    disk.empty()
    with w.PortProcess("-D", str(new)) as port:
        assert port.value("select 1") == "1"
        assert port.finish() == 0, port.stderr()


def test_a_disk_turned_read_only(disk):
    subprocess.run(["mount", "-o", "remount,ro", str(disk.root)], check=True)
    status, said = disk.run("select 1")
    assert status == 74 and "Read-only file system" in said and str(disk.data) in said
    subprocess.run(["mount", "-o", "remount,rw", str(disk.root)], check=True)
    with disk.open() as port:
        assert port.value("select count(*) from t") == "1"
        assert port.finish() == 0, port.stderr()


def limited(path: Path, **limits: int) -> w.PortProcess:
    options = [f"--{name}={value}" for name, value in limits.items()]
    return w.PortProcess("-D", str(path), command=["prlimit", *options, *w.port_command()])


def test_a_limit_on_file_sizes(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    with limited(data, fsize=20_000_000) as port:
        result = port.query("insert into t (v) select repeat(md5(g::text), 50) from generate_series(1, 200000) g")
        # EFBIG has no SQLSTATE of its own.
        assert result.sqlstate == "XX000" and "File too large" in result.error["M"], result.describe()
        assert port.value("select count(*) from t") == "1"
        port.query("insert into t (v) values ('small')").ok()
        assert port.finish() == 0, port.stderr()
    with w.PortProcess("-D", str(data)) as port:
        assert port.value("select count(*) from t") == "2"


def test_few_descriptors(tmp_path, copy_made):
    """PostgreSQL keeps as many files open as it may; what needs one for a moment still gets it."""
    data = copy_made(tmp_path / "data")
    with limited(data, nofile=110) as port:
        port.query("do $$ begin for i in 1..150 loop execute format('create table n%s as select %s as n', i, i); end loop; end $$").ok()
        port.query("checkpoint").ok()
        port.query("vacuum").ok()
        for n in (1, 75, 150):
            assert port.value(f"select n from n{n}") == str(n)
        assert port.finish() == 0, port.stderr()
    for most in (5, 20, 90):
        with limited(data, nofile=most) as port:
            assert port.wait() in (70, 74)
            said = port.stderr()
            assert "Too many open files" in said or f"may open {most} files (ulimit -n)" in said, said
    with w.PortProcess("-D", str(data)) as port:
        assert port.value("select count(*) from pg_class where relname ~ '^n[0-9]'") == "150"
        assert port.finish() == 0, port.stderr()

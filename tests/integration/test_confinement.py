"""A superuser's SQL reaches the data directory and the guest's own tree, and nothing else of the host.

Each test runs twice: with openat2(2), and with the walk that stands in for it.
"""

import ctypes
import os
import platform
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pgwire as w
import pytest

NOT_THERE = "58P01"  # undefined_file: the guest's tree has no such name
REFUSED = "42501"  # insufficient_privilege: it leads out of the data directory

# Libraries of the host's.
MULTIARCH = f"{platform.machine()}-linux-gnu"
LOADER = "/lib/ld-linux-aarch64.so.1" if platform.machine() == "aarch64" else "/lib64/ld-linux-x86-64.so.2"

NO_START = (65, 70, 74)  # exit statuses: which one depends on what was damaged

WITHOUT_OPENAT2 = [sys.executable, str(Path(__file__).with_name("without_system_call.py")), "openat2"]


def tree(path: Path) -> dict[str, tuple]:
    """Everything below `path`, with contents, modes and link counts."""
    return {
        str(p.relative_to(path)): (
            p.lstat().st_mode,
            p.lstat().st_nlink,
            p.read_bytes() if p.is_file() and not p.is_symlink() else None,
        )
        for p in sorted(path.rglob("*"))
    }


class Place:
    """A data directory, and beside it what must not be reached."""

    def __init__(self, base: Path, data: Path, resolver: str):
        self.outside = base / "outside"
        self.data = data
        self.resolver = resolver
        (self.outside / "sub").mkdir(parents=True)
        (self.outside / "secret").write_text("secret\n")
        self.before = tree(self.outside)

    def command(self) -> list[str]:
        return [*(WITHOUT_OPENAT2 if self.resolver == "walk" else []), *w.port_command()]

    def open(self) -> w.PortProcess:
        return w.PortProcess("-D", str(self.data), command=self.command())

    def run(self, *args) -> tuple[int, str]:
        """One query; the exit status and what was said on stderr."""
        done = subprocess.run(
            [*self.command(), "-D", str(self.data), *args],
            input=w.frame(w.query("select 1")),
            env=w.port_environment(),
            capture_output=True,
            timeout=60,
        )
        return done.returncode, done.stderr.decode()

    def check(self) -> None:
        assert tree(self.outside) == self.before


@pytest.fixture(params=["openat2", "walk"])
def place(request, tmp_path, copy_made):
    result = Place(tmp_path, copy_made(tmp_path / "data"), request.param)
    yield result
    result.check()


FILE_STATEMENTS = {
    "copy to": "copy t to '{}'",
    "copy from": "copy x from '{}'",
    "pg_read_file": "select pg_read_file('{}')",
    "pg_read_binary_file": "select pg_read_binary_file('{}', 0, 10)",
    "pg_stat_file": "select * from pg_stat_file('{}')",
    "pg_ls_dir": "select * from pg_ls_dir('{}')",
    "lo_import": "select lo_import('{}')",
    "lo_export": "select lo_export(4711, '{}')",
    "load": "load '{}'",
    "create function": "create function f() returns int language c as '{}', 'f'",
}


def prepare(port) -> None:
    port.query("create table x (v text); select lo_from_bytea(4711, 'abc')").ok()


def refused(port, name: str, path: str, *states: str) -> None:
    result = port.query(FILE_STATEMENTS[name].format(path))
    assert result.sqlstate in states, f"{name} {path}: {result.describe()}"
    assert result.status == "I"


def test_paths_of_the_host_are_not_there(place):
    with place.open() as port:
        prepare(port)
        for path in (
            "/etc/passwd",
            str(place.outside / "secret"),
            str(place.outside / "new"),
            str(place.data / "PG_VERSION"),
            "/pglite/data/../../../../etc/passwd",
            "/pglite/data/../../outside/secret",
            "/proc/self/root/etc/passwd",
            "/proc/self/fd/0",
            "/proc/1/root/etc/passwd",
            "/sys/kernel/notes",
            "/dev/fd/0",
            "/run/secret",
        ):
            for name in FILE_STATEMENTS:
                refused(port, name, path, NOT_THERE)
        # Relative paths of these are the data directory's.
        for name in ("pg_read_file", "pg_stat_file", "pg_ls_dir", "lo_import"):
            refused(port, name, "../../../outside/secret", NOT_THERE)
        assert port.query("copy t to '../outside/new'").sqlstate == "42602"
        assert port.value("select count(*) from t") == "1"
        assert port.finish() == 0, port.stderr()


def test_names_that_exist_inside_are_the_sandbox_s(place):
    """/tmp, /dev and / are there, and are the guest's own."""
    (Path("/tmp") / f"host-{os.getpid()}").touch()
    try:
        with place.open() as port:
            prepare(port)
            assert port.query("select * from pg_ls_dir('/')").rows == [("dev",), ("home",), ("pglite",), ("tmp",)]
            assert port.query("select * from pg_ls_dir('/tmp')").rows == []
            devices = {row[0] for row in port.query("select * from pg_ls_dir('/dev')").rows}
            assert devices == {"null", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"}
            # None of these is the host's: no frame is broken, nothing waits.
            for path in ("/dev/stdout", "/dev/tty", "/dev/stderr", "/dev/null"):
                assert port.query(f"copy t to '{path}'").ok().tags == ["COPY 1"]
            assert port.query("copy x from '/dev/stdin'").ok().tags == ["COPY 0"]
            # A name like any other, in memory.
            assert port.query("copy t to '/dev/mem'").ok().tags == ["COPY 1"]
            assert port.value("select pg_read_file('/dev/mem')") == "1\tkept\n"
            assert port.query("copy t to '/tmp/file'").ok().tags == ["COPY 1"]
            assert port.finish() == 0, port.stderr()
        assert not Path("/tmp/file").exists()
    finally:
        (Path("/tmp") / f"host-{os.getpid()}").unlink()


def test_planted_links_are_refused(place):
    data, outside = place.data, place.outside
    links = {
        "absolute": outside / "secret",
        "relative": "../outside/secret",
        "directory": outside,
        "dangling": outside / "new",
        "dangling_relative": "../outside/new",
        "chain": "second",
        "second": "relative",
        "root": "/proc/self/root",
        "fd": "/proc/self/fd",
        "home": data,  # leads back in, by the host's root
        "base/up": "../..",
        "pg_wal/link": outside,
    }
    for name, target in links.items():
        os.symlink(target, data / name)
    with place.open() as port:
        prepare(port)
        # A directory that has it is not opened (test_directories.py).
        os.symlink(outside, data / "pg_tblspc/99999")
        for path in (
            "absolute",
            "relative",
            "directory",
            "directory/secret",
            "directory/new",
            "directory/sub/new",
            "dangling",
            "dangling_relative",
            "chain",
            "root",
            "root/etc/passwd",
            "fd/0",
            "home/PG_VERSION",
            "base/up/outside/secret",
            "pg_wal/link/secret",
            "pg_tblspc/99999/secret",
        ):
            for name in FILE_STATEMENTS:
                refused(port, name, "/pglite/data/" + path, REFUSED)
        assert port.query("select * from pg_ls_waldir()").sqlstate == REFUSED
        # A link that stays inside works.
        os.symlink("../PG_VERSION", data / "base" / "version")
        assert port.value("select pg_read_file('base/version')") == "18\n"
        # A loop has no SQLSTATE of its own in PostgreSQL.
        os.symlink("loop", data / "loop")
        for name in FILE_STATEMENTS:
            refused(port, name, "/pglite/data/loop", "XX000")
        port.query("insert into t (v) values ('more'); checkpoint").ok()
        assert port.finish() == 0, port.stderr()
    (data / "pg_tblspc/99999").unlink()
    with place.open() as port:
        assert port.value("select count(*) from t") == "2"
        assert port.finish() == 0, port.stderr()
    place.check()


@pytest.mark.parametrize(
    "name",
    ["PG_VERSION", "postgresql.conf", "pg_hba.conf", "postmaster.pid", "global/pg_control", "pg_wal", "base"],
)
def test_the_cluster_s_own_files_as_links(place, name):
    """What PostgreSQL itself opens is not followed out either, and the end is a clear one."""
    path = place.data / name
    path.touch()
    moved = place.outside / "moved"
    path.rename(moved)
    os.symlink(moved, path)
    place.before = tree(place.outside)
    status, said = place.run()
    assert status in NO_START and said.strip().splitlines()[-1].startswith("ERROR: "), said
    assert place.run()[0] == status
    place.check()
    path.unlink()
    if name != "postmaster.pid":
        moved.rename(path)
        place.before = tree(place.outside)
    with place.open() as port:
        assert port.value("select count(*) from t") == "1"
        assert port.finish() == 0, port.stderr()


def test_fifos_sockets_and_devices(place):
    """Whoever opens a FIFO waits for its other end, and a device may have no end."""
    os.mkfifo(place.data / "fifo")
    listening = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(place.data)  # a socket's name is short
    try:
        listening.bind("socket")
    finally:
        os.chdir(here)
    names = ["fifo", "socket"]
    try:
        os.mknod(place.data / "zero", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
        os.mknod(place.data / "disk", 0o600 | stat.S_IFBLK, os.makedev(7, 0))
        names += ["zero", "disk"]
    except PermissionError:
        pass  # only root makes devices
    with place.open() as port:
        prepare(port)
        for name in names:
            path = f"/pglite/data/{name}"
            for statement in ("copy to", "copy from", "pg_read_file", "pg_read_binary_file", "lo_import", "lo_export"):
                # ENXIO, which a FIFO without a reader and a socket give, has no SQLSTATE of its own.
                refused(port, statement, path, REFUSED, "XX000")
            for statement in ("load", "create function"):
                refused(port, statement, path, "XX000", NOT_THERE, REFUSED)
            refused(port, "pg_ls_dir", path, "42809")
            assert port.value(f"select size from pg_stat_file('{path}')") == "0"
        # With a reader, a writer would not fail by itself.
        reader = os.open(place.data / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        refused(port, "copy to", "/pglite/data/fifo", REFUSED)
        assert os.read(reader, 100) == b""
        os.close(reader)
        assert port.finish() == 0, port.stderr()
    listening.close()


@pytest.mark.parametrize("name", ["PG_VERSION", "postmaster.pid", "postgresql.conf", "global/pg_control", "pg_wal/000000010000000000000001"])
def test_a_fifo_in_place_of_a_file_does_not_hang(place, name):
    path = place.data / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    status, said = place.run()
    assert status in NO_START and said.strip().splitlines()[-1].startswith("ERROR: "), said


RENAME_EXCHANGE = 2


def swap_without_end(a: Path, b: Path) -> int:
    """A process that exchanges two names until it is killed."""
    pid = os.fork()
    if pid == 0:
        renameat2 = ctypes.CDLL(None).renameat2
        while renameat2(-100, bytes(a), -100, bytes(b), RENAME_EXCHANGE) == 0:
            pass
        os._exit(1)
    return pid


def test_links_swapped_in_while_running(place):
    """A directory is exchanged for a link to the outside and back, without end."""
    inside = place.data / "dir"
    (inside / "sub").mkdir(parents=True)
    (inside / "secret").write_text("public\n")
    os.symlink("../outside", place.data / "evil")
    with place.open() as port:
        prepare(port)
        swapper = swap_without_end(inside, place.data / "evil")
        try:
            seen = {"ok": 0, REFUSED: 0}
            for n in range(400):
                for sql in (
                    "select pg_read_file('/pglite/data/dir/secret')",
                    "truncate x; copy x from '/pglite/data/dir/secret'",
                    "copy t to '/pglite/data/dir/sub/new'",
                    f"select lo_export(4711, '/pglite/data/dir/new{n}')",
                    "select * from pg_ls_dir('/pglite/data/dir/sub')",
                ):
                    result = port.query(sql)
                    # NOT_THERE: what was written before the exchange is looked at after it, or a
                    # name that only the directory has. EAGAIN, when the kernel gives up on a race, has no
                    # SQLSTATE of its own.
                    assert result.sqlstate in (None, REFUSED, NOT_THERE, "XX000"), result.describe()
                    seen[result.sqlstate or "ok"] = seen.get(result.sqlstate or "ok", 0) + 1
                    if "pg_read_file" in sql and result.error is None:
                        assert result.value == "public\n"
                assert port.value("select count(*) from x where v <> 'public'") == "0"
        finally:
            os.kill(swapper, signal.SIGKILL)
            os.waitpid(swapper, 0)
        assert seen["ok"] > 0 and seen[REFUSED] > 0, seen
        assert port.finish() == 0, port.stderr()
    place.check()


def test_no_programs_are_run(place):
    made = place.outside / "made"
    with place.open() as port:
        prepare(port)
        for sql in (
            f"copy x from program 'touch {made}'",
            f"copy t to program 'cat > {made}'",
            f"copy t to program 'locale -a; touch {made}'",
        ):
            result = port.query(sql)
            assert result.sqlstate == REFUSED, result.describe()
            assert "Operation not permitted" in result.error["M"]
        # The archiver, the standby and the log collector are processes that are not there: the settings
        # are stored, as PostgreSQL's, and run nothing.
        for setting in (
            f"archive_command = 'touch {made}'",
            f"restore_command = 'touch {made}'",
            f"archive_cleanup_command = 'touch {made}'",
            f"recovery_end_command = 'touch {made}'",
            f"ssl_passphrase_command = 'touch {made}'",
            "archive_mode = on",
            "logging_collector = on",
            f"log_directory = '{place.outside}'",
            "log_filename = '../../outside/log'",
            "log_destination = 'stderr,csvlog,jsonlog'",
            f"external_pid_file = '{place.outside}/pid'",
            f"unix_socket_directories = '{place.outside}'",
            "listen_addresses = '*'",
        ):
            port.query(f"alter system set {setting}").ok()
        assert port.query("set log_filename = 'x'").sqlstate == "55P02"
        for name in ("data_directory", "config_file"):
            assert port.query(f"alter system set {name} = '/etc'").sqlstate == "55P02"
        assert port.finish() == 0, port.stderr()
    with place.open() as port:
        assert port.value("show archive_mode") == "off"  # see test_maintenance.py
        port.query("insert into t (v) values ('x'); select pg_switch_wal(); checkpoint").ok()
        port.query("insert into t (v) values ('y'); select pg_switch_wal(); checkpoint").ok()
        port.query("select 1/0")  # into the log
        assert port.value("select count(*) from t") == "3"
        assert port.query("select pg_rotate_logfile()").ok()
        assert port.finish() == 0, port.stderr()


def test_no_libraries_of_the_host(place):
    with place.open() as port:
        for path in (f"/lib/{MULTIARCH}/libc.so.6", LOADER, f"../../..{LOADER}"):
            assert port.query(f"load '{path}'").sqlstate == NOT_THERE
        port.query(f"set dynamic_library_path = '/lib/{MULTIARCH}:$libdir'").ok()
        port.query("set extension_control_path = '/etc:$system'").ok()
        assert port.query("load 'libc.so.6'").sqlstate == NOT_THERE
        assert port.query("load 'libm'").sqlstate == NOT_THERE
        assert port.query("create extension passwd").sqlstate == "0A000"
        assert port.query('create extension "../../../etc/passwd"').sqlstate == "22023"
        # A native library inside the sandbox is a file like any other, and not run.
        (place.data / "native.so").write_bytes(Path(sys.executable).resolve().read_bytes()[:100_000])
        result = port.query("load '/pglite/data/native.so'")
        assert result.sqlstate == "XX000" and "not one that this program was built with" in result.error["M"]
        assert port.finish() == 0, port.stderr()
    # One that is to be loaded at each start ends the start, until it is overridden.
    status, said = place.run("-o", f"-c session_preload_libraries={LOADER}")
    assert status in NO_START and "could not access file" in said, said
    with place.open() as port:
        assert port.value("select count(*) from t") == "1"
        assert port.finish() == 0


def test_tablespaces(place):
    with place.open() as port:
        for location in ("/tmp", "/home"):
            result = port.query(f"create tablespace ts location '{location}'")
            assert result.sqlstate == REFUSED and "could not create symbolic link" in result.error["M"]
        for location in (place.outside, "/var/lib", "/pglite/data/../../outside"):
            assert port.query(f"create tablespace ts location '{location}'").sqlstate == NOT_THERE
        assert port.query("create tablespace ts location 'relative'").sqlstate == "42P17"
        assert port.query("select count(*) from pg_tablespace").value == "2"
        # Inside the data directory they work.
        port.query("set allow_in_place_tablespaces = on").ok()
        port.query("create tablespace ts location ''").ok()
        port.query("create table there (a int) tablespace ts; insert into there values (1)").ok()
        assert port.finish() == 0, port.stderr()
    assert not any(p.is_symlink() for p in place.data.rglob("*"))
    with place.open() as port:
        assert port.value("select a from there") == "1"
        port.query("drop table there").ok()
        port.query("drop tablespace ts").ok()
        assert port.finish() == 0, port.stderr()


def test_configuration_files_of_the_host_are_not_read(place):
    secret = place.outside / "secret"
    for name, line, wanted in (
        ("pg_hba.conf", f"include {secret}", "could not load /pglite/data/pg_hba.conf"),
        ("pg_hba.conf", f"local all @{secret} trust", "could not load /pglite/data/pg_hba.conf"),
        ("postgresql.conf", f"include '{secret}'", "contains errors"),
        ("postgresql.conf", "include_dir '../../outside'", "contains errors"),
        ("postgresql.conf", f"hba_file = '{secret}'", f"could not load {secret}"),
    ):
        original = (place.data / name).read_text()
        (place.data / name).write_text(f"{original}\n{line}\n")
        status, said = place.run("--debug", "1")
        assert status in NO_START and wanted in said, said
        assert "No such file or directory" in said, said
        (place.data / name).write_text(original)
    # As a file that need not be there, it is not there.
    with (place.data / "postgresql.conf").open("a") as conf:
        conf.write(f"include_if_exists '{secret}'\n")
    with place.open() as port:
        assert port.value("select count(*) from t") == "1"
        assert port.finish() == 0, port.stderr()


def test_no_processes_and_no_network(place):
    with place.open() as port:
        for function in ("pg_terminate_backend", "pg_cancel_backend"):
            for pid in (1, port.pid, os.getpid()):
                assert port.value(f"select {function}({pid})") == "f"
        port.query("set client_min_messages = error; create publication p").ok()
        for host in ("127.0.0.1", "/tmp", "localhost"):
            result = port.query(f"create subscription s connection 'host={host} dbname=x' publication p")
            assert result.error is not None, host
        assert port.finish() == 0, port.stderr()


def test_modes_of_what_is_made(place):
    """Nothing that could be run as somebody else."""
    with place.open() as port:
        prepare(port)
        port.query("select lo_export(4711, '/pglite/data/exported')").ok()
        port.query("copy t to '/pglite/data/copied'").ok()
        assert port.finish() == 0, port.stderr()
    for path in place.data.rglob("*"):
        assert path.stat().st_mode & 0o7000 == 0, path

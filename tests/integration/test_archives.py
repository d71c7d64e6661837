"""`pglite-port dump` and `restore`: there and back, and what is refused."""

import fcntl
import gzip
import io
import os
import signal
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import pgwire as w
import pytest


def run(*args, stdin=b"", **env):
    return w.run_port(*args, stdin=stdin, env=env)


def one_line(done) -> str:
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1, done
    return lines[0]


def value(data: Path, sql: str) -> str | None:
    with w.PortProcess("-D", str(data)) as p:
        found = p.value(sql)
        assert p.finish() == 0
        return found


@pytest.fixture(scope="module")
def archive(made, tmp_path_factory) -> bytes:
    done = run("dump", "-D", str(made))
    assert done.returncode == 0, done
    assert done.stderr == b""
    return done.stdout


def members(archive: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {m.name: m for m in tar}


def rebuilt(archive: bytes, change, form=tarfile.USTAR_FORMAT) -> bytes:
    """The archive with each (entry, content) as `change` makes it: a list of such pairs."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as old,
        tarfile.open(fileobj=out, mode="w", format=form) as new,
    ):
        for entry in old:
            content = old.extractfile(entry).read() if entry.isfile() else b""
            for info, data in change(entry, content):
                info.size = len(data)
                new.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_names_are_pglite_s(archive):
    found = members(archive)
    assert all(name.startswith("/") for name in found)
    assert found["/PG_VERSION"].isfile() and found["/base"].isdir()
    assert "/postmaster.pid" not in found


@pytest.mark.parametrize("form", ["plain", "gzip", "files", "variables"])
def test_there_and_back(tmp_path, made, form):
    data, file = tmp_path / "restored", tmp_path / "archive"
    if form == "variables":
        env = {"PGLITE_DATA_DIR": str(made), "PGLITE_DUMP_FILE": str(file), "PGLITE_DUMP_GZIP": "1"}
        assert run("dump", **env).returncode == 0
        assert run("restore", PGLITE_DATA_DIR=str(data), PGLITE_RESTORE_FILE=str(file)).returncode == 0
    elif form == "files":
        assert run("dump", "-D", str(made), "-o", str(file)).returncode == 0
        assert file.stat().st_mode & 0o777 == 0o600
        assert run("restore", "-D", f"file://{data}", "-f", str(file)).returncode == 0
    else:
        dumped = run("dump", "-D", str(made), *(["--gzip"] if form == "gzip" else []))
        assert (dumped.stdout[:2] == b"\x1f\x8b") == (form == "gzip")
        assert run("restore", "-D", str(data), stdin=dumped.stdout).returncode == 0
    if file.exists():
        assert (file.read_bytes()[:2] == b"\x1f\x8b") == (form == "variables")
        assert [p.name for p in tmp_path.iterdir() if p.name.startswith("archive")] == ["archive"]
    assert data.stat().st_mode & 0o777 == 0o700
    assert value(data, "select v from t") == "kept"
    again = run("dump", "-D", str(made))
    assert again.returncode == 0


def test_the_same_directory_makes_the_same_bytes(made, archive):
    assert run("dump", "-D", str(made)).stdout == archive
    assert gzip.decompress(run("dump", "-D", str(made), "--gzip").stdout) == archive


def test_our_own_marks_are_not_dumped(tmp_path, copy_made, archive):
    data = copy_made(tmp_path / "data")
    (data / ".pglite-port-of-tomorrow").write_text("x")
    (data / "base" / ".pglite-port-elsewhere").write_text("y")
    done = run("dump", "-D", str(data))
    assert done.returncode == 0, done
    assert set(members(done.stdout)) == {*members(archive), "/base/.pglite-port-elsewhere"}
    assert run("restore", "-D", str(tmp_path / "copy"), stdin=done.stdout).returncode == 0


def test_a_size_is_not_believed(tmp_path):
    """A header that claims 60 GiB, in a WAL segment or elsewhere, takes no space."""
    for name in ("/pg_wal/000000010000000000000001", "/base/1/1234"):
        header = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
        header[124:136] = b"%012o" % (60 << 30)
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        data = tmp_path / "data"
        process = subprocess.Popen(
            [*w.port_command(), "restore", "-D", data], env=w.port_environment(),
            stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        process.stdin.write(bytes(header) + bytes(3 << 20))
        process.stdin.flush()
        staged = data / ".pglite-port-restore" / name[1:]
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (staged.exists() and staged.stat().st_size >= 1 << 20):
            time.sleep(0.01)
        time.sleep(0.1)
        # Only what has come is there.
        found = staged.stat() if staged.exists() else None
        process.stdin.close()
        said = process.stderr.read()
        assert process.wait(60) == 65 and b"truncated" in said, said
        assert found and found.st_size <= 4 << 20 and found.st_blocks * 512 <= 4 << 20, found
        assert os.listdir(tmp_path) == []


def test_dump_leaves_the_directory_as_it_is(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    before = {p: p.read_bytes() for p in data.rglob("*") if p.is_file()}
    assert run("dump", "-D", str(data)).returncode == 0
    assert {p: p.read_bytes() for p in data.rglob("*") if p.is_file()} == before


def test_a_killed_cluster_is_recovered_first(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    with w.PortProcess("-D", str(data)) as p:
        p.query("insert into t (v) select 'killed' from generate_series(1, 1000)").ok()
        p.kill()
    dumped = run("dump", "-D", str(data))
    assert (dumped.returncode, dumped.stderr) == (0, b"")
    assert run("restore", "-D", str(tmp_path / "copy"), stdin=dumped.stdout).returncode == 0
    assert value(tmp_path / "copy", "select count(*) from t") == "1001"
    assert value(data, "select count(*) from t") == "1001"


def test_a_directory_in_use_is_not_dumped(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    file = tmp_path / "archive"
    with w.PortProcess("-D", str(data)) as p:
        assert p.value("select 1") == "1"
        done = run("dump", "-D", str(data), "-o", str(file))
        assert done.returncode == 75 and f"process {p.pid}" in one_line(done), done
        done = run("restore", "-D", str(data))
        assert done.returncode == 75, done
        assert p.finish() == 0
    assert os.listdir(tmp_path) == ["data"]


def test_what_cannot_be_dumped(tmp_path, copy_made):
    done = run("dump", "-D", str(tmp_path / "missing"))
    assert done.returncode == 74 and "No such file" in one_line(done)
    assert not (tmp_path / "missing").exists()
    (tmp_path / "empty").mkdir()
    done = run("dump", "-D", str(tmp_path / "empty"))
    assert done.returncode == 65 and "is empty" in one_line(done)
    assert os.listdir(tmp_path / "empty") == []
    data = copy_made(tmp_path / "data")
    (data / "link").symlink_to("/etc")
    done = run("dump", "-D", str(data))
    assert done.returncode == 65 and "neither a file nor a directory" in one_line(done)
    done = run("dump", "-D", str(data), "-o", str(tmp_path / "no" / "file"))
    assert done.returncode == 74 and "No such file" in one_line(done)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_told(made):
    done = run("dump", "-D", str(made), "-o", "/dev/full")
    assert done.returncode == 74 and "No space left" in one_line(done)


def test_an_old_archive_stays_when_the_new_one_fails(tmp_path):
    file = tmp_path / "archive"
    file.write_bytes(b"the old one")
    assert run("dump", "-D", str(tmp_path / "missing"), "-o", str(file)).returncode == 74
    assert file.read_bytes() == b"the old one"
    assert os.listdir(tmp_path) == ["archive"]


def test_a_killed_dump_leaves_nothing(tmp_path, made):
    """Not where the file system has files without names; elsewhere the next dump clears up."""
    file = tmp_path / "archive"
    left, busy, other = (tmp_path / f"archive.new-{suffix}" for suffix in ("1234", "99", "1a"))
    for path in (left, busy, other):
        path.write_bytes(b"half")
    with busy.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for delay in (0.02, 0.05, 0.1):
            dump = subprocess.Popen(
                [*w.port_command(), "dump", "-D", made, "-o", file], env=w.port_environment()
            )
            try:
                dump.wait(delay)
            except subprocess.TimeoutExpired:
                dump.kill()
                dump.wait()
        done = run("dump", "-D", str(made), "-o", str(file))
        assert done.returncode == 0, done
    assert sorted(os.listdir(tmp_path)) == ["archive", "archive.new-1a", "archive.new-99"]


@pytest.mark.parametrize("command", ["dump", "restore"])
def test_a_directory_is_needed(command):
    done = run(command)
    assert done.returncode == 64 and "needs a directory" in one_line(done)
    done = run(command, "-D", "idb://x")
    assert done.returncode == 64 and "browser" in one_line(done)
    done = run(command, "--nonsense")
    assert done.returncode == 64 and "--nonsense" in one_line(done)


def test_gzip_is_yes_or_no():
    done = run("dump", "-D", "/nowhere", PGLITE_DUMP_GZIP="maybe")
    assert done.returncode == 64 and "--gzip (PGLITE_DUMP_GZIP) is 'maybe'; accepted is 1 or 0" in one_line(done)


def test_only_into_nothing(tmp_path, archive, copy_made):
    data = copy_made(tmp_path / "data")
    before = {p: p.read_bytes() for p in data.rglob("*") if p.is_file()}
    done = run("restore", "-D", str(data), stdin=archive)
    assert done.returncode == 65 and "holds a cluster already" in one_line(done)
    assert {p: p.read_bytes() for p in data.rglob("*") if p.is_file()} == before
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("mine")
    done = run("restore", "-D", str(home), stdin=archive)
    assert done.returncode == 65 and "neither empty" in one_line(done)
    assert os.listdir(home) == ["thesis.txt"]


def renamed(info: tarfile.TarInfo, **changes) -> tarfile.TarInfo:
    other = tarfile.TarInfo(info.name)
    other.mode, other.type = info.mode, info.type
    for name, what in changes.items():
        setattr(other, name, what)
    return other


def bad_archives(archive: bytes) -> dict[str, tuple[bytes, str]]:
    def extra(**changes):
        """One more entry behind PG_VERSION."""

        def change(info, content):
            yield info, content
            if info.name.endswith("PG_VERSION") and info.name.count("/") == 1:
                yield renamed(info, **changes), b"" if "type" in changes else content

        return rebuilt(archive, change)

    def version(text):
        return rebuilt(
            archive, lambda i, c: [(i, text if i.name == "/PG_VERSION" else c)]
        )

    def without(name):
        return rebuilt(archive, lambda i, c: [] if i.name == name else [(i, c)])

    packed = gzip.compress(archive, 1)
    return {
        "empty": (b"", "truncated"),
        "text": (b"not an archive at all\n" * 100, "not a tar archive"),
        "SQL": (b"select 1;\n", "sql -f"),
        "truncated": (archive[: len(archive) // 2], "truncated"),
        "without an end": (archive[:-1024], "truncated"),
        "truncated gzip": (packed[:-1], "truncated"),
        "half a gzip": (packed[: len(packed) // 2], "truncated"),
        "damaged gzip": (packed[:-8] + b"\0\0\0\0" + packed[-4:], "damaged"),
        "two archives": (archive + archive, "follows"),
        "dot dot": (extra(name="../../escaped"), "not inside"),
        "dot dot inside": (extra(name="base/../../escaped"), "not inside"),
        "slashes": (extra(name="//escaped"), "not inside"),
        "a symbolic link": (extra(name="pg_wal2", type=tarfile.SYMTYPE, linkname="/etc"), "link"),
        "a hard link": (extra(name="x", type=tarfile.LNKTYPE, linkname="/etc/passwd"), "link"),
        "a device": (extra(name="x", type=tarfile.CHRTYPE), "neither a file"),
        "a pipe": (extra(name="x", type=tarfile.FIFOTYPE), "neither a file"),
        "twice": (extra(name="/PG_VERSION"), "twice"),
        # Names of our own: with one of them the directory could not be opened any more.
        **{
            f"our own {name}": (extra(name=name, **changes), "own marks")
            for name, changes in [
                ("/.pglite-port-restore-complete", {"type": tarfile.DIRTYPE}),
                ("/.pglite-port-restore-complete/x", {}),
                ("/.pglite-port-new-complete", {}),
                ("/.pglite-port-new", {}),
                ("./.pglite-port-unfinished", {}),
                (".pglite-port-of-tomorrow", {}),
            ]
        },
        "version 17": (version(b"17\n"), "PostgreSQL 17"),
        "version 19": (version(b"19\n"), "PostgreSQL 19"),
        "a strange version": (version(b"\x1b[31m\n"), "unreadable version"),
        "no version": (without("/PG_VERSION"), "no PG_VERSION"),
        "no control file": (without("/global/pg_control"), "no usable cluster"),
    }


def test_bad_archives_leave_nothing(tmp_path, archive):
    for name, (content, message) in bad_archives(archive).items():
        data = tmp_path / "inside" / "data"
        data.parent.mkdir()
        done = run("restore", "-D", str(data), stdin=content)
        assert done.returncode == 65, (name, done.returncode, done.stderr)
        assert message in one_line(done), name
        assert os.listdir(tmp_path) == ["inside"] and os.listdir(data.parent) == [], name
        data.mkdir()
        assert run("restore", "-D", str(data), stdin=content).returncode == 65
        assert os.listdir(data) == [], name
        data.rmdir()
        data.parent.rmdir()


def test_what_tar_made_of_a_directory(tmp_path, made):
    subprocess.run(["tar", "-C", made, "-czf", tmp_path / "a.tgz", "."], check=True)
    assert run("restore", "-D", str(tmp_path / "d"), "-f", str(tmp_path / "a.tgz")).returncode == 0
    assert value(tmp_path / "d", "select v from t") == "kept"


@pytest.mark.parametrize("how", ["pax", "gnu", "ustar", "posix", "python", "files only"])
def test_what_archivers_make_of_a_directory(how, tmp_path, made):
    file = tmp_path / "a.tar"
    if how == "python":
        with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
            tar.add(made, arcname=".")
    elif how == "files only":
        names = [str(p.relative_to(made)) for p in made.rglob("*") if p.is_file()]
        subprocess.run(["tar", "-C", made, "-cf", file, *names], check=True)
    else:
        subprocess.run(["tar", "-H", how, "-C", made, "-cf", file, "."], check=True)
    done = run("restore", "-D", str(tmp_path / "d"), "-f", str(file))
    assert done.returncode == 0, done.stderr
    assert value(tmp_path / "d", "select v from t") == "kept"


def test_extended_headers_are_followed(tmp_path, archive):
    def change(info, content):
        # A size that only the record has, and names that fit into no header.
        if info.name == "/PG_VERSION":
            info.pax_headers = {"mtime": "1700000000.5", "comment": "x"}
            longest = renamed(info, name="/base/1/" + "n" * 200)
            yield longest, content
        yield info, content

    data = tmp_path / "data"
    done = run("restore", "-D", str(data), stdin=rebuilt(archive, change, tarfile.PAX_FORMAT))
    assert done.returncode == 0, done.stderr
    assert (data / "base" / "1" / ("n" * 200)).read_bytes() == b"18\n"
    assert value(data, "select v from t") == "kept"


def test_a_stale_pid_file_is_left_out(tmp_path, archive):
    def change(info, content):
        yield info, content
        if info.name == "/PG_VERSION":
            yield renamed(info, name="/postmaster.pid"), f"{os.getpid()}\n/somewhere\n1\n".encode()

    data = tmp_path / "data"
    assert run("restore", "-D", str(data), stdin=rebuilt(archive, change)).returncode == 0
    assert not (data / "postmaster.pid").exists()
    assert value(data, "select v from t") == "kept"


def test_a_kill_at_any_moment_of_a_restore(tmp_path, archive):
    """Nothing or all: another restore can be made, or the cluster opens with its data."""
    file = tmp_path / "archive"
    file.write_bytes(archive)
    ended = set()
    for delay in (0.005, 0.01, 0.02, 0.04, 0.08, 0.12, 0.16, 0.2, 0.3, 0.5):
        data = tmp_path / f"data{delay}"
        process = subprocess.Popen(
            [*w.port_command(), "restore", "-D", data, "-f", file], env=w.port_environment()
        )
        killer = threading.Timer(delay, process.send_signal, [signal.SIGKILL])
        killer.start()
        process.wait()
        killer.cancel()
        if (data / "base").exists():
            ended.add("after")
        else:
            ended.add("before")
            done = run("restore", "-D", str(data), "-f", str(file))
            # Where all was there but its last names, the next start gives it these, and it is not made anew.
            finished = done.returncode == 65 and b"whose making was finished now" in done.stderr
            assert done.returncode == 0 or finished, done
        # A role that is in the cluster: an interrupted restore is not taken for a new cluster.
        assert value(data, "select v from t") == "kept"
        assert not [p for p in os.listdir(data) if p.startswith(".pglite")]
    assert "before" in ended


def test_an_interrupted_move_of_a_restore_is_finished(tmp_path, archive):
    data = tmp_path / "data"
    with w.PortProcess("-D", str(tmp_path / "alice"), "-U", "alice", "-d", "shop") as p:
        p.query("create table mine as select 7 as a").ok()
        assert p.finish() == 0
    staging = data / ".pglite-port-restore-complete"
    staging.mkdir(parents=True, mode=0o700)
    for entry in os.listdir(tmp_path / "alice"):
        target = data if entry in ("base", "pg_wal") else staging
        os.rename(tmp_path / "alice" / entry, target / entry)
    with w.PortProcess("-D", str(data), "-U", "alice", "-d", "shop") as p:
        assert p.value("select a from mine") == "7"
        assert p.finish() == 0
    assert not staging.exists()

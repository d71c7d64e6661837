"""Damaged directories: what opening says, and `pglite-port repair`."""

import os
import resource
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pgwire as w
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "durability"))
from test_kill import run_amcheck  # noqa: E402

SEGMENT = 16 << 20


# What is on disk is not what these tests look at, except for one of them.
RELAXED = {"PGLITE_DURABILITY": "relaxed"}


def run(*args, env=None, timeout=300):
    return w.run_port(*args, env=RELAXED | (env or {}), timeout=timeout)


def port(data: Path) -> w.PortProcess:
    return w.PortProcess("-D", str(data), env=RELAXED)


def repair(data: Path, *args, **options):
    return run("repair", "--reset-wal", "-D", str(data), *args, **options)


def contents(directory: Path) -> dict[str, bytes | None]:
    return {
        str(p.relative_to(directory)): p.read_bytes() if p.is_file() else None
        for p in directory.rglob("*")
    }


def value(data: Path, sql: str) -> str | None:
    with port(data) as p:
        found = p.value(sql)
        assert p.finish() == 0, p.stderr()
        return found


def copies(data: Path) -> list[Path]:
    return sorted(data.parent.glob(data.name + ".before-repair-*"))


def last_checkpoint(data: Path) -> int:
    return struct.unpack_from("<Q", (data / "global/pg_control").read_bytes(), 32)[0]


def wal(data: Path) -> list[Path]:
    return sorted(p for p in (data / "pg_wal").iterdir() if len(p.name) == 24)


def flip(file: Path, offset: int, count: int = 2) -> None:
    with file.open("r+b") as f:
        f.seek(offset)
        old = f.read(count)
        f.seek(offset)
        f.write(bytes(b ^ 0xFF for b in old))


@pytest.fixture(scope="module")
def crashed(made, tmp_path_factory) -> Path:
    """A cluster whose server was killed: 5,001 rows at its last checkpoint, 100 more in a WAL of
    several segments."""
    data = tmp_path_factory.mktemp("crashed") / "data"
    shutil.copytree(made, data)
    with port(data) as p:
        p.query("insert into t (v) select md5(g::text) from generate_series(1, 5000) g").ok()
        p.query("create table filler as select repeat(md5(g::text), 50) from generate_series(1, 30000) g").ok()
        p.query("checkpoint").ok()
        p.query("insert into t (v) select 'late' from generate_series(1, 100) g").ok()
        p.query("create table late as select repeat(md5(g::text), 50) from generate_series(1, 30000) g").ok()
        p.kill()
    assert len(wal(data)) >= 3
    return data


def truncate_last(data: Path) -> None:
    os.truncate(wal(data)[last_checkpoint(data) // SEGMENT - int(wal(data)[0].name[16:], 16)], 1 << 20)


def flip_checkpoint(data: Path) -> None:
    position = last_checkpoint(data)
    flip(data / f"pg_wal/0000000100000000{position // SEGMENT:08X}", position % SEGMENT + 60)


def delete_segments(data: Path) -> None:
    for segment in wal(data):
        segment.unlink()


def delete_wal(data: Path) -> None:
    shutil.rmtree(data / "pg_wal")


def zero_wal(data: Path) -> None:
    for segment in wal(data):
        segment.write_bytes(bytes(SEGMENT))


def flip_control(data: Path) -> None:
    flip(data / "global/pg_control", 80)


def truncate_control(data: Path) -> None:
    os.truncate(data / "global/pg_control", 100)


def empty_control(data: Path) -> None:
    os.truncate(data / "global/pg_control", 0)


def delete_control(data: Path) -> None:
    (data / "global/pg_control").unlink()


WAL_DAMAGE = [truncate_last, flip_checkpoint, delete_segments, delete_wal, zero_wal]
CONTROL_DAMAGE = [flip_control, truncate_control, empty_control, delete_control]


@pytest.mark.parametrize("damage", WAL_DAMAGE + CONTROL_DAMAGE, ids=lambda d: d.__name__)
@pytest.mark.parametrize("state", ["shut down", "crashed"])
def test_damage_and_repair(tmp_path, copy_made, crashed, state, damage):
    data = tmp_path / "data"
    if state == "crashed":
        shutil.copytree(crashed, data)
    else:
        copy_made(data)
    damage(data)
    before = contents(data)

    # It says what is damaged, what PostgreSQL said, and what can be done.
    done = run("sql", "-D", str(data), "-c", "select 1")
    said = done.stderr.decode().splitlines()[-1]
    assert done.returncode == 65 and done.stdout == b"", done
    damaged = "pg_wal" if damage in WAL_DAMAGE else "global/pg_control"
    assert f'data directory "{data}"' in said and f"({damaged}) is damaged" in said, said
    assert "PANIC:  " in said or "FATAL:  " in said, said
    assert f"pglite-port repair --reset-wal -D {data}" in said, said
    # Nothing was reset.
    after = contents(data)
    assert {k: v for k, v in after.items() if k != "postmaster.pid"} == {
        k: v for k, v in before.items() if k != "postmaster.pid"
    }

    done = repair(data)
    report = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b""), done
    assert len(copies(data)) == 1 and str(copies(data)[0]) in report
    copied = contents(copies(data)[0])
    assert {k: v for k, v in copied.items() if k != "postmaster.pid"} == {
        k: v for k, v in before.items() if k != "postmaster.pid"
    }
    if state == "shut down" and damage in WAL_DAMAGE:
        assert "its files were complete without the WAL" in report
    else:
        assert "WARNING: the data may be inconsistent" in report

    # What was checkpointed is there, and the database can be written to.
    with port(data) as p:
        if state == "crashed":
            assert p.value("select count(*) from t where v <> 'late'") == "5001"
            assert p.value("select count(*) from filler") == "30000"
        else:
            assert p.value("select v from t") == "kept"
        p.query("set enable_seqscan = off").ok()
        assert p.value("select count(*) from t where v = 'kept'") == "1"
        p.query("create table anew as select 1 as a; insert into t (v) values ('after')").ok()
        p.query("vacuum").ok()
        p.query("checkpoint").ok()
        assert p.finish() == 0, p.stderr()
    assert value(data, "select count(*) from t where v = 'after'") == "1"
    if state == "shut down":
        run_amcheck(data, tmp_path)


def test_a_crash_after_the_repair_is_recovered(tmp_path, crashed):
    """The new WAL is one that recovery reads."""
    data = tmp_path / "data"
    shutil.copytree(crashed, data)
    flip_checkpoint(data)
    done = repair(data, "--no-copy", "--durability", "full")
    assert done.returncode == 0 and copies(data) == [], done
    with port(data) as p:
        p.query("create table anew as select generate_series(1, 10000) as a").ok()
        p.kill()
    assert value(data, "select count(*) from anew") == "10000"


def test_transaction_numbers_are_not_given_out_twice(tmp_path, crashed):
    data = tmp_path / "data"
    shutil.copytree(crashed, data)
    # The number of the transaction that the last checkpoint does not know.
    copy = tmp_path / "copy"
    shutil.copytree(crashed, copy)
    used = int(value(copy, "select max(xmin::text::int) from t"))
    flip_checkpoint(data)
    assert repair(data, "--no-copy").returncode == 0
    assert int(value(data, "select pg_current_xact_id()")) > used


@pytest.mark.parametrize(
    "name",
    [
        "00000001FFFFFFFF000000FF",  # the very last one: no WAL can follow
        "00000001FFFFFFFFFFFFFFFF",  # there is no such segment
        "000000010000000000000100",
        "FFFFFFFF0000000000000009",
    ],
)
def test_names_of_segments_are_not_believed_without_bound(tmp_path, copy_made, name):
    data = copy_made(tmp_path / "data")
    (data / "pg_wal" / name).touch()
    flip(data / "global/pg_control", 80)
    done = repair(data, "--no-copy")
    assert done.returncode == 0, done
    assert f"the name pg_wal/{name} is not believed".encode() in done.stdout, done
    for i in range(3):
        assert value(data, f"create table t{i} as select 1; select v from t") == "kept"
    assert name not in [p.name for p in wal(data)]


def test_guessing_is_for_those_who_ask_for_it(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    delete_control(data)
    delete_segments(data)
    before = contents(data)
    done = repair(data)
    assert done.returncode == 65 and b"--force" in done.stderr, done
    assert b"guessed values:\n  system identifier" in done.stdout
    assert contents(data) == before and copies(data) == []
    done = repair(data, "--force")
    assert done.returncode == 0 and b"WARNING" in done.stdout, done
    assert value(data, "select v from t") == "kept"
    run_amcheck(data, tmp_path)


def test_a_directory_that_opens_is_left_alone(tmp_path, crashed):
    data = tmp_path / "data"
    shutil.copytree(crashed, data)
    done = repair(data)
    assert done.returncode == 64 and b"opens: its WAL was not reset" in done.stderr, done
    assert copies(data) == []
    assert value(data, "select count(*) from t") == "5101"
    done = repair(data, "--force")
    assert done.returncode == 0 and len(copies(data)) == 1, done
    assert value(data, "select count(*) from t") == "5101"


def test_dry_run_changes_nothing(tmp_path, crashed):
    data = tmp_path / "data"
    shutil.copytree(crashed, data)
    flip_checkpoint(data)
    before = contents(data)
    done = repair(data, "--dry-run")
    assert done.returncode == 0 and b"first WAL segment" in done.stdout, done
    assert done.stdout.endswith(b"nothing was changed\n")
    after = contents(data)
    before.pop("postmaster.pid")
    assert after == before


def test_an_owner_is_not_disturbed(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    with port(data) as p:
        assert p.value("select 1") == "1"
        for options in ([], ["--force"], ["--dry-run"]):
            done = repair(data, *options)
            assert done.returncode == 75 and f"process {p.pid}".encode() in done.stderr, done
        assert p.value("select v from t") == "kept"
        assert p.finish() == 0
    assert copies(data) == []


def test_no_copy_no_repair(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    flip_checkpoint(data)
    before = contents(data)
    left = tmp_path / "data.before-repair-20200101T000000Z.partial"
    left.mkdir()
    (left / "PG_VERSION").write_text("18\n")
    # The first file that is larger cannot be copied.
    done = subprocess.run(
        [*w.port_command(), "repair", "--reset-wal", "-D", data],
        env=w.port_environment(RELAXED), capture_output=True, timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )  # fmt: skip
    assert done.returncode == 74 and b"File too large" in done.stderr, done
    assert b"--no-copy" in done.stderr
    assert contents(data) == before
    # Neither this attempt's nor an older one's.
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_what_a_new_wal_does_not_mend(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    with (data / "postgresql.conf").open("a") as f:
        f.write("work_mem == 5\n")
    done = repair(data)
    assert done.returncode == 65 and b"a new WAL does not mend that" in done.stderr, done
    assert copies(data) == []
    done = repair(tmp_path / "missing")
    assert done.returncode == 74 and not (tmp_path / "missing").exists(), done
    (tmp_path / "empty").mkdir()
    done = repair(tmp_path / "empty", "--force")
    assert done.returncode == 65 and list((tmp_path / "empty").iterdir()) == [], done
    (data / "PG_VERSION").write_text("17\n")
    done = repair(data, "--force")
    assert done.returncode == 65 and b"PostgreSQL 17" in done.stderr, done


def test_options(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    done = run("repair", "-D", str(data))
    assert done.returncode == 64 and b"--reset-wal (PGLITE_REPAIR_RESET_WAL)" in done.stderr, done
    done = run("repair", "--reset-wal")
    assert done.returncode == 64 and b"repair needs a directory" in done.stderr, done
    done = run("repair", "-D", str(data), env={"PGLITE_REPAIR_RESET_WAL": "perhaps"})
    assert done.returncode == 64 and b"accepted is 1 or 0" in done.stderr, done
    delete_segments(data)
    variables = {"PGLITE_REPAIR_RESET_WAL": "1", "PGLITE_REPAIR_NO_COPY": "1"}
    done = run("repair", "-D", str(data), env={**variables, "PGLITE_REPAIR_DRY_RUN": "1"})
    assert done.returncode == 0 and b"nothing was changed" in done.stdout, done
    done = run("repair", "-D", str(data), env=variables)
    assert done.returncode == 0 and copies(data) == [], done
    assert value(data, "select v from t") == "kept"


def damaged(text: str):
    return lambda data: (data / "postgresql.conf").open("a").write(text)


UNUSABLE = {
    "a syntax error": (damaged("\nthis is = = bad\n"), 65, 'syntax error in file "{data}/postgresql.conf" line '),
    "an unknown parameter": (damaged("nonsense = 3\n"), 65, 'unrecognized configuration parameter "nonsense" in file "{data}/postgresql.conf" line '),
    "a bad value": (damaged("work_mem = banana\n"), 65, 'invalid value for parameter "work_mem": "banana"'),
    "a missing include": (damaged("include 'nothere.conf'\n"), 65, 'could not open configuration file "{data}/nothere.conf"'),
    "no postgresql.conf": (lambda d: (d / "postgresql.conf").unlink(), 65, 'could not access the server configuration file "{data}/postgresql.conf": No such file'),
    "a directory of that name": (lambda d: ((d / "postgresql.conf").unlink(), (d / "postgresql.conf").mkdir()), 74, 'failed at file "{data}/postgresql.conf" line 1'),
    "bad authentication": (lambda d: (d / "pg_hba.conf").write_text("garbage\n"), 65, 'invalid connection type "garbage"; line 1 of configuration file "{data}/pg_hba.conf"'),
    "no base": (lambda d: shutil.rmtree(d / "base"), 65, 'The database subdirectory "base/5" is missing.'),
    "no database's version": (lambda d: (d / "base/5/PG_VERSION").unlink(), 65, 'File "base/5/PG_VERSION" is missing.'),
    "no catalog": (lambda d: (d / "base/5/1259").unlink(), 65, 'could not open file "base/5/1259": No such file'),
    "no pg_xact": (lambda d: shutil.rmtree(d / "pg_xact"), 65, 'Could not open file "pg_xact/0000": No such file'),
    "a damaged map": (lambda d: flip(d / "global/pg_filenode.map", 9), 65, '"global/pg_filenode.map" contains incorrect checksum'),
    "no PG_VERSION": (lambda d: (d / "PG_VERSION").unlink(), 65, "PG_VERSION"),
    "an empty PG_VERSION": (lambda d: (d / "PG_VERSION").write_text(""), 65, "PG_VERSION"),
    "a strange PG_VERSION": (lambda d: (d / "PG_VERSION").write_bytes(b"\xff\x00\x1b[31m"), 65, "PG_VERSION"),
    "PG_VERSION a directory": (lambda d: ((d / "PG_VERSION").unlink(), (d / "PG_VERSION").mkdir()), 65, "PG_VERSION"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_is_wrong_is_said(tmp_path, copy_made, case):
    data = copy_made(tmp_path / "data")
    damage, code, message = UNUSABLE[case]
    damage(data)
    done = run("sql", "-D", str(data), "-c", "select 1")
    said = done.stderr.decode().splitlines()[-1]
    assert done.returncode == code, done
    assert message.format(data=data) in said, said
    assert str(data) in said and "trap" not in said and "/pglite/data" not in said, said

"""Data directories and archives, from PGlite on Node to here and back."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pgwire as w
import pytest

SCRIPT = Path(__file__).with_name("pglite_directory.mjs")

pytestmark = pytest.mark.skipif(
    not os.environ.get("PGLITE_NPM_DIR") or not shutil.which("node"),
    reason="needs node and PGLITE_NPM_DIR, the unpacked npm package of PGlite",
)

MAKE = """
create table person (id serial primary key, name text not null, born date, extra jsonb);
insert into person (name, born, extra)
  select 'Zoë ' || g, date '2000-01-01' + g, jsonb_build_object('n', g, 'tags', array['a', 'b'])
  from generate_series(1, 2000) g;
create index person_name on person (name);
create table large (id int primary key, body text, raw bytea);
insert into large select g, repeat(md5(g::text), 5000), decode(repeat(md5(g::text), 9000), 'hex')
  from generate_series(1, 5) g;
create view adults as select * from person where born < '2001-01-01';
create function twice(n int) returns int language plpgsql as $$ begin return n * 2; end $$;
create type mood as enum ('sad', 'happy');
create table feels (who int references person (id), what mood);
insert into feels values (1, 'happy'), (2, 'sad');
create sequence counter; select nextval('counter'), nextval('counter');
delete from person where id % 10 = 0;
"""

# One text that changes with everything that was made.
LOOK = """
select concat_ws('|',
  (select count(*) from person), (select md5(string_agg(p::text, ',' order by id)) from person p),
  (select md5(string_agg(body || raw::text, ',' order by id)) from large),
  (select count(*) from adults), twice(21),
  (select string_agg(what::text, ',' order by who) from feels),
  (select count(*) from person where name >= 'Zoë 5' and name < 'Zoë 6'),
  (select last_value from counter)) as look
"""


def node(*args) -> str:
    done = subprocess.run(
        ["node", SCRIPT, os.environ["PGLITE_NPM_DIR"], *map(str, args)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def node_value(*args) -> str:
    ((value,),) = json.loads(node(*args).splitlines()[-1])
    return value


def here(data: Path, *statements: str) -> str | None:
    """The value of the last statement."""
    with w.PortProcess("-D", str(data)) as p:
        for sql in statements:
            result = p.query(sql).ok()
        assert p.finish() == 0, p.stderr()
    return result.value


@pytest.fixture(scope="module")
def node_directory(tmp_path_factory):
    """Made by PGlite with NodeFS, closed; and what is in it."""
    data = tmp_path_factory.mktemp("node") / "data"
    return data, node_value("query", data, MAKE + LOOK)


@pytest.fixture(scope="module")
def our_directory(tmp_path_factory):
    data = tmp_path_factory.mktemp("ours") / "data"
    return data, here(data, MAKE, LOOK)


def copied(made, to: Path):
    shutil.copytree(made[0], to, symlinks=True)
    return to, made[1]


def test_both_make_the_same(node_directory, our_directory):
    assert node_directory[1] == our_directory[1]
    assert our_directory[1].startswith("1800|")


def test_a_directory_of_node_opens_here_and_goes_back(tmp_path, node_directory):
    data, look = copied(node_directory, tmp_path / "data")
    assert here(data, LOOK) == look
    changed = here(data, "insert into person (name) values ('from here')", LOOK)
    assert changed != look
    assert node_value("query", data, LOOK) == changed
    back = node_value("query", data, "update feels set what = 'happy';" + LOOK)
    assert here(data, LOOK) == back


def test_a_directory_of_ours_opens_on_node_and_comes_back(tmp_path, our_directory):
    data, look = copied(our_directory, tmp_path / "data")
    assert node_value("query", data, LOOK) == look
    changed = node_value("query", data, "insert into person (name) values ('from Node');" + LOOK)
    assert changed != look
    assert here(data, LOOK) == changed
    assert here(data, "reindex table person", "select count(*) from person") == "1801"


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_an_archive_of_node_is_restored_here(tmp_path, node_directory, compression):
    data, look = copied(node_directory, tmp_path / "data")
    file = tmp_path / "archive"
    node("dump", data, compression, file)
    assert (file.read_bytes()[:2] == b"\x1f\x8b") == (compression == "gzip")
    done = w.run_port("restore", "-D", str(tmp_path / "restored"), "-f", str(file))
    assert (done.returncode, done.stderr) == (0, b"")
    assert here(tmp_path / "restored", LOOK) == look
    assert here(tmp_path / "restored", "create table more (a int)", LOOK) == look


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("name", ["archive", "with a suffix"])
def test_an_archive_of_ours_loads_on_node(tmp_path, our_directory, compression, name):
    data, look = our_directory
    suffix = "" if name == "archive" else ".tar.gz" if compression == "gzip" else ".tar"
    file = tmp_path / f"archive{suffix}"
    flags = ["--gzip"] if compression == "gzip" else []
    done = w.run_port("dump", "-D", str(data), "-o", str(file), *flags)
    assert (done.returncode, done.stderr) == (0, b"")
    assert node_value("load", file, LOOK) == look


def test_a_dump_of_a_node_directory_loads_on_node(tmp_path, node_directory):
    """Node's close leaves no shutdown checkpoint where it was killed; either way this works."""
    data, look = copied(node_directory, tmp_path / "data")
    assert w.run_port("dump", "-D", str(data), "-o", str(tmp_path / "a.tar")).returncode == 0
    assert node_value("load", tmp_path / "a.tar", LOOK) == look


@pytest.mark.parametrize("form", ["Plain", "Gzip"])
def test_an_archive_of_a_live_memory_instance(tmp_path, form):
    """The library's Instance::dump(), by way of its unit test."""
    test = Path(w.port_command()[0]).parent / "tests/unit/pglite/pglite_test"
    if not test.exists():
        pytest.skip("the unit tests are not built beside the program")
    file = tmp_path / "archive"
    subprocess.run(
        [test, f"--gtest_filter=*/DumpTest.AMemoryInstanceBecomesADirectory/{form}"],
        env=os.environ | {"PGLITE_TEST_ARCHIVE": str(file)}, check=True, timeout=300, capture_output=True,
    )  # fmt: skip
    done = subprocess.run(
        ["node", SCRIPT, os.environ["PGLITE_NPM_DIR"], "load", file, "select count(*), max(g) from t"],
        check=True, timeout=300, capture_output=True,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == [[5000, 5000]]

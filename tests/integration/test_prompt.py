"""`pglite-port sql` on a real pseudo terminal: a person who types, has names completed, recalls statements,
cancels queries and uses psql's commands."""

import os
import re
import signal
import stat
import time

import pexpect
import pgwire as w
import pytest
import serving

TIMEOUT = 60
UP, TAB, CTRL_C, CTRL_D, CTRL_R, CTRL_U = "\x1b[A", "\t", "\x03", "\x04", "\x12", "\x15"


class Person:
    """At a terminal of 24 lines and 80 columns."""

    def __init__(self, *arguments, home, command=("sql",), columns=80, wait="postgres=# ", **env):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TERM": "xterm",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PGLITE_SQL_PAGER": "none",
            "ASAN_OPTIONS": "detect_leaks=0",  # libedit keeps what it has copied to its end
            **env,
        }
        program, *first = w.port_command()
        self.child = pexpect.spawn(
            program,
            [*first, *command, *map(str, arguments)],
            env=environment,
            encoding="utf-8",
            codec_errors="replace",  # the port answers in bytes
            dimensions=(24, columns),
            timeout=TIMEOUT,
        )
        self.child.delaybeforesend = None
        self.greeting = self.until(wait) if wait else ""

    def until(self, text):
        """What came before `text`, without what moves the cursor."""
        self.child.expect_exact(text)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>()][0-9A-Z]?", "", self.child.before).replace("\r", "")

    def type(self, text):
        self.child.send(text)

    def ask(self, line, prompt="postgres=# "):
        """What is printed behind the line that was typed."""
        self.type(line + "\n")
        return self.until(prompt).partition("\n")[2]

    def leave(self, keys="\\q\n"):
        self.type(keys)
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus


@pytest.fixture
def sit(tmp_path):
    people = []

    def sit_down(*arguments, **options):
        people.append(Person(*arguments, home=tmp_path, **options))
        return people[-1]

    yield sit_down
    for person in people:
        if not person.child.closed:
            person.child.close(force=True)


@pytest.fixture(scope="module")
def server():
    with serving.Server("-D", "memory://") as running:
        yield running


def url(server):
    return f"postgres://postgres@127.0.0.1:{server.port}/postgres"


def history(home):
    return home / ".local/state/pglite-port/history"


# Statements --------------------------------------------------------------------------------------


def test_results_and_errors_and_the_end(sit):
    person = sit()
    assert "PostgreSQL 18.6 in memory. \\? for help, \\q to leave." in person.greeting
    assert person.ask("select 6 * 7 as answer;") == " answer \n--------\n     42\n(1 row)\n\n"
    assert "ERROR:  division by zero" in person.ask("select 1/0;")
    assert "LINE 1: select nope;" in person.ask("select nope;")
    assert "CREATE TABLE" in person.ask("create table t (v text); insert into t values ('häß漢');")
    assert " häß漢\n" in person.ask("table t;")
    assert "NOTICE:  hello" in person.ask("do $$ begin raise notice 'hello'; end $$;")
    assert person.leave() == 0


def test_the_prompt_shows_what_is_open_and_the_transaction(sit):
    person = sit()
    person.ask("select (1", "postgres(# ")
    person.ask("), 'a", "postgres'# ")
    person.ask("' as \"x", 'postgres"# ')
    person.ask('y" /* z', "postgres*# ")
    person.ask("*/, $q$", "postgres$# ")
    person.ask("$q$", "postgres-# ")
    assert "(1 row)" in person.ask(";")
    person.ask("begin;", "postgres=*# ")
    person.ask("select", "postgres-*# ")
    person.ask("1/0;", "postgres=!# ")
    person.ask("rollback;")
    person.ask("create role alice; set role alice;", "postgres=> ")
    person.ask("reset role;")


def test_several_statements_in_a_line_and_after_an_error(sit):
    person = sit()
    shown = person.ask("select 1 as one; select 1/0; select 2 as two;")
    assert shown.index(" one ") < shown.index("ERROR:") < shown.index(" two ")


def test_ctrl_d_leaves_and_so_does_a_terminal_that_is_gone(sit, tmp_path):
    person = sit("-D", tmp_path / "data")
    person.ask("select", "postgres-# ")
    assert person.leave(CTRL_D) == 0
    person = sit("-D", tmp_path / "data")
    os.close(person.child.fileno())
    person.child.closed = True
    deadline = time.monotonic() + TIMEOUT
    while os.waitpid(person.child.pid, os.WNOHANG)[0] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_notifications(sit):
    person = sit()
    shown = person.ask("listen news; notify news, 'now';")
    assert 'Asynchronous notification "news" with payload "now" received' in shown


def test_copy_from_the_terminal(sit):
    person = sit()
    person.ask("create table t (v text);")
    assert "End with a backslash and a period" in person.ask("copy t from stdin;", ">> ")
    person.ask("one", ">> ")
    person.ask("two", ">> ")
    assert "COPY 2" in person.ask("\\.")
    person.ask("copy t from stdin;", ">> ")
    person.ask("three", ">> ")
    person.type(CTRL_C)
    assert "canceled by user" in person.until("postgres=# ")
    assert " 2\n" in person.ask("select count(*) from t;")
    person.ask("\\copy t from stdin", ">> ")
    person.ask("three", ">> ")
    person.type(CTRL_D)
    assert "COPY 1" in person.until("postgres=# ")


# Editing -----------------------------------------------------------------------------------------


def test_tab_completes_keywords_relations_and_columns(sit):
    person = sit()
    person.ask("create table fruit (name text, price numeric); insert into fruit values ('quince', 2);")
    person.type("sel" + TAB)
    person.until("ect ")
    assert "quince" in person.ask("* from fruit;")
    person.type("TAB" + TAB)
    person.until("LE ")
    person.type("fr" + TAB)
    person.until("uit ")
    assert "quince" in person.ask(";")
    person.type("update fruit set pri" + TAB)
    person.until("ce ")
    assert "UPDATE 1" in person.ask("= 3;")
    # Of a line above.
    person.ask("select count(*) from", "postgres-# ")
    person.type("fru" + TAB)
    person.until("it ")
    assert " 1\n" in person.ask(";")


def test_tab_shows_what_there_is_to_choose_from(sit):
    person = sit()
    person.ask("create table apple_a (v int); create table apple_b (v int);")
    person.type("table app" + TAB)
    person.until("le_")
    person.type(TAB)
    assert "apple_b" in person.until("apple_a") + person.until("postgres=# ")
    assert "(0 rows)" in person.ask("b;")


def test_tab_in_a_transaction_that_has_failed_does_no_harm(sit):
    person = sit()
    person.ask("begin;", "postgres=*# ")
    person.type("select nam" + TAB)
    person.ask("', 1;" + CTRL_U, "postgres=*# ")
    person.ask("select 1/0;", "postgres=!# ")
    person.type("table pg_cla" + TAB)
    assert "ERROR:  current transaction is aborted" in person.ask(";", "postgres=!# ")
    person.ask("rollback;")


def test_earlier_statements_come_back(sit, tmp_path):
    person = sit()
    person.ask("select 'first' as x;")
    person.ask("select 'second'", "postgres-# ")
    person.ask("as x;")
    person.ask(" select 'secret';")
    person.type(UP)
    person.until("second")
    # Recalling draws the prompt again, so it is the result that is waited for.
    person.type("\n")
    assert " second\n" in person.until("(1 row)")
    person.until("postgres=# ")
    assert person.leave() == 0
    kept = history(tmp_path)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.read_text().splitlines() == ["select 'first' as x;", "select 'second'\\nas x;"]

    person = sit()
    person.type(UP + UP)
    person.until("first")
    # Recalling draws the prompt again, so it is the result that is waited for.
    person.type("\n")
    assert " first\n" in person.until("(1 row)")
    person.until("postgres=# ")
    person.type(CTRL_R + "cond")
    person.until("second")
    # Recalling draws the prompt again, so it is the result that is waited for.
    person.type("\n")
    assert " second\n" in person.until("(1 row)")
    person.until("postgres=# ")


def test_history_can_be_elsewhere_and_nowhere(sit, tmp_path):
    person = sit("--history", tmp_path / "mine")
    person.ask("select 1;")
    assert person.leave() == 0
    assert (tmp_path / "mine").read_text() == "select 1;\n"
    person = sit(PGLITE_SQL_HISTORY="none")
    person.ask("select 1;")
    assert person.leave() == 0
    assert not history(tmp_path).exists()
    # A script has none.
    w.run_port("sql", stdin=b"select 1;", env={"HOME": str(tmp_path)})
    assert not history(tmp_path).exists()


def test_ctrl_c_cancels_the_query(sit):
    person = sit()
    person.type("select 'begun' from pg_sleep(600); select 'more';\n")
    person.until("'more';")
    time.sleep(0.3)  # into the query; before it, there would be nothing to cancel
    person.type(CTRL_C)
    shown = person.until("postgres=# ")
    assert "ERROR:  canceling statement due to user request" in shown
    assert " more\n" not in shown
    assert " 1\n" in person.ask("select 1;")


def test_ctrl_c_forgets_the_line_and_the_statement(sit):
    person = sit()
    person.type("select nonsense" + CTRL_C)
    person.until("postgres=# ")
    person.ask("select (", "postgres(# ")
    person.type("nonsense" + CTRL_C)
    person.until("postgres=# ")
    assert person.ask("select 1 as fresh;").startswith(" fresh \n")


def test_ctrl_c_ends_a_script_within_the_prompt(sit, tmp_path):
    (tmp_path / "long.sql").write_text("select pg_sleep(600);\nselect 'never';\n")
    person = sit()
    person.type(f"\\i {tmp_path}/long.sql\n")
    time.sleep(0.3)
    person.type(CTRL_C)
    shown = person.until("postgres=# ")
    assert "canceling statement" in shown and "never" not in shown


def test_a_signal_by_kill_between_queries_does_no_harm(sit):
    person = sit()
    os.kill(person.child.pid, signal.SIGINT)
    assert " 1\n" in person.ask("select 1;")


# Psql's commands ---------------------------------------------------------------------------------


def test_describe(sit):
    person = sit()
    person.ask(
        "create table fruit (id int primary key, name text default 'x' check (name <> '')); "
        "create view v as select 1 as a; create index by_name on fruit (name); create sequence s;"
    )
    assert person.ask("\\d fruit") == (
        '                Table "public.fruit"\n'
        " Column |  Type   | Collation | Nullable |  Default  \n"
        "--------+---------+-----------+----------+-----------\n"
        " id     | integer |           | not null | \n"
        " name   | text    |           |          | 'x'::text\n"
        "Indexes:\n"
        '    "fruit_pkey" PRIMARY KEY, btree (id)\n'
        '    "by_name" btree (name)\n'
        "Check constraints:\n"
        "    \"fruit_name_check\" CHECK (name <> ''::text)\n"
        "\n"
    )
    assert person.ask("\\dt") == (
        "          List of tables\n"
        " Schema | Name  | Type  |  Owner   \n"
        "--------+-------+-------+----------\n"
        " public | fruit | table | postgres\n"
        "(1 row)\n\n"
    )
    assert "(5 rows)" in person.ask("\\ditvs")
    assert " by_name " in person.ask("\\di") and " v " in person.ask("\\dv") and " s " in person.ask("\\ds")
    assert " public " in person.ask("\\dn") and " plpgsql " in person.ask("\\dx")
    assert " template1 " in person.ask("\\l") and "Superuser" in person.ask("\\du")
    assert "pg_catalog | lower" in person.ask("\\dfS lower")
    assert "Did not find any tables named \"nope\"." in person.ask("\\dt nope")
    assert "Did not find any relation named \"nope\"." in person.ask("\\d nope")
    assert "too many dotted names" in person.ask("\\d a.b.c")
    assert "View definition:\n SELECT 1 AS a;" in person.ask("\\d+ v")


def test_how_results_look(sit):
    person = sit()
    assert "Expanded display is on." in person.ask("\\x")
    assert person.ask("select 1 as a, null as b;") == "-[ RECORD 1 ]\na | 1\nb | \n\n"
    person.ask("\\x off")
    person.ask("\\x auto")
    assert person.ask(f"select '{'w' * 100}' as a;").startswith("-[ RECORD 1 ]")
    assert person.ask("select 1 as a;").startswith(" a \n")
    assert person.ask("select 1 as a \\gx").startswith("-[ RECORD 1 ]")
    person.ask("\\pset null NIL")
    person.ask("\\a")
    person.ask("\\t on")
    assert person.ask("select 1, null;") == "1|NIL\n"
    person.ask("\\pset format csv")
    assert person.ask("select 'a,b';") == '"a,b"\n'
    assert "null                     'NIL'" in person.ask("\\pset")
    assert "accepted are aligned" in person.ask("\\pset format html")
    person.ask("\\timing")
    assert re.search(r"^Time: \d+\.\d{3} ms$", person.ask("select 1;"), re.M)


def test_scripts_and_files(sit, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "one.sql").write_text("\\echo from one\n\\ir sub/two.sql\n")
    (tmp_path / "sub/two.sql").write_text("create table t (a int, b text);\nselect 1/0;\nselect 'never';\n")
    (tmp_path / "in.csv").write_text('a,b\n1,"x,y"\n2,\n')
    person = sit()
    shown = person.ask(f"\\i {tmp_path}/one.sql")
    assert "from one" in shown and "CREATE TABLE" in shown and "sub/two.sql:2: ERROR:  division by zero" in shown
    assert "never" not in shown
    assert "COPY 2" in person.ask(f"\\copy t from '{tmp_path}/in.csv' with (format csv, header)")
    assert "COPY 2" in person.ask(f"\\copy (select b, a from t order by a) to {tmp_path}/out.csv csv header")
    assert (tmp_path / "out.csv").read_text() == 'b,a\n"x,y",1\n,2\n'
    assert "COPY 2" in person.ask("\\copy t to ~/home.txt")
    assert (tmp_path / "home.txt").read_text() == "1\tx,y\n2\t\\N\n"
    assert "cannot open /nonexistent" in person.ask("\\copy t from /nonexistent")
    person.ask(f"\\o {tmp_path}/out.txt")
    assert person.ask("select 'into the file';") == ""
    person.ask("\\o")
    assert "into the file" in (tmp_path / "out.txt").read_text()
    assert person.ask("\\echo -n 'a  b' c", "postgres=# ") == "a  b c"


def test_an_editor(sit, tmp_path):
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/one/two/' \"$1\"\n")
    editor.chmod(0o755)
    person = sit(VISUAL=str(editor))
    person.ask("select 'one'", "postgres-# ")
    person.ask("as edited", "postgres-# ")
    shown = person.ask("\\e", "postgres-# ")
    assert "select 'two'\nas edited\n" in shown
    assert " two\n" in person.ask(";")
    (tmp_path / "file.sql").write_text("select 'one' as whole;\n")
    assert " two\n" in person.ask(f"\\e {tmp_path}/file.sql")
    person.type(UP + UP)
    person.until("whole")
    person.type(CTRL_C)
    person.until("postgres=# ")
    assert "has failed" in sit(VISUAL="false").ask("\\e")


def test_the_buffer(sit):
    person = sit()
    assert "Query buffer is empty." in person.ask("\\p")
    person.ask("select 'buffered'", "postgres-# ")
    assert "select 'buffered'" in person.ask("\\p", "postgres-# ")
    assert "Query buffer reset (cleared)." in person.ask("\\r")
    person.ask("select 'run'", "postgres-# ")
    assert " run\n" in person.ask("\\g")


def test_another_database_of_a_directory(sit, tmp_path):
    person = sit("-D", tmp_path / "data")
    person.ask("create database shop; create role alice login;")
    assert 'You are now connected to database "shop" as user "postgres".' in person.ask("\\c shop", "shop=# ")
    person.ask("create table only_here ();", "shop=# ")
    assert f'database "shop" as user "postgres" in the directory {tmp_path}/data.' in person.ask("\\conninfo", "shop=# ")
    assert "does not exist" in person.ask("\\c nope", "shop=# ")
    assert "only_here" in person.ask("\\d", "shop=# ")
    assert 'user "alice"' in person.ask("\\c - alice", "shop=> ")
    assert 'database "postgres"' in person.ask("\\c postgres postgres")
    assert "Did not find any relations." in person.ask("\\d")
    assert person.leave() == 0


def test_there_is_one_session_in_memory(sit):
    person = sit()
    person.ask("create table kept ();")
    assert "a database in memory has one session" in person.ask("\\c other")
    assert "in memory." in person.ask("\\conninfo")
    assert "(0 rows)" in person.ask("select * from kept;") or "kept" in person.ask("\\d")


def test_help_and_what_is_not_there(sit):
    person = sit()
    assert "\\copy" in person.ask("\\?")
    assert "sql-createtable.html" in person.ask("\\h create table")
    assert "psql's command \\watch is not supported; \\? lists those that are" in person.ask("\\watch 1")
    assert "unterminated quoted string" in person.ask("\\echo 'a")
    assert "Expanded display is on." in person.ask("\\x \\\\ select 1 as a;")


# Long results ------------------------------------------------------------------------------------


def test_long_and_wide_results_go_to_the_pager(sit, tmp_path):
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat > {tmp_path}/paged\necho was paged\n")
    pager.chmod(0o755)
    person = sit(PAGER=str(pager), PGLITE_SQL_PAGER="")
    assert "was paged" in person.ask("select generate_series(1, 100);")
    assert "(100 rows)" in (tmp_path / "paged").read_text()
    assert "was paged" in person.ask("select repeat('x', 100);")
    assert "was paged" not in person.ask("select generate_series(1, 10);")
    assert "Pager is off." in person.ask("\\pset pager off")
    assert "(100 rows)" in person.ask("select generate_series(1, 100);")
    assert "(100 rows)" in sit("--pager", "none").ask("select generate_series(1, 100);")


def test_a_pager_that_is_left_early(sit):
    person = sit("--pager", "head -n 3")
    assert "generate_series" in person.ask("select generate_series(1, 1000000);")
    assert " 1\n" in person.ask("select 1;")


# Where the database is ---------------------------------------------------------------------------


def test_a_server_by_url(sit, server):
    person = sit(url(server))
    assert f"on the server 127.0.0.1:{server.port}" in person.greeting
    assert " 42\n" in person.ask("select 42;")
    person.ask("create table on_server (some_column int);")
    person.type("table on_s" + TAB)
    person.until("erver ")
    assert "(0 rows)" in person.ask(";")
    person.type("select pg_sleep(600);\n")
    time.sleep(0.3)
    person.type(CTRL_C)
    assert "canceling statement" in person.until("postgres=# ")
    person.ask("create database other;")
    assert 'connected to database "other"' in person.ask("\\c other", "other=# ")
    person.type("select pg_sleep(600);\n")
    time.sleep(0.3)
    person.type(CTRL_C)
    assert "canceling statement" in person.until("other=# ")
    assert "does not exist" in person.ask("\\c nope", "other=# ")
    assert 'connected to database "postgres"' in person.ask("\\c postgres")
    person.ask("drop database other; drop table on_server;")
    assert person.leave() == 0


def test_a_server_that_ends_the_session(sit, server):
    person = sit(url(server))
    person.type("select pg_terminate_backend(pg_backend_pid());\n")
    person.child.expect(pexpect.EOF)
    assert "terminating connection" in person.child.before
    person.child.close()
    assert person.child.exitstatus == 70


def test_snapshots(sit, tmp_path):
    person = sit("--save-snapshot", tmp_path / "s")
    person.ask("create table kept as select 'in the snapshot' as v;")
    person.ask("select 1/0;")
    assert person.leave() == 0
    assert "in the snapshot" in sit("--snapshot", tmp_path / "s").ask("table kept;")


# Not a prompt ------------------------------------------------------------------------------------


def test_scripts_have_psql_s_commands_too(tmp_path):
    (tmp_path / "inner.sql").write_text("\\echo inner\n")
    (tmp_path / "data.txt").write_text("1\n2\n")
    (tmp_path / "script.sql").write_text(
        "create table t (a int);\n\\copy t from 'data.txt'\n\\i inner.sql\n\\x\ntable t;\n"
        "create database shop;\n\\connect shop\nselect current_database() as db;\n\\nope\n"
    )
    done = w.run_port("sql", "-D", tmp_path / "data", "-q", "-f", "script.sql", cwd=tmp_path)
    assert done.stdout.decode() == (
        "inner\n-[ RECORD 1 ]\na | 1\n-[ RECORD 2 ]\na | 2\n\n-[ RECORD 1 ]\ndb | shop\n\n"
    )
    assert "script.sql:9: ERROR:  psql's command \\nope is not supported" in done.stderr.decode()
    assert done.returncode == 1


def test_connect_in_a_script_on_a_server(server):
    script = b"create database elsewhere;\n\\c elsewhere\nselect current_database();\n\\c postgres\ndrop database elsewhere;\n"
    done = w.run_port("sql", url(server), "-Atq", stdin=script)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"elsewhere\n", b"")


def test_quiet_tuples_only_and_unaligned():
    run = lambda *options: w.run_port("sql", *options, "-c", "create table t (v int)", "-c", "select 1 as a, 'b' as b")
    assert run("-q").stdout == b" a | b \n---+---\n 1 | b\n(1 row)\n\n"
    assert run("-qt").stdout == b" 1 | b\n\n"
    assert run("-Atq").stdout == b"1|b\n"
    assert run("-A").stdout == b"CREATE TABLE\na|b\n1|b\n(1 row)\n"
    assert run("-qx").stdout == b"-[ RECORD 1 ]\na | 1\nb | b\n\n"


def test_the_port_alone_on_a_terminal_says_what_it_waits_for(sit):
    person = sit(command=(), wait=None)
    line = person.until("\n")
    assert "waiting for requests from a program" in line and "pglite-port sql" in line and "pglite-port serve" in line
    person.type("select 'typed';\n")
    person.until("typed")

"""`pglite-port sql`, --help, --version, initdb; exit codes."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import subprocess

import pgwire as w
import pytest


def sql(*args, stdin="", timeout=60.0, **env):
    done = w.run_port("sql", *args, stdin=stdin.encode(), env=env, timeout=timeout)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_version_names_all_three():
    done = w.run_port("--version")
    assert done.returncode == 0
    text = done.stdout.decode()
    assert "pglite-port" in text and "0.5.16" in text and "18.6" in text


@pytest.mark.parametrize("args", [["--help"], ["sql", "--help"]])
def test_help(args):
    done = w.run_port(*args)
    assert done.returncode == 0 and done.stderr == b""
    for word in ("sql", "PGLITE_DATA_DIR", "--framing") if args == ["--help"] else ("--format", "-c"):
        assert word in done.stdout.decode()


def test_the_issue_s_own_example():
    code, out, err = sql("-c", "select version()")
    assert code == 0 and err == ""
    lines = out.splitlines()
    assert lines[0].strip() == "version"
    assert set(lines[1]) == {"-"}
    assert "PostgreSQL 18.6 (PGlite 0.5.16)" in lines[2]
    assert lines[3] == "(1 row)"


def test_table_is_psql_s():
    code, out, _ = sql("-c", "select * from (values (1, 'one'), (22, null), (333, E'a\\nb')) t(n, text)")
    assert code == 0
    assert out.splitlines()[:7] == [
        "  n  | text ",
        "-----+------",
        "   1 | one",
        "  22 | ",
        " 333 | a   +",
        "     | b",
        "(3 rows)",
    ]


def test_csv():
    code, out, _ = sql("--format", "csv", "-c", "select 1 as a, 'x,\"y' as b, null as c, E'l1\\nl2' as d")
    assert code == 0
    assert list(csv.reader(io.StringIO(out))) == [["a", "b", "c", "d"], ["1", 'x,"y', "", "l1\nl2"]]


def test_json():
    code, out, _ = sql(
        "--format",
        "json",
        "-c",
        "select 1 as n, 1.50 as d, 'é\"' as s, null as z, true as b, '{\"k\":[1]}'::jsonb as j, 'NaN'::float8 as f",
    )
    assert code == 0
    assert json.loads(out) == [
        {"n": 1, "d": 1.5, "s": 'é"', "z": None, "b": True, "j": {"k": [1]}, "f": "NaN"}
    ]


def test_json_is_one_object_a_line():
    value = "{\r\n\t\"a\\n\": [1,\n2]}"
    code, out, _ = sql("--format", "json", "-c", f"select '{value}'::json as j, '{value}'::jsonb as b")
    assert code == 0 and len(out.splitlines()) == 3, out
    assert json.loads(out) == [{"j": {"a\n": [1, 2]}, "b": {"a\n": [1, 2]}}]


@pytest.mark.parametrize("args", [["sql", "-c", "select 1"], ["sql", "-c", "copy (select 1) to stdout"],
                                  ["--version"], ["dump"], ["dump", "--sql"], ["port"]])
def test_output_that_has_nowhere_to_go_is_a_failure(args, tmp_path):
    if args[0] == "dump":
        assert w.run_port("initdb", "-D", str(tmp_path / "d")).returncode == 0
        args = [*args, "-D", str(tmp_path / "d")]
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *w.port_command(), *args]
    done = subprocess.run(command, input=w.frame(w.query("select 1")), env=w.port_environment(),
                          stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 74 and b"cannot write to stdout" in done.stderr, done


def test_a_result_that_nobody_reads_any_more_is_given_up():
    """It would take hours."""
    command = [*w.port_command(), "sql", "--format", "csv", "-c", "select generate_series(1, 100000000000)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 74
        assert b"Broken pipe" in process.stderr.read()


def test_json_of_no_rows():
    assert json.loads(sql("--format=json", "-c", "select 1 as a where false")[1]) == []


def test_sql_from_stdin_and_files(tmp_path):
    script = "create table t (a int);\ninsert into t values (1), (2);\n\n-- a comment\nselect sum(a)\nfrom t;\n"
    code, out, err = sql(stdin=script)
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == ["CREATE TABLE", "INSERT 0 2"]
    assert " 3" in out.splitlines()[-2] or "   3" in out
    (tmp_path / "script.sql").write_text(script)
    assert sql("-f", str(tmp_path / "script.sql")) == (0, out, "")


def test_dollar_quotes_and_strings_with_semicolons():
    code, out, err = sql(
        "--format", "csv", stdin="do $$ begin perform 1; perform 2; end $$;\nselect 'a;b' as x, $q$;$q$ as y;\n"
    )
    assert (code, err) == (0, "")
    assert out.splitlines()[-2:] == ["x,y", "a;b,;"]


def test_copy_in_a_script():
    code, out, err = sql(stdin="create table t (a int, b text);\ncopy t from stdin;\n1\tx\n2\ty\n\\.\ncopy t to stdout;\n")
    assert (code, err) == (0, "")
    assert "1\tx\n2\ty\n" in out


def test_errors_show_everything():
    code, out, err = sql("-c", "select *\nfrom nope_table where a = 1")
    assert code == 1
    lines = err.splitlines()
    assert lines[0] == 'ERROR:  relation "nope_table" does not exist'
    assert lines[1].startswith("LINE 2: from nope_table")
    assert lines[2].index("^") == lines[1].index("nope_table")
    assert "42P01" in err
    code, _, err = sql(
        "-c", "do $$ begin raise exception 'msg' using detail = 'the detail', hint = 'the hint', errcode = '23514'; end $$"
    )
    assert code == 1
    for part in ("ERROR:  msg", "DETAIL:  the detail", "HINT:  the hint", "23514"):
        assert part in err


def test_an_error_stops_a_script_and_names_its_line():
    code, out, err = sql("--format", "csv", stdin="select 1 as a;\n\nselect 1/0;\nselect 'not reached';\n")
    assert code == 1
    assert out.splitlines()[:2] == ["a", "1"]
    assert "not reached" not in out
    assert "division by zero" in err and ":3:" in err and "22012" in err


def test_notices_go_to_stderr():
    code, out, err = sql("--format", "csv", "-c", "do $$ begin raise notice 'look'; end $$; select 1 as a")
    assert code == 0
    assert "look" in err and "look" not in out


def test_sql_keeps_a_directory(tmp_path):
    data = str(tmp_path / "data")
    assert sql("-D", data, "-c", "create table t as select 42 as a")[0] == 0
    code, out, _ = sql("--format", "csv", "-c", "table t", PGLITE_DATA_DIR=data)
    assert (code, out.splitlines()) == (0, ["a", "42"])


def test_initdb_makes_a_directory(tmp_path):
    data = str(tmp_path / "data")
    done = w.run_port("initdb", "-D", data, "-U", "alice", "-d", "shop")
    assert done.returncode == 0, done
    code, out, _ = sql("-D", data, "-U", "alice", "-d", "shop", "--format", "csv", "-c", "select current_user, current_database()")
    assert (code, out.splitlines()[1]) == (0, "alice,shop")


def test_a_missing_script_file():
    code, out, err = sql("-f", "/nope/script.sql")
    assert code > 0 and out == ""
    assert "/nope/script.sql" in err


@pytest.mark.heavy
def test_a_large_result_streams():
    code, out, _ = sql("--format", "csv", "-c", "select g, md5(g::text) from generate_series(1, 200000) g", timeout=120)
    assert code == 0
    assert len(out.splitlines()) == 200001


def test_stdout_closed_early_is_no_crash():
    import subprocess

    process = subprocess.Popen(
        [*w.port_command(), "sql", "--format", "csv", "-c", "select generate_series(1, 1000000)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=w.port_environment(),
    )
    try:
        os.read(process.stdout.fileno(), 10)
        process.stdout.close()
        assert process.wait(60) >= 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("location", ["memory:", "file:data", "file:", "memory:/"])
def test_a_url_misspelt_makes_no_directory(location, tmp_path):
    done = w.run_port("sql", "-D", location, "-c", "select 1", cwd=tmp_path)
    assert done.returncode == 64 and b"neither a URL nor a path" in done.stderr
    assert os.listdir(tmp_path) == []


def test_urls_are_decoded(tmp_path):
    done = w.run_port("initdb", "-D", f"file://{tmp_path}/sp%20%c3%a9%25", cwd=tmp_path)
    assert done.returncode == 0 and os.listdir(tmp_path) == ["sp é%"]
    for bad in ("%", "%2", "%zz", "%00"):
        done = w.run_port("initdb", "-D", f"file://{tmp_path}/x{bad}")
        assert done.returncode == 64 and b"a percent sign is written %25" in done.stderr, bad


def test_unknown_variables_are_warned_of_once():
    code, out, err = sql("-c", "select 1", "--format", "csv", PGLITE_DATADIR="./x")
    assert (code, out) == (0, "?column?\n1\n")
    assert err == (
        "pglite-port: warning: the variable PGLITE_DATADIR is not known, and has no effect; "
        "the nearest is PGLITE_DATA_DIR\n"
    )


def test_what_was_asked_for_and_is_not_there_is_said_once(tmp_path):
    data = str(tmp_path / "d")
    assert w.run_port("initdb", "-D", data).returncode == 0
    for args, message in (
        (["-o", "-c nope=1"], 'unrecognized configuration parameter "nope"'),
        (["-o", "-c work_mem=x"], 'invalid value for parameter "work_mem": "x"'),
        (["-D", data, "-d", "nowhere"], 'database "nowhere" does not exist'),
        (["-D", data, "-U", "nobody"], 'role "nobody" does not exist'),
    ):
        code, out, err = sql(*args, "-c", "select 1")
        assert (code, out) == (64, ""), args
        assert err.endswith(f"{message}\n") and err.count("\n") == 1, err


@pytest.mark.parametrize("command", ["sql", "initdb", "port"])
def test_a_file_is_no_data_directory(command, tmp_path):
    file = tmp_path / "backup.tar.gz"
    file.write_bytes(b"mine")
    done = w.run_port(command, "-D", str(file), *(["-c", "select 1"] if command == "sql" else []))
    assert done.returncode == 65 and b"is a file: 'restore' unpacks an archive" in done.stderr
    assert file.read_bytes() == b"mine"


def test_a_session_s_last_words_are_not_said_by_the_log_too():
    code, _, err = sql("-c", "select pg_terminate_backend(pg_backend_pid())")
    assert code == 70
    assert err.count("terminating connection") == 2, err  # the error, and why sql ends


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"select 1;"), "gzip -dc "),
        (bz2.compress(b"select 1;"), "bzip2 -dc "),
        (lzma.compress(b"select 1;"), "xz -dc "),
        (b"PGDMP\1\20\0", "pg_restore -f - "),
        (b"x".ljust(257, b"\0") + b"ustar\0" + b"00".ljust(249, b"\0"), "pglite-port restore"),
        ("select 1;".encode("utf-16"), "iconv "),
    ],
)
def test_what_is_no_script_is_named(content, message, tmp_path):
    script = tmp_path / "script"
    script.write_bytes(content)
    code, out, err = sql("-f", str(script))
    assert (code, out) == (65, "") and err.count("\n") == 1
    assert "is no SQL script, but" in err and message in err


def test_a_script_in_a_single_transaction(tmp_path):
    data = ["-D", str(tmp_path / "data"), "--durability", "relaxed"]
    script = tmp_path / "script.sql"
    script.write_text("create table t (a int);\n" + "insert into t values (1);\n" * 5 + "select 1 / 0;\n")
    failed = w.run_port("sql", *data, "--single-transaction", "-f", str(script))
    assert failed.returncode == 1 and b"script.sql:7: ERROR:  division by zero" in failed.stderr
    script.write_text(script.read_text().replace("1 / 0", "1 / 1"))
    done = w.run_port("sql", *data, "-q", "-f", str(script), env={"PGLITE_SQL_SINGLE_TRANSACTION": "1"})
    assert done.returncode == 0, done.stderr
    assert w.run_port("sql", *data, "-Atc", "select count(*) from t").stdout == b"5\n"

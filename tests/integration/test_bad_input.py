"""Bad input: a clear error, no hang, no crash, nothing lost that was committed."""

import os
import struct

import pgwire as w
import pytest

SIGNALS = range(-64, 0)  # subprocess: the program was killed by a signal


def error_of(answer: bytes) -> str:
    assert answer.startswith(b"ERROR: "), answer[:200]
    text = answer.decode()
    assert "\n" not in text.rstrip("\n")
    return text.strip()


def port(*args, **env):
    return w.PortProcess(*args, env={k: str(v) for k, v in env.items()})


def check_ended_with_error(p: w.PortProcess, answer: bytes):
    """An ERROR frame, the same line on stderr, and an orderly end that is not success."""
    text = error_of(answer)
    code = p.wait()
    assert code not in SIGNALS and code != 0, (code, p.stderr())
    assert text in p.stderr()


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 20])
def test_a_truncated_frame(cut):
    with port(PGLITE_FRAMING="packet4") as p:
        assert p.value("select 1") == "1"
        p.send(w.frame(w.query("select 'never answered'"))[:cut])
        p.close_stdin()
        check_ended_with_error(p, p.read_frame())
        assert p.read_rest() == b""


@pytest.mark.parametrize("length", [2**31 - 1, 2**31, 2**32 - 1])
def test_a_frame_of_2_gib_is_refused_at_its_length(length):
    with port(PGLITE_FRAMING="packet4") as p:
        assert p.value("select 1") == "1"
        before = max(p.rss(), p.spawner_peak())
        p.send(struct.pack("!I", length) + b"Q" + struct.pack("!I", length - 1))
        p.send(b"x" * 100_000)
        answer = p.read_frame()
        assert p.wait_for_peak() < before + (64 << 20), "memory was taken for what never came"
        check_ended_with_error(p, answer)


@pytest.mark.parametrize(
    "name, payload",
    [
        ("longer than the frame", b"Q" + struct.pack("!I", 1000) + b"select 1\0"),
        ("shorter than its header", b"Q" + struct.pack("!I", 3)),
        ("zero", b"Q" + struct.pack("!I", 0) + b"select 1\0"),
        ("negative", b"Q\xff\xff\xff\xffselect 1\0"),
        ("shorter than the frame", b"Q" + struct.pack("!I", 9) + b"sel\0\0\0\0\0\0"),
        ("no room for a length", b"Q\0\0"),
        ("good, then a lie", w.query("select 1") + b"Q" + struct.pack("!I", 99) + b"x\0"),
        ("a huge one", b"B" + struct.pack("!I", 2**31 - 1) + b"x"),
    ],
)
def test_a_message_whose_length_lies_in_packet4(name, payload):
    """The frame's own length keeps the stream in step: one ERROR frame, and the session goes on."""
    with port(PGLITE_FRAMING="packet4") as p:
        text = error_of(p.exchange(payload))
        assert text in p.stderr()
        assert p.value("select 'goes on'") == "goes on"
        assert p.finish() == 0


@pytest.mark.parametrize("length", [0, 3, 2**31 - 1, 2**32 - 1])
def test_a_message_whose_length_lies_in_raw(length):
    with port(PGLITE_FRAMING="raw") as p:
        p.send(w.query("select 1"))
        assert w.Result(p.read_frame()).value == "1"
        p.send(b"Q" + struct.pack("!I", length) + b"select 2\0")
        p.close_stdin()
        check_ended_with_error(p, p.read_frame())


def test_garbage_within_a_message():
    """Whole messages with nonsense inside are PostgreSQL's to refuse."""
    with port(PGLITE_FRAMING="packet4") as p:
        for payload in [
            w.message("P", b"\xff\xff\xff"),
            w.message("B", b"\0\0\xff\xff"),
            w.message("B", b"\0\0\0\1\0\0\0\1\x7f\xff\xff\xff"),
            w.message("D", b""),
            w.message("E", b""),
            w.message("C", b"Q"),
            w.message("F", b"\0"),
            w.message("Q", b"no terminator"),
            w.message("Q", b""),
            w.message("Q", b"select 1\0 and more\0"),
        ]:
            answer = p.exchange(payload + w.sync())
            if not answer.startswith(b"ERROR: "):
                result = w.Result(answer)
                assert result.errors and result.status == "I", result.describe()
            assert p.value("select 'goes on'") == "goes on"


@pytest.mark.parametrize("framing", ["auto", "packet4", "raw"])
@pytest.mark.parametrize(
    "garbage",
    [b"\xff" * 64, b"\0" * 64, bytes(range(128, 256)), b"\1\2\3\4\5\6\7\x08", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0\1\0"],
    ids=["ff", "00", "high", "counting", "http", "tls"],
)
def test_garbage_bytes(framing, garbage):
    """Whatever it is taken for: ERROR frames or PostgreSQL's errors, and an orderly end."""
    with port(PGLITE_FRAMING=framing) as p:
        p.send(garbage)
        p.close_stdin()
        output = p.read_rest()
        code = p.wait()
        assert code not in SIGNALS, (code, p.stderr())
        at = 0
        frames = []
        while at < len(output):
            (length,) = struct.unpack_from("!I", output, at)
            frames.append(output[at + 4 : at + 4 + length])
            at += 4 + length
        assert at == len(output)
        complaints = [f for f in frames if f.startswith(b"ERROR: ") or (f and w.Result(f).errors)]
        zero_frames = framing != "raw" and set(garbage) == {0}  # sixteen empty frames, quite legal
        assert complaints or (zero_frames and not any(frames)), frames


@pytest.mark.parametrize("kind", ["?", "\x7f", "Z", "R", "1", "T", "p"])
def test_an_unknown_message_type(kind):
    with port(PGLITE_FRAMING="packet4") as p:
        text = error_of(p.exchange(w.message(kind, b"x")))
        assert repr(kind) in text or kind in text or f"{ord(kind):02x}" in text, text
        assert p.value("select 'goes on'") == "goes on"


def test_an_unknown_message_type_in_raw():
    with port(PGLITE_FRAMING="raw") as p:
        p.send(w.query("select 1"))
        assert w.Result(p.read_frame()).value == "1"
        p.send(w.message("?", b"x") + w.query("select 2"))
        check_ended_with_error(p, p.read_frame())


def test_a_nul_inside_a_line():
    with port(PGLITE_FRAMING="line") as p:
        p.send(b"select 1\nselect '\0'\nselect 3\n")
        assert w.Result(p.read_frame()).value == "1"
        text = error_of(p.read_frame())
        assert "NUL" in text.upper()
        assert text in p.stderr()
        assert w.Result(p.read_frame()).value == "3", "a bad line costs itself only"
        assert p.finish() == 0


def test_bad_utf8_in_every_place():
    with port(PGLITE_FRAMING="packet4") as p:
        assert p.query(b"select '\xff\xfe'").sqlstate == "22021"
        assert p.request(w.extended("select $1::text", [b"\xc3"])).sqlstate == "22021"
        assert p.request(w.parse(b"select '\xc0\x80'") + w.sync()).sqlstate == "22021"
        assert p.value("select 1") == "1"


@pytest.mark.parametrize("how", ["flag", "variable"])
@pytest.mark.parametrize("what", ["missing", "directory", "not wasm"])
def test_an_unreadable_module(tmp_path, how, what):
    path = tmp_path / "pglite.wasm"
    if what == "directory":
        path.mkdir()
    elif what == "not wasm":
        path.write_bytes(b"this is no module")
    args = ["--wasm", str(path)] if how == "flag" else []
    env = {"PGLITE_WASM_PATH": str(path)} if how == "variable" else {}
    done = w.run_port(*args, env=env, stdin=w.frame(w.query("select 1")))
    assert done.returncode > 0, done
    assert str(path) in done.stderr.decode() or "pglite.wasm" in done.stderr.decode(), done.stderr
    for answer in frames_of(done.stdout):
        error_of(answer)


def frames_of(output: bytes) -> list[bytes]:
    found = []
    while output:
        (length,) = struct.unpack_from("!I", output)
        found.append(output[4 : 4 + length])
        assert len(found[-1]) == length
        output = output[4 + length :]
    return found


@pytest.mark.parametrize("kind", ["under a file", "in proc", "is a file", "over a dangling link"])
def test_an_unwritable_directory(tmp_path, kind):
    """As root permissions do not stop us; these paths cannot be made by anybody."""
    (tmp_path / "file").write_text("precious")
    path = {
        "under a file": tmp_path / "file" / "data",
        "in proc": "/proc/pglite-port-test",
        "is a file": tmp_path / "file",
        "over a dangling link": tmp_path / "link" / "data",
    }[kind]
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "at all")
    done = w.run_port(env={"PGLITE_DATA_DIR": str(path)}, stdin=w.frame(w.query("select 1")))
    assert done.returncode > 0, done
    assert str(path) in done.stderr.decode(), done.stderr
    (answer,) = frames_of(done.stdout)
    error_of(answer)
    assert (tmp_path / "file").read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def test_stdout_closed_in_the_middle_keeps_what_was_committed(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    with port(PGLITE_DATA_DIR=data) as p:
        p.query("create table c (id int); insert into c select generate_series(1, 1000)").ok()
        p.query("begin; insert into c values (-1)").ok()  # never committed
        p.send_frame(w.query("select repeat('x', 1000) from generate_series(1, 20000)"))
        p.drain()
        p.close_stdout()
        code = p.wait()
        assert code == 0, p.stderr()
    with port(PGLITE_DATA_DIR=data) as p:
        assert p.query("select count(*), min(id), max(id) from c").rows == [("1000", "1", "1000")]
        assert p.finish() == 0


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("sql", ["select pg_sleep(100000)",
                                 "select count(*) from generate_series(1, 1000000000000)"])
def test_a_query_whose_answer_nobody_can_read_is_cancelled(sql, both, tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    with port(PGLITE_DATA_DIR=data) as p:
        p.query("create table c (id int); insert into c values (5)").ok()
        p.send_frame(w.query("begin; insert into c values (6);" + sql))
        p.drain()
        assert not p.has_frame(0.2)
        if both:
            p.close_stdin()
        p.close_stdout()
        assert p.wait(60) == 0, p.stderr()
    with port(PGLITE_DATA_DIR=data) as p:
        assert p.value("table c") == "5"


def test_stdout_closed_while_idle(tmp_path, copy_made):
    copy_made(tmp_path / "data")
    with port(PGLITE_DATA_DIR=tmp_path / "data") as p:
        p.query("create table c (id int); insert into c values (5)").ok()
        p.close_stdout()
        assert p.wait(30) == 0, p.stderr()
    with port(PGLITE_DATA_DIR=tmp_path / "data") as p:
        assert p.value("select id from c") == "5"


def test_truncated_input_keeps_what_was_committed(tmp_path, copy_made):
    copy_made(tmp_path / "data")
    with port(PGLITE_DATA_DIR=tmp_path / "data") as p:
        p.query("create table c (id int); insert into c values (6)").ok()
        p.send(b"\0\0\1\0Q\0\0")
        p.close_stdin()
        check_ended_with_error(p, p.read_frame())
    with port(PGLITE_DATA_DIR=tmp_path / "data") as p:
        assert p.value("select id from c") == "6"


@pytest.mark.parametrize(
    "args, env, accepted",
    [
        (["--nope"], {}, ""),
        (["nosuchcommand"], {}, "sql"),
        (["--framing", "packet5"], {}, "packet4"),
        (["--debug", "9"], {}, "5"),
        (["--durability", "some"], {}, "relaxed"),
        (["-D"], {}, ""),
        (["sql", "--format", "xml", "-c", "select 1"], {}, "json"),
        (["-D", "idb://x"], {}, "memory://"),
        (["-D", "opfs-ahp://x"], {}, "memory://"),
        ([], {"PGLITE_FRAMING": "nope"}, "packet4"),
        ([], {"PGLITE_DEBUG": "x"}, ""),
        ([], {"PGLITE_DURABILITY": "often"}, "full"),
        ([], {"PGLITE_DATA_DIR": "idb://db"}, "idb"),
        ([], {"PGLITE_OPTIONS": "nonsense"}, "-c"),
    ],
)
def test_bad_options(args, env, accepted):
    """2.1: one line on stderr saying what was wrong and what is accepted, exit 64."""
    done = w.run_port(*args, env=env, stdin=w.frame(w.query("select 1")))
    assert done.returncode == 64, done
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1, lines
    assert accepted in lines[0], lines


@pytest.mark.parametrize("setting", ["nope=1", "work_mem=lots"])
def test_bad_settings_for_postgres(setting):
    done = w.run_port(env={"PGLITE_OPTIONS": f"-c {setting}"}, stdin=w.frame(w.query("select 1")))
    assert done.returncode > 0, done
    assert setting.split("=")[0] in done.stderr.decode(), done.stderr
    for answer in frames_of(done.stdout):
        error_of(answer)

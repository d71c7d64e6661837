"""The helper itself, without a server."""

import struct
import sys

import pgwire as w
import pytest


def test_messages_carry_their_length():
    assert w.query("select 1") == b"Q\0\0\0\x0dselect 1\0"
    assert w.sync() == b"S\0\0\0\4"
    assert w.terminate() == b"X\0\0\0\4"
    assert w.ssl_request() == struct.pack("!II", 8, 80877103)
    assert w.startup("u", "d")[:8] == struct.pack("!II", len(w.startup("u", "d")), 196608)


def test_bind_tells_null_from_empty():
    body = w.bind([None, ""], statement="s")[5:]
    assert body == b"\0s\0" + struct.pack("!HH", 0, 2) + struct.pack("!ii", -1, 0) + b"\0\0"


def test_split_and_result():
    row = struct.pack("!H", 2) + struct.pack("!i", 1) + b"7" + struct.pack("!i", -1)
    answer = (
        w.message("D", row)
        + w.message("C", b"SELECT 1\0")
        + w.message("E", b"SERROR\0C22012\0Mdivision by zero\0\0")
        + w.message("Z", b"I")
    )
    result = w.Result(answer)
    assert result.kinds == "DCEZ"
    assert result.rows == [("7", None)]
    assert result.tags == ["SELECT 1"]
    assert result.sqlstate == "22012"
    assert result.status == "I"
    assert w.count_kinds(answer) == {"D": 1, "C": 1, "E": 1, "Z": 1}


@pytest.mark.parametrize("broken", [b"Z", b"Z\0\0\0\x09I", b"Z\0\0\0\3I"])
def test_split_refuses_parts_of_messages(broken):
    with pytest.raises(w.ProtocolError):
        w.split(broken)


ECHO = """
import sys
while True:
    head = sys.stdin.buffer.read(4)
    if len(head) < 4:
        break
    body = sys.stdin.buffer.read(int.from_bytes(head, "big"))
    sys.stdout.buffer.write(head + body)
    sys.stdout.buffer.flush()
"""


def echo(code=ECHO):
    return w.PortProcess(command=[sys.executable, "-c", code])


def test_frames_both_ways_without_blocking():
    with echo() as port:
        big = bytes(range(256)) * 4096 * 8  # far more than two pipes hold
        port.send_frame(big)
        port.send_frame(b"")
        assert port.read_frame(30) == big
        assert port.read_frame(30) == b""
        assert port.finish(30) == 0


def test_a_silent_program_times_out():
    with echo("import time; time.sleep(60)") as port:
        port.send_frame(b"x")
        with pytest.raises(w.PortTimeout):
            port.read_frame(0.3)
        assert not port.has_frame(0.1)


def test_a_program_that_ends_is_noticed_with_its_stderr():
    with echo("import sys; sys.exit('gone: 7')") as port:
        with pytest.raises(w.PortClosed, match="gone: 7"):
            port.exchange(b"x", 30)
        assert port.wait(30) == 1

"""A minimal PostgreSQL client: the same code for every engine that is measured from Python.

`Channel` has one method, exchange(request) -> answer, over the port's packet4 frames or over a
plain stream (a unix socket). Answers are not parsed beyond finding their end and an error in them.
"""

from __future__ import annotations

import os
import socket
import struct


class EngineError(Exception):
    """An engine did not answer, or answered with an error."""


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def query(sql: str) -> bytes:
    return message(b"Q", sql.encode() + b"\0")


def prepare(name: str, sql: str) -> bytes:
    return message(b"P", f"{name}\0{sql}\0".encode() + struct.pack("!H", 0)) + message(b"S")


def execute(name: str, *parameters: str) -> bytes:
    """Bind, Execute, Sync; text parameters and results."""
    bind = b"\0" + name.encode() + b"\0" + struct.pack("!HH", 0, len(parameters))
    for value in parameters:
        bind += struct.pack("!I", len(value)) + value.encode()
    bind += struct.pack("!H", 0)
    return message(b"B", bind) + message(b"E", b"\0" + struct.pack("!I", 0)) + message(b"S")


def startup(user: str = "postgres", database: str = "postgres", options: str = "") -> bytes:
    """`options` are settings, as in `-c name=value`."""
    more = f"options\0{options}\0" if options else ""
    body = struct.pack("!I", 196608) + f"user\0{user}\0database\0{database}\0{more}\0".encode()
    return struct.pack("!I", len(body) + 4) + body


READY = b"Z\0\0\0\x05"  # and one byte: the transaction status


def check(answer: bytes) -> bytes:
    """The answer, unless it holds an ErrorResponse or is the port's own failure."""
    if answer.startswith(b"ERROR: "):
        raise EngineError(answer.decode(errors="replace"))
    at = 0
    while at + 5 <= len(answer):
        if answer[at : at + 1] == b"E":
            fields = answer[at + 5 :].split(b"\0\0")[0].split(b"\0")
            texts = [field[1:].decode(errors="replace") for field in fields if field[:1] == b"M"]
            raise EngineError(texts[0] if texts else "an ErrorResponse")
        at += 1 + struct.unpack_from("!I", answer, at + 1)[0]
    return answer


def first_value(answer: bytes) -> str:
    """The first column of the first row."""
    at = 0
    while answer[at : at + 1] != b"D":
        if at >= len(answer):
            raise EngineError("an answer without rows")
        at += 1 + struct.unpack_from("!I", answer, at + 1)[0]
    (size,) = struct.unpack_from("!i", answer, at + 7)
    return "" if size < 0 else answer[at + 11 : at + 11 + size].decode()


class Packet4:
    """Erlang's {:packet, 4} over a pair of descriptors, which it owns."""

    def __init__(self, to: int, from_: int):
        self._to, self._from = to, from_

    def send(self, request: bytes) -> None:
        view = memoryview(struct.pack("!I", len(request)) + request)
        while view:
            view = view[os.write(self._to, view) :]

    def receive(self) -> bytes:
        buffer = b""
        wanted = 4
        while len(buffer) < wanted:
            part = os.read(self._from, 65536)
            if not part:
                raise EngineError("the port has ended")
            buffer += part
            if len(buffer) >= 4:
                wanted = 4 + struct.unpack_from("!I", buffer)[0]
        return buffer[4:]

    def exchange(self, request: bytes) -> bytes:
        self.send(request)
        return self.receive()

    def close(self) -> None:
        os.close(self._to)
        os.close(self._from)


class Stream:
    """A connected socket, which it owns."""

    def __init__(self, connection: socket.socket):
        self._socket = connection

    def exchange(self, request: bytes) -> bytes:
        self._socket.sendall(request)
        buffer = b""
        while buffer[-6:-1] != READY:
            part = self._socket.recv(65536)
            if not part:
                raise EngineError("the server has closed the connection")
            buffer += part
        return buffer

    def close(self) -> None:
        self._socket.close()

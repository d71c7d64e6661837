#!/usr/bin/env python3
"""PostgreSQL as a child process: requests and answers on its pipes, each behind its length (packet4).

Standard library only. A request is a message of PostgreSQL's protocol; here Query, as a text with parameters put in
by the server would be Parse, Bind and Execute. docs/protocol.md says more.
"""

import os
import struct
import subprocess


class Database:
    def __init__(self, data_dir="memory://"):
        self._port = subprocess.Popen(
            [os.environ.get("PGLITE_PORT", "pglite-port"), "-D", data_dir, "--framing", "packet4"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def query(self, sql):
        """The rows of the last result, as tuples of texts; None is NULL."""
        text = sql.encode() + b"\0"
        message = b"Q" + struct.pack("!I", len(text) + 4) + text
        self._port.stdin.write(struct.pack("!I", len(message)) + message)
        self._port.stdin.flush()
        (size,) = struct.unpack("!I", self._read(4))
        rows = []
        for kind, body in self._messages(self._read(size)):
            if kind == b"T":
                rows = []
            elif kind == b"D":
                rows.append(self._row(body))
            elif kind == b"E":
                fields = {field[:1]: field[1:].decode() for field in body.split(b"\0") if field}
                raise RuntimeError(f"{fields[b'C']}: {fields[b'M']}")
        return rows

    def close(self):
        """The end of stdin is the order to shut down."""
        self._port.stdin.close()
        return self._port.wait()

    def _read(self, size):
        data = self._port.stdout.read(size)
        if len(data) < size:
            raise EOFError("pglite-port has ended")
        return data

    @staticmethod
    def _messages(answer):
        while answer:
            (length,) = struct.unpack_from("!I", answer, 1)
            yield answer[:1], answer[5 : length + 1]
            answer = answer[length + 1 :]

    @staticmethod
    def _row(body):
        values, at = [], 2
        for _ in range(struct.unpack_from("!H", body)[0]):
            (size,) = struct.unpack_from("!i", body, at)
            at += 4
            values.append(None if size < 0 else body[at : at + size].decode())
            at += max(size, 0)
        return tuple(values)


if __name__ == "__main__":
    database = Database()
    database.query("create table fruit (name text, price numeric)")
    database.query("insert into fruit values ('apple', 0.5), ('quince', null)")
    print(database.query("select * from fruit order by name"))
    try:
        database.query("select 1/0")
    except RuntimeError as error:
        print(error)
    print("exit code", database.close())

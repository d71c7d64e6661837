"""A workload: named items, each a list of requests, the same bytes for every engine.

A request is one or more frames of frontend messages and ends with one ReadyForQuery. An item is
timed as a whole; items that are not timed prepare something. The file that holds a workload is
what replay.cc, replay.mjs and the other clients read.
"""

from __future__ import annotations

import pathlib
import struct
from dataclasses import dataclass, field

import protocol

MAGIC = b"pglite-replay 1\n"
MIB = 1 << 20


@dataclass
class Item:
    name: str
    requests: list[list[bytes]]
    timed: bool = True


@dataclass
class Workload:
    name: str
    items: list[Item] = field(default_factory=list)
    transactions: dict[str, int] = field(default_factory=dict)  # item: how many it consists of
    answer_bytes: int = 16 * MIB  # the longest answer: room that clients keep for it

    def script(self, name: str, statements: list[str], timed: bool = True) -> None:
        """The statements in one Query message."""
        text = "".join(statement + ";\n" for statement in statements)
        self.items.append(Item(name, [[protocol.query(text)]], timed))

    def statements(self, name: str, statements: list[str], timed: bool = True) -> None:
        """Each statement a Query message, the next sent when the last is answered."""
        self.items.append(Item(name, [[protocol.query(s)] for s in statements], timed))

    def requests(self, name: str, requests: list[bytes], timed: bool = True) -> None:
        self.items.append(Item(name, [[request] for request in requests], timed))

    def keep(self, prefix: str) -> None:
        """Drops the timed items whose names do not begin so."""
        self.items = [item for item in self.items if not item.timed or item.name.startswith(prefix)]

    def write(self, path: pathlib.Path) -> None:
        with path.open("wb") as file:
            def number(value: int) -> None:
                file.write(struct.pack("!I", value))

            file.write(MAGIC)
            number(self.answer_bytes)
            number(len(self.items))
            for item in self.items:
                number(len(item.name))
                file.write(item.name.encode())
                number(int(item.timed))
                number(len(item.requests))
                for frames in item.requests:
                    number(len(frames))
                    for frame in frames:
                        number(len(frame))
                        file.write(frame)

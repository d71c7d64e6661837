"""COPY in and out of a million rows."""

from __future__ import annotations

import random

import protocol
from workload import MIB, Item, Workload

SEED = 1_000_000
CHUNK = 64 * 1024  # of a CopyData message
FRAME = MIB
TABLE = "CREATE TABLE {} (id int{}, name text, amount numeric(10,2), seen timestamptz)"


def copy_in(statement: str, lines: list[bytes]) -> list[bytes]:
    """The frames of COPY ... FROM STDIN: the statement, the data, the end."""
    frames, frame = [protocol.query(statement)], b""
    data = b"".join(lines)
    for at in range(0, len(data), CHUNK):
        frame += protocol.message(b"d", data[at : at + CHUNK])
        if len(frame) >= FRAME:
            frames.append(frame)
            frame = b""
    frames.append(frame + protocol.message(b"c"))
    return frames


def rows(count: int, separator: str) -> list[bytes]:
    random_ = random.Random(SEED)
    out = []
    for i in range(count):
        r = random_.getrandbits(40)
        second = r % 86400
        out.append(f"{i}{separator}customer {r % 99991}{separator}{r % 999983 / 100:.2f}{separator}"
                   f"2026-{1 + r % 12:02}-{1 + r % 28:02} {second // 3600:02}:{second // 60 % 60:02}:"
                   f"{second % 60:02}+00\n".encode())
    return out


def bulk(scale: float) -> Workload:
    count = max(int(1_000_000 * scale), 1000)
    workload = Workload("copy", answer_bytes=int(96 * MIB * min(scale, 1)) + MIB)
    text, csv = rows(count, "\t"), rows(count, ",")
    workload.statements("tables", [
        TABLE.format("plain", ""), TABLE.format("keyed", " PRIMARY KEY"),
        TABLE.format("fromcsv", "")], timed=False)

    def add(name: str, table: str, options: str, lines: list[bytes]) -> None:
        frames = copy_in(f"COPY {table} FROM STDIN{options}", lines)
        workload.items.append(Item(name, [frames]))

    size = f"{count:,} rows"
    add(f"in, text, {size}", "plain", "", text)
    add(f"in, text, {size}, primary key", "keyed", "", text)
    add(f"in, CSV, {size}", "fromcsv", " (FORMAT csv)", csv)
    workload.statements(f"out, text, {size}", ["COPY plain TO STDOUT"])
    workload.statements(f"out, CSV, {size}", ["COPY plain TO STDOUT (FORMAT csv)"])
    workload.statements(f"out, binary, {size}", ["COPY plain TO STDOUT (FORMAT binary)"])
    workload.statements(f"select, {size}", ["SELECT * FROM plain"])
    return workload

#!/usr/bin/env python3
"""psycopg (3) on a server that this program starts, on a free port, and ends."""

import os
import subprocess

import psycopg

read_end, write_end = os.pipe()
server = subprocess.Popen(
    [os.environ.get("PGLITE_PORT", "pglite-port"), "serve", "--listen", "127.0.0.1:0", "--ready-fd", str(write_end)],
    pass_fds=[write_end],
    stderr=subprocess.DEVNULL,
)
os.close(write_end)
try:
    with os.fdopen(read_end) as ready:
        address = ready.readline().split()[-1]  # "ready for clients on 127.0.0.1:43211"
    host, _, port = address.rpartition(":")
    with psycopg.connect(host=host, port=port, user="postgres", dbname="postgres") as connection:
        connection.execute("create table fruit (name text, price numeric)")
        with connection.cursor() as cursor:
            cursor.executemany("insert into fruit values (%s, %s)", [("apple", 0.5), ("quince", None)])
        print(connection.execute("select name, price from fruit order by name").fetchall())
finally:
    server.terminate()
    server.wait()

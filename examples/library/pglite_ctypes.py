#!/usr/bin/env python3
"""PostgreSQL inside Python, with ctypes from the standard library: a query, an error, clones, a dump.

PGLITE_LIBRARY names the library where the system does not find libpglite.so.0.1 by itself.
"""

import ctypes
import os
from ctypes import POINTER, byref, c_char_p, c_int32, c_int64, c_size_t, c_void_p

lib = ctypes.CDLL(os.environ.get("PGLITE_LIBRARY", "libpglite.so.0.1"))

ROW = ctypes.CFUNCTYPE(c_int32, c_void_p, c_size_t, POINTER(c_char_p), POINTER(c_char_p))
WRITE = ctypes.CFUNCTYPE(c_int32, c_void_p, POINTER(ctypes.c_char), c_size_t)

lib.pglite_open.argtypes = [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]
lib.pglite_query.argtypes = [c_void_p, c_char_p, c_size_t, POINTER(c_char_p), ROW, c_void_p, POINTER(c_void_p)]
lib.pglite_clone.argtypes = [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]
lib.pglite_dump_sql.argtypes = [c_void_p, POINTER(c_char_p), c_int32, WRITE, c_void_p, POINTER(c_void_p)]
lib.pglite_close.argtypes = [c_void_p, POINTER(c_void_p)]
lib.pglite_row_count.argtypes, lib.pglite_row_count.restype = [c_void_p], c_int64
for name in ("message", "sqlstate"):
    function = getattr(lib, f"pglite_error_{name}")
    function.argtypes, function.restype = [c_void_p], c_char_p
lib.pglite_error_free.argtypes, lib.pglite_error_free.restype = [c_void_p], None


class Error(Exception):
    pass


def call(function, *arguments):
    """Calls what has an error as its last parameter, and raises that."""
    error = c_void_p()
    if function(*arguments, byref(error)) != 0:
        message = lib.pglite_error_message(error).decode()
        sqlstate = lib.pglite_error_sqlstate(error).decode()
        lib.pglite_error_free(error)
        raise Error(f"{sqlstate}: {message}" if sqlstate else message)


class Database:
    """memory://, and a context manager that closes it."""

    def __init__(self, handle=None):
        self._handle = handle or c_void_p()
        if handle is None:
            call(lib.pglite_open, None, byref(self._handle))

    def query(self, sql, *parameters):
        """The rows, as tuples of texts; None is NULL."""
        rows = []

        @ROW
        def row(_, count, names, values):
            rows.append(tuple(None if values[i] is None else values[i].decode() for i in range(count)))
            return 0

        texts = [None if value is None else str(value).encode() for value in parameters]
        call(lib.pglite_query, self._handle, sql.encode(), len(texts), (c_char_p * len(texts))(*texts), row, None)
        return rows

    def clone(self):
        copy = c_void_p()
        call(lib.pglite_clone, self._handle, byref(copy))
        return Database(copy)

    def dump_sql(self, *arguments):
        dump = bytearray()

        @WRITE
        def write(_, data, size):
            dump.extend(data[:size])
            return 0

        options = [*(argument.encode() for argument in arguments), None]
        call(lib.pglite_dump_sql, self._handle, (c_char_p * len(options))(*options), 0, write, None)
        return dump.decode()

    def close(self):
        handle, self._handle = self._handle, None
        call(lib.pglite_close, handle)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


if __name__ == "__main__":
    with Database() as database:
        database.query("create table fruit (name text, price numeric)")
        database.query("insert into fruit values ($1, $2), ($3, $4)", "apple", 0.5, "quince", None)
        print(database.query("select * from fruit order by name"))
        try:
            database.query("select 1 / $1::int", 0)
        except Error as error:
            print(error)
        with database.clone() as clone:
            clone.query("delete from fruit")
            print(len(clone.query("select from fruit")), "and", len(database.query("select from fruit")))
        copied = database.dump_sql("--data-only", "--inserts")
        print(next(line for line in copied.splitlines() if line.startswith("INSERT")))

#!/usr/bin/env python3
"""Measures the Elixir package beside its peers, from Elixir: prints a table.

usage: elixir.py [--program FILE] [--round-trips N] [--tests N] [--rounds N]

* Round trips: `select $1::int + 1`, prepared, by the same Erlang code: pglite-port and PGlite on Node, each as a port of
  the VM that answers a frame with a frame; PgliteEx.query/3, which also encodes, decodes and queues.
* A suite of N tests with a database each: it is made, a row is inserted and counted, and it is dropped. Ours: a port from
  a snapshot, a server from a snapshot, CREATE DATABASE of a template on one server in memory. Native PostgreSQL:
  CREATE DATABASE of the same template, fsync off. The template has 50 tables with a hundred rows each.

What cannot be run is listed with the reason. The work is elixir.exs; here native PostgreSQL is started.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import engines

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=pathlib.Path, default=REPOSITORY / "build/release/pglite-port")
    parser.add_argument("--round-trips", type=int, default=5000)
    parser.add_argument("--tests", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    environment = os.environ | {
        "LANG": "C.UTF-8", "MIX_ENV": "prod", "PGLITE_PORT": str(arguments.program.resolve()),
        "BENCH_ROUND_TRIPS": str(arguments.round_trips), "BENCH_TESTS": str(arguments.tests),
        "BENCH_ROUNDS": str(arguments.rounds), "BENCH_NODE": str(HERE / "pglite_port.mjs")}
    native = None
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as temporary:
        try:
            environment["BENCH_PGLITE"] = str(engines.fetch("@electric-sql/pglite"))
        except Exception as reason:  # noqa: BLE001  # whatever it is, the peer is not there
            environment["BENCH_NO_PGLITE"] = str(reason)
        try:
            os.chmod(temporary, 0o755)
            installation = engines.Native(pathlib.Path(temporary))
            data = installation.initdb("data")
            native = engines.NativeServer(installation, data, "fsync=off")
            native.connect()
            environment["BENCH_NATIVE"] = str(data)
        except Exception as reason:  # noqa: BLE001
            environment["BENCH_NO_NATIVE"] = str(reason)
        try:
            return subprocess.run(["mix", "run", str(HERE / "elixir.exs")], cwd=REPOSITORY / "elixir",
                                  env=environment).returncode
        finally:
            if native is not None:
                native.close()


if __name__ == "__main__":
    sys.exit(main())

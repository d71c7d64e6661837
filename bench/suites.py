"""The suites of throughput.py."""

from analytical import analytical
from bulk import bulk
from contenders import SERIAL
from crud import crud
from mixed import mixed, plpgsql
from pgbench import pgbench
from speed import speed, speed_statements
from throughput import Suite

_TOGETHER = " Client and engine share a processor."

SUITES = {suite.name: suite for suite in [
    Suite("speed", "Speed suite",
          "18 scripts in the manner of SQLite's speedtest, as PGlite publishes it. Each script is "
          "one Query message.",
          speed, rounds=3, targets={"ours": 0.50, "port": 0.52}),
    Suite("speed-statements", "Speed suite, a statement at a time",
          "The same scripts; each statement is a Query message, sent when the last is answered."
          + _TOGETHER,
          speed_statements, rounds=3, together=True, without=(SERIAL,)),
    Suite("crud", "Small statements",
          "Twelve small statements, 1,000 times each, as simple queries (Query) and prepared (Bind, "
          "Execute, Sync)." + _TOGETHER,
          crud, rounds=3, together=True, metric="p50_us", without=(SERIAL,)),
    Suite("pgbench", "pgbench, one client",
          "The TPC-B-like and the select-only script at scale factor 1, from our own client." + _TOGETHER,
          pgbench, rounds=3, together=True, targets={"port": 0.8}, target_items="TPC-B-like", without=(SERIAL,)),
    Suite("analytical", "Analytical queries",
          "In the style of TPC-H, 300,000 lines in the largest table, analysed; each query three times "
          "in a run. Native PostgreSQL may use parallel workers.",
          analytical, rounds=3, targets={"ours": 0.8, "port": 0.8}),
    Suite("copy", "COPY",
          "A million rows of four columns, 55 MB.",
          bulk, rounds=3, targets={"ours": 0.8, "port": 0.8}, without=(SERIAL,)),
    Suite("plpgsql", "PL/pgSQL",
          "Loops in functions that have been called before.",
          plpgsql, rounds=3, targets={"ours": 1.0, "port": 1.0}, without=(SERIAL,)),
    Suite("mixed", "JSON, text search, sorting and hashing beyond work_mem",
          "Single statements, or 100 where they are short.",
          mixed, rounds=3),
]}

"""The suites of throughput.py."""

from speed import speed, speed_statements
from throughput import Suite

SUITES = {suite.name: suite for suite in [
    Suite("speed", "Speed suite",
          "18 scripts in the manner of SQLite's speedtest, as PGlite publishes it. Each script is "
          "one Query message.",
          speed, rounds=5, targets={"ours": 0.50, "port": 0.52}),
    Suite("speed-statements", "Speed suite, a statement at a time",
          "The same scripts; each statement is a Query message, sent when the last is answered. "
          "Client and engine share a processor.",
          speed_statements, rounds=3, together=True),
]}

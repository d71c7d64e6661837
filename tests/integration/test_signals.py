"""What the program inherits from its parent (blocked and ignored signals) does not matter to it."""

import os
import signal
import sys
import time

import pgwire
import pytest

CANCELED = "57014"
FEW_SIGNALS = [
    [],
    [signal.SIGALRM],
    [signal.SIGURG],
    [*(set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP})],
]
PARENT = """import os, signal, sys
numbers = [int(n) for n in sys.argv[2].split()]
if sys.argv[1] == "ignored":
    for n in numbers: signal.signal(n, signal.SIG_IGN)
else:
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
os.execv(sys.argv[3], sys.argv[3:])"""

pytestmark = pytest.mark.parametrize(
    ("how", "signals"),
    [("blocked", signals) for signals in FEW_SIGNALS]
    + [("ignored", [signal.SIGALRM, signal.SIGURG])],
    ids=["nothing", "SIGALRM", "SIGURG", "all", "ignored"],
)


def start(how, signals, *args):
    numbers = " ".join(str(int(number)) for number in signals)
    command = [sys.executable, "-c", PARENT, how, numbers, *pgwire.port_command()]
    return pgwire.PortProcess(*args, command=command)


def test_sigterm_right_after_a_request(how, signals):
    with start(how, signals) as port:
        assert port.value("select 1") == "1"
        os.kill(port.pid, signal.SIGTERM)
        assert port.wait(timeout=20) == 0


def test_statement_timeout(how, signals):
    with start(how, signals) as port:
        port.query("set statement_timeout = '200ms'").ok()
        endless = "select count(*) from generate_series(1, 1000000000000)"
        assert port.query(endless, timeout=30).sqlstate == CANCELED
        assert port.query(endless, timeout=30).sqlstate == CANCELED
        assert port.finish() == 0


def test_idle_work_is_done(how, signals):
    with start(how, signals, "-o", "-c autovacuum_naptime=1s") as port:
        port.query("create table t (a int primary key)").ok()
        port.query("insert into t select generate_series(1, 5000)").ok()
        port.query("delete from t where a % 2 = 0").ok()
        count = "select autovacuum_count from pg_stat_user_tables where relname = 't'"
        end = time.monotonic() + 30
        while int(port.value(count)) == 0:
            assert time.monotonic() < end
            time.sleep(1.5)

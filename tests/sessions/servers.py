"""The servers that PostgreSQL's suites run on: pglite-port (`serve`, or the bridge), and native PostgreSQL."""

from __future__ import annotations

import os
import pathlib
import selectors
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

# As pg_regress sets them, except what is only about logging.
SETTINGS = {
    "log_line_prefix": "%m %b[%p] %q%a ",
    "log_lock_waits": "on",
    "max_prepared_transactions": "2",
}
# PostgreSQL's own values, where a cluster of pglite-port has others by itself: tests are about parallel plans too.
DEFAULTS = {
    "max_parallel_workers_per_gather": "2",
    "max_parallel_maintenance_workers": "2",
}


class Server:
    """A server with a Unix socket in a directory of its own. Its log is at `log`."""

    port = 5432

    def __init__(self, work: pathlib.Path, install: pathlib.Path):
        self.work = work
        self.install = install
        self.log = work / "server.log"
        # The path of a Unix socket is short.
        self.sockets = pathlib.Path(tempfile.mkdtemp(prefix="sessions-"))
        self.process = None

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
        return kept | {
            "PGHOST": str(self.sockets), "PGPORT": str(self.port), "PGUSER": "postgres", "LC_MESSAGES": "C",
            "PGTZ": "America/Los_Angeles", "PGDATESTYLE": "Postgres, MDY",
            "PGOPTIONS": "-c intervalstyle=postgres_verbose",
        }

    def psql(self, database: str, *commands: str, timeout: float = 120) -> subprocess.CompletedProcess:
        arguments = [argument for command in commands for argument in ("-c", command)]
        return subprocess.run(
            [self.install / "bin/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *arguments, database],
            env=self.environment(), capture_output=True, text=True, timeout=timeout)

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> str:
        """Ends it in order; returns what went wrong, or nothing."""
        raise NotImplementedError

    def state(self) -> str:
        """Nothing if it answers, or how it does not."""
        if self.process.poll() is not None:
            return f"crash ({self.process.returncode})"
        try:
            done = self.psql("postgres", ";", timeout=20)  # pg_stat_statements counts no empty statement
        except subprocess.TimeoutExpired:
            return "hang"
        if self.process.poll() is not None:
            return f"crash ({self.process.returncode})"
        return "" if done.returncode == 0 else f"refuses connections ({done.stderr.strip()})"

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.sockets, ignore_errors=True)


class Sessions(Server):
    """pglite-port. `data_dir` is "memory://" or a directory."""

    def __init__(self, work, install, program: pathlib.Path, data_dir: str, settings=(), durability="off"):
        super().__init__(work, install)
        self.program = program
        self.data_dir = data_dir
        self.durability = durability
        self.settings = [f"{name}={value}" for name, value in (SETTINGS | DEFAULTS).items()] + list(settings)

    def command(self) -> list:
        raise NotImplementedError

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=log)
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            ready = selector.select(120) and self.process.stdout.readline().startswith(b"ready")
        if not ready:
            self.kill()
            raise RuntimeError(f"the server does not start, see {self.log}")

    def stop(self) -> str:
        self.process.terminate()
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            return "does not end in order"
        return f"ended with status {status}" if status else ""


class Bridge(Sessions):
    def command(self) -> list:
        settings = [argument for setting in self.settings for argument in ("--setting", setting)]
        return [self.program, "--socket-dir", self.sockets, "--port", str(self.port), "--data-dir", self.data_dir,
                "--durability", self.durability, *settings]


class Serve(Sessions):
    def command(self) -> list:
        settings = " ".join(f"-c {shlex.quote(setting)}" for setting in self.settings)
        return [self.program, "serve", "--socket-dir", self.sockets, "--socket-port", str(self.port), "--ready-fd", "1",
                "--debug", "1", "--data-dir", self.data_dir, "--durability", self.durability, "-o", settings]


class Native(Server):
    def __init__(self, work, install, settings=()):
        super().__init__(work, install)
        self.data = work / "data"
        self.settings = [f"{name}={value}" for name, value in SETTINGS.items()] + list(settings)

    def _command(self, *arguments) -> list:
        # PostgreSQL does not run as root. In a user namespace it is another user, for itself only.
        as_user = ["unshare", "--user", "--map-user=1000"] if os.geteuid() == 0 else []
        return [*as_user, *arguments]

    def start(self) -> None:
        with open(self.log, "ab") as log:
            if not self.data.exists():
                subprocess.run(
                    self._command(self.install / "bin/initdb", "--no-sync", "--username=postgres", "--encoding=UTF8",
                                  "--locale=C.UTF-8", "--lc-collate=C", "--auth=trust", self.data),
                    check=True, stdout=log, stderr=log)
            settings = [argument for setting in self.settings for argument in ("-c", setting)]
            self.process = subprocess.Popen(
                self._command(self.install / "bin/postgres", "-D", self.data, "-k", self.sockets, "-p", str(self.port),
                              "-F", "-c", "listen_addresses=", *settings),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while self.state():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"native PostgreSQL does not start, see {self.log}")
            time.sleep(0.2)

    def stop(self) -> str:
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(60)
        return f"ended with status {status}" if status else ""

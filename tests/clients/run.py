#!/usr/bin/env python3
"""Real clients on `pglite-port serve`, and on native PostgreSQL beside it: `make client-test`.

usage: run.py [--port PROGRAM] [--native DIRECTORY] [--data-dir DIR|memory://] [--table FILE] [CLIENT...]

Each client is a program in this directory that prints "pass NAME" or "fail NAME REASON" for each of its checks:
prepared statements, binary parameters, COPY, errors, a cancel, LISTEN and NOTIFY between two connections, a pool of
ten at work, and what else it is good for. What they need is installed at fixed versions, by the package managers of
their languages, into $XDG_CACHE_HOME/pglite-port/clients. A client that cannot be installed is not run, and that is
said.

--native names an installation of PostgreSQL (tests/sessions/build_postgres.sh makes one); a check that fails on both
is no fault of ours. The exit status is 1 where one fails on pglite-port alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "integration"))
import serving  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pglite-port" / "clients"
PASSWORD = "secret"
SETTINGS = {"max_prepared_transactions": "10", "max_connections": "100"}


class NotInstalled(Exception):
    """Says why."""


def run(*command, cwd=None, env=None, timeout=1800) -> str:
    try:
        done = subprocess.run([str(word) for word in command], cwd=cwd, env=os.environ | (env or {}), timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        raise NotInstalled(f"{command[0]} is missing") from None
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"{command[0]} took longer than {timeout} s") from None
    if done.returncode != 0:
        raise NotInstalled(f"{' '.join(map(str, command))}: " + " ".join(done.stdout.split())[-300:])
    return done.stdout


# --- How the clients are installed; each gives a command and a directory to run it in ---


def work_copy(language: str) -> Path:
    """The sources, where things may be installed beside them."""
    target = CACHE / language
    target.mkdir(parents=True, exist_ok=True)
    shutil.copytree(HERE / language, target, dirs_exist_ok=True)
    return target


def python(program: str):
    directory = work_copy("python")
    venv = directory / "venv"
    if not (venv / "bin" / "python").exists():
        run(sys.executable, "-m", "venv", venv)
    run(venv / "bin" / "pip", "install", "-q", "-r", directory / "requirements.txt")
    return [venv / "bin" / "python", program], directory


def node(program: str):
    directory = work_copy("node")
    run("npm", "install", "--no-audit", "--no-fund", cwd=directory)
    return ["node", program], directory


def go(package: str):
    directory = work_copy("go")
    run("go", "mod", "tidy", cwd=directory)
    run("go", "build", "-o", f"bin/{package}", f"./{package}", cwd=directory)
    return [directory / "bin" / package], directory


def rust(program: str):
    directory = work_copy("rust")
    run("cargo", "build", "--bin", program, cwd=directory)
    return [directory / "target" / "debug" / program], directory


def java(_: str):
    directory = work_copy("java")
    run("mvn", "-q", "-B", "compile", "dependency:build-classpath", "-Dmdep.outputFile=classpath", cwd=directory)
    classpath = (directory / "classpath").read_text().strip() + ":target/classes"
    return ["java", "-cp", classpath, "Clients"], directory


def erlang(program: str):
    if not shutil.which("escript"):
        raise NotInstalled("escript is missing (Debian's erlang-base)")
    found = subprocess.run(["erl", "-noshell", "-eval", "io:put_chars(code:lib_dir(p1_pgsql)), halt()."],
                           capture_output=True, text=True)
    if found.returncode != 0:
        raise NotInstalled("p1_pgsql is missing (Debian's erlang-p1-pgsql)")
    return ["escript", program], HERE / "erlang"


def elixir(what: str):
    directory = work_copy("elixir")
    if not os.environ.get("ELIXIR_DEPS"):
        run("mix", "local.hex", "--force", cwd=directory)
        run("mix", "local.rebar", "--force", cwd=directory)
        run("mix", "deps.get", cwd=directory)
    run("mix", "compile", cwd=directory)
    return ["mix", "run", "--no-compile", "-e", f'Clients.main(["{what}"])'], directory


@dataclasses.dataclass
class Client:
    name: str
    version: str  # as it is pinned
    install: object
    program: str
    trust: bool = False  # it knows no way of PostgreSQL 18's to give a password


def pinned(file: str, pattern: str) -> str:
    return re.search(pattern, (HERE / file).read_text()).group(1)


CLIENTS = [
    Client("psycopg 3", pinned("python/requirements.txt", r"psycopg\[.*?==(\S+)"), python, "psycopg3_client.py"),
    Client("psycopg 2", pinned("python/requirements.txt", r"psycopg2-binary==(\S+)"), python, "psycopg2_client.py"),
    Client("asyncpg", pinned("python/requirements.txt", r"asyncpg==(\S+)"), python, "asyncpg_client.py"),
    Client("SQLAlchemy", pinned("python/requirements.txt", r"SQLAlchemy==(\S+)"), python, "sqlalchemy_client.py"),
    Client("Django", pinned("python/requirements.txt", r"Django==(\S+)"), python, "django_client.py"),
    Client("node pg", pinned("node/package.json", r'"pg": "(\S+)"'), node, "pg.mjs"),
    Client("postgres.js", pinned("node/package.json", r'"postgres": "(\S+)"'), node, "postgres.mjs"),
    Client("Drizzle", pinned("node/package.json", r'"drizzle-orm": "(\S+)"'), node, "drizzle.mjs"),
    Client("JDBC", pinned("java/pom.xml", r"<artifactId>postgresql</artifactId>\s*<version>(\S+?)<"), java, ""),
    Client("pgx", pinned("go/go.mod", r"pgx/v5 v(\S+)"), go, "pgx"),
    Client("lib/pq", pinned("go/go.mod", r"lib/pq v(\S+)"), go, "pq"),
    Client("tokio-postgres", pinned("rust/Cargo.toml", r'tokio-postgres = .*?"=(\S+)"'), rust, "tokio_postgres_client"),
    Client("sqlx", pinned("rust/Cargo.toml", r'sqlx = .*?"=(\S+)"'), rust, "sqlx_client"),
    Client("Postgrex", pinned("elixir/mix.exs", r'postgrex: "(\S+)"'), elixir, "postgrex"),
    Client("Ecto", pinned("elixir/mix.exs", r'ecto_sql: "(\S+)"'), elixir, "ecto"),
    Client("p1_pgsql", "of Debian 12", erlang, "p1_pgsql_client.escript", trust=True),
]


# --- The servers ---


class Port:
    """pglite-port serve, with TLS."""

    def __init__(self, program: str, data_dir: str, work: Path, trust: bool):
        os.environ["PGLITE_PORT"] = program
        authority = serving.Authority(work)
        certificate, key = authority.issue("server")
        (work / "password").write_text(PASSWORD)
        self.ca = str(authority.certificate)
        self.server = serving.Server(
            "-D", data_dir if data_dir.startswith("memory:") else f"{data_dir}-{'trust' if trust else 'scram'}",
            "--listen", "localhost:0", "--tls-cert", certificate, "--tls-key", key,
            *([] if trust else ["--auth", "scram", "--password-file", work / "password"]),
            "-o", " ".join(f"-c {name}={value}" for name, value in SETTINGS.items()))
        self.port = self.server.port

    def check(self) -> str:
        return "" if self.server.running() else "the server has ended: " + self.server.stderr()[-500:]

    def close(self):
        if self.server.running():
            status = self.server.stop(signal.SIGINT)
            print(f"  the server ended with {status}")
        self.server.kill()


class Native:
    """PostgreSQL from an installation, on a new cluster."""

    ca = ""

    def __init__(self, installation: Path, work: Path, trust: bool):
        (work / "password").write_text(PASSWORD)
        # PostgreSQL does not run as root. In a user namespace it is another user, for itself only.
        as_user = ["unshare", "--user", "--map-user=1000"] if os.geteuid() == 0 else []
        environment = {"LD_LIBRARY_PATH": str(installation / "lib")}
        run(*as_user, installation / "bin/initdb", "-N", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
            "-A", "trust" if trust else "scram-sha-256", "--pwfile", work / "password", work / "data", env=environment)
        self.port = serving.free_port()
        settings = [word for pair in SETTINGS.items() for word in ("-c", "=".join(pair))]
        self.log = open(work / "log", "wb")
        self.process = subprocess.Popen(
            [*as_user, installation / "bin/postgres", "-D", work / "data", "-p", str(self.port), "-k", "", *settings],
            stdout=self.log, stderr=self.log, env=os.environ | environment)
        for _ in range(300):
            done = subprocess.run([installation / "bin/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                                  env=os.environ | environment)
            if done.returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError("native PostgreSQL does not start: " + (work / "log").read_text()[-500:])

    def check(self) -> str:
        return "" if self.process.poll() is None else "the server has ended"

    def close(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        self.log.close()


# --- The campaign ---


def results_of(client: Client, command, directory: Path, server, log) -> dict[str, str]:
    """Name to why it failed, empty where it did not."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {
        "PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres", "PGPASSWORD": PASSWORD,
        "PGDATABASE": "postgres", "TLS_CA": server.ca, "TRUSTED_USER": "postgres"}
    results: dict[str, str] = {}
    try:
        done = subprocess.run([str(word) for word in command], cwd=directory, env=environment, stderr=log,
                              stdout=subprocess.PIPE, text=True, timeout=600)
        output, ended = done.stdout, f"it ended with {done.returncode}" if done.returncode else ""
    except subprocess.TimeoutExpired as late:
        output, ended = (late.stdout or b"").decode(), "it did not end in 600 s"
    for line in output.splitlines():
        found = re.match(r"(pass|fail) (\S+) ?(.*)", line)
        # A check may run more than once, with another driver.
        if found:
            kind, name, reason = found.groups()
            results[name] = results.get(name, "") or (reason or "?" if kind == "fail" else "")
    ended = ended or server.check()
    if ended:
        results["(the end)"] = ended
    return results


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default=str(REPOSITORY / "build/release/pglite-port"))
    parser.add_argument("--native", type=Path)
    parser.add_argument("--data-dir", default="memory://")
    parser.add_argument("--table", type=Path, help="where a table of the results goes, as Markdown")
    parser.add_argument("--log", type=Path, default=CACHE / "log", help="what the clients print besides")
    parser.add_argument("clients", nargs="*")
    arguments = parser.parse_args()
    chosen = [c for c in CLIENTS if not arguments.clients or c.name in arguments.clients]
    CACHE.mkdir(parents=True, exist_ok=True)
    rows, ours_alone = [], 0
    with tempfile.TemporaryDirectory() as temporary, open(arguments.log, "w") as log:
        # In the temporary directory a user namespace has to reach the files.
        Path(temporary).chmod(0o755)
        for client in chosen:
            print(f"{client.name} {client.version}", flush=True)
            try:
                command, directory = client.install(client.program)
            except NotInstalled as reason:
                print(f"  not run: {reason}")
                rows.append((client, None, None, str(reason)))
                continue
            both = []
            for kind in ("port", "native"):
                if kind == "native" and arguments.native is None:
                    both.append({})
                    continue
                work = Path(tempfile.mkdtemp(dir=temporary))
                if kind == "port":
                    server = Port(arguments.port, arguments.data_dir, work, client.trust)
                else:
                    server = Native(arguments.native, work, client.trust)
                try:
                    log.write(f"=== {client.name} on {kind}\n")
                    log.flush()
                    both.append(results_of(client, command, directory, server, log))
                finally:
                    server.close()
                results = both[-1]
                print(f"  {kind}: {sum(not why for why in results.values())} of {len(results)} passed", flush=True)
                for name, why in results.items():
                    if why:
                        print(f"    {name}: {why}", flush=True)
            ours, native = both
            ours_alone += sum(bool(why) and not native.get(name) for name, why in ours.items()) or not ours
            rows.append((client, ours, native, ""))
    if arguments.table:
        arguments.table.write_text(table(rows, arguments.native is not None))
    print(f"{ours_alone} checks fail on pglite-port alone" if arguments.native else f"{ours_alone} checks fail")
    return 1 if ours_alone else 0


def table(rows, has_native: bool) -> str:
    lines = ["| client | version | passed | failed |" + (" native passed |" if has_native else ""),
             "|---|---|---|---|" + ("---|" if has_native else "")]
    for client, ours, native, reason in rows:
        if ours is None:
            cells = ["not run", reason] + ([""] if has_native else [])
        else:
            failed = [f"{name} ({why[:100]})" for name, why in ours.items() if why]
            cells = [f"{len(ours) - len(failed)} of {len(ours)}", "; ".join(failed).replace("|", "\\|")]
            if has_native:
                cells.append(f"{sum(not why for why in native.values())} of {len(native)}")
        lines.append(f"| {client.name} | {client.version} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())

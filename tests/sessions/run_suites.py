#!/usr/bin/env python3
"""Runs PostgreSQL's own test suites on many sessions of one cluster, and compares with what they expect.

usage: run_suites.py isolation|regression|contrib [--server serve|bridge|native] [--build-dir DIR] [--directory]
                     [--durability off|relaxed|full] [--setting NAME=VALUE]... [--only TEST,...] [--timeout SECONDS]
                     [--module NAME=DIR]... [--output DIR] [--reference DIR] [--table FILE]

The suites and the native server are those of build_postgres.sh. The isolation suite runs on memory:// unless
--directory says otherwise; the others always on a directory, as their server reads and writes files. Answers,
differences, the server log and the directory are left in the output directory.

The contrib suite is that of each module that PGlite has, in a database of its own; a test's name is MODULE/TEST, and
--only takes modules, too. --module runs, in their place, the tests of an extension whose sources are elsewhere: DIR has
sql and expected, and it or its parent a makefile with their order.

A test whose answer is none of the expected ones must be in known_differences.toml with its reason, or the run fails.
For the regression suite the answers of native PostgreSQL (--server native) are the reference: without the suite's C
functions, which the guest cannot load, many tests differ from what is expected on both.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass, field

from servers import Bridge, Native, Serve, Server, Sessions

HERE = pathlib.Path(__file__).parent
REPOSITORY = HERE.parent.parent
# Where the guest sees the data directory. The regression suite writes files in the server that its client reads, so
# there is a link at the same place on this machine while it runs.
GUEST_ROOT = pathlib.Path("/pglite")
LONGEST_ANSWER = 16 << 20
# There is no such directory on either server: the C functions in it cannot be had.
NO_LIBRARIES = "/nonexistent"
QUOTED = " '"  # around a value in a configuration file


@dataclass
class Result:
    test: str
    differing: int = 0  # lines, to the expected file that is nearest
    reference: int | None = None  # lines, to the reference
    problem: str = ""  # a crash, a hang
    seconds: float = 0
    because: str = ""  # why it is known to differ


def differences(expected: pathlib.Path, answer: pathlib.Path) -> str:
    done = subprocess.run(["diff", "-a", "-U3", expected, answer], stdout=subprocess.PIPE)
    return done.stdout.decode("utf-8", "replace")


def count(diff: str) -> int:
    return sum(line.startswith(("+", "-")) for line in diff.split("\n")[2:])


def limit_answer() -> None:
    """A test whose answer has no end is ended by the system."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (LONGEST_ANSWER, LONGEST_ANSWER))


@dataclass
class Run:
    server: Server
    suite: pathlib.Path  # where it stands in the sources
    output: pathlib.Path
    timeout: float
    reference: pathlib.Path | None = None
    known: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    def create_database(self, name: str) -> None:
        """As pg_regress does."""
        settings = {"lc_messages": "C", "lc_monetary": "C", "lc_numeric": "C", "lc_time": "C", "bytea_output": "hex",
                    "timezone_abbreviations": "Default"}
        done = self.server.psql("postgres", f"create database {name} template=template0", *(
            f"alter database {name} set {setting} to '{value}'" for setting, value in settings.items()))
        if done.returncode != 0:
            raise RuntimeError(f"no database: {done.stderr}")

    def expected(self, test: str) -> pathlib.Path:
        """The expected file, without its ending."""
        return self.suite / "expected" / test

    def compare(self, test: str, seconds: float, problem: str) -> None:
        answer = self.output / "results" / f"{test}.out"
        expected = [pathlib.Path(f"{self.expected(test)}{alternative}.out")
                    for alternative in ("", *(f"_{number}" for number in range(10)))]
        best = min((differences(file, answer) for file in expected if file.exists()), key=len)
        (self.output / "diffs" / f"{test}.diff").write_text(best)
        result = Result(test, count(best), None, problem, seconds, self.known.get(test, ""))
        if self.reference is not None and (reference := self.reference / "results" / f"{test}.out").exists():
            diff = differences(reference, answer)
            (self.output / "diffs" / f"{test}.reference.diff").write_text(diff)
            result.reference = count(diff)
        self.results.append(result)
        said = problem or ("ok" if not best else f"{result.differing} lines differ")
        if best and result.reference is not None:
            said += f", {result.reference} from the reference"
        print(f"{test:40} {seconds:6.1f} s  {said}", flush=True)

    def run_together(self, tests: dict[str, tuple[list, dict[str, str]]], directory: pathlib.Path | None = None) -> None:
        """Runs commands at the same time, in a directory, compares their answers, and sees that the server lives."""
        began = time.monotonic()
        running = {}
        for test, (command, environment) in tests.items():
            output = open(self.output / "results" / f"{test}.out", "wb")
            source = open(command[-1], "rb")
            running[test] = subprocess.Popen(command[:-1], stdin=source, stdout=output, stderr=output,
                                             env=self.server.environment() | environment, start_new_session=True,
                                             preexec_fn=limit_answer, cwd=directory)
            source.close()
            output.close()
        seconds = {}
        while len(seconds) < len(running) and time.monotonic() < began + self.timeout:
            for test, process in running.items():
                if test not in seconds and process.poll() is not None:
                    seconds[test] = time.monotonic() - began
            time.sleep(0.01)
        late = running.keys() - seconds.keys()
        for test in late:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running[test].pid, signal.SIGKILL)
            running[test].wait()
            seconds[test] = time.monotonic() - began
        state = self.server.state()
        if state:
            self.server.kill()
        for test in running:
            self.compare(test, seconds[test], state or ("the test hangs" if test in late else ""))
        if state:
            self.restart()

    def restart(self) -> None:
        raise NotImplementedError

    def table(self, title: str) -> str:
        def said(lines: int | None) -> str:
            return "" if lines is None else "same" if lines == 0 else f"{lines} lines"

        exact = sum(result.differing == 0 for result in self.results)
        lines = [f"# {title}", "", f"{len(self.results)} tests: {exact} as expected, {len(self.results) - exact} not.",
                 ""]
        if self.reference is None:
            lines += ["| test | expected | why |", "|---|---|---|"]
            lines += [f"| {result.test} | {said(result.differing)} | {result.problem or result.because} |"
                      for result in self.results]
        else:
            lines += ["| test | expected | native PostgreSQL | why |", "|---|---|---|---|"]
            for result in self.results:
                as_native = "the suite's C functions are not there" if result.differing and not result.reference else ""
                lines.append(f"| {result.test} | {said(result.differing)} | {said(result.reference)} | "
                             f"{result.problem or result.because or as_native} |")
        return "\n".join(lines) + "\n"

    def unexpected(self) -> list[str]:
        found = []
        for result in self.results:
            differs = result.differing if result.reference is None else min(result.differing, result.reference)
            if result.problem or (differs and not result.because):
                found.append(f"{result.test}: {result.problem or f'{differs} lines differ'}")
            elif not differs and result.because:
                found.append(f"{result.test}: is known to differ, but does not")
        return found


class Isolation(Run):
    database = "isolation_regression"

    def restart(self) -> None:
        # The specs know nothing of each other: a new cluster will do.
        if isinstance(self.server, Sessions) and self.server.data_dir != "memory://":
            shutil.rmtree(self.server.data_dir)
        self.server.start()
        self.create_database(self.database)

    def run(self, only: set[str]) -> None:
        schedule = (self.suite / "isolation_schedule").read_text().split("\n")
        specs = [line.removeprefix("test: ") for line in schedule if line.startswith("test: ")]
        specs += ["prepared-transactions", "prepared-transactions-cic"]
        tester = self.server.install / "lib/pgxs/src/test/isolation/isolationtester"
        self.create_database(self.database)
        for spec in specs:
            if not only or spec in only:
                environment = {"PGAPPNAME": f"isolation/{spec}",
                               "PG_TEST_TIMEOUT_DEFAULT": str(max(1, int(self.timeout / 5)))}
                self.run_together({spec: ([tester, f"dbname={self.database}", self.suite / f"specs/{spec}.spec"],
                                          environment)})


class Regression(Run):
    database = "regression"

    def restart(self) -> None:
        # Later tests need what earlier ones have made: the cluster recovers.
        self.server.start()

    def files(self) -> tuple[pathlib.Path, pathlib.Path]:
        """The suite's data, and where it writes, by the names that the server and the client know."""
        if not isinstance(self.server, Sessions):
            return self.suite, self.output
        directory = pathlib.Path(self.server.data_dir) / "regress"
        shutil.copytree(self.suite / "data", directory / "data")
        (directory / "results").mkdir()
        return (GUEST_ROOT / "data/regress",) * 2

    def run(self, only: set[str]) -> None:
        schedule = (self.suite / "parallel_schedule").read_text().split("\n")
        groups = [line.removeprefix("test: ").split() for line in schedule if line.startswith("test: ")]
        source, written = self.files()
        self.create_database(self.database)
        for group in groups:
            chosen = [test for test in group if not only or test in only or test == "test_setup"]
            self.run_together({test: (
                [self.server.install / "bin/psql", "-X", "-a", "-q", "-d", self.database, "-v", "HIDE_TABLEAM=on", "-v",
                 "HIDE_TOAST_COMPRESSION=on", self.suite / f"sql/{test}.sql"],
                {"PGAPPNAME": f"pg_regress/{test}", "PG_ABS_SRCDIR": str(source), "PG_ABS_BUILDDIR": str(written),
                 "PG_LIBDIR": NO_LIBRARIES, "PG_DLSUFFIX": ".so"}) for test in chosen})


class Contrib(Regression):
    database = "contrib_regression"
    # What PGlite has of contrib; it has neither dblink nor postgres_fdw, which need a network, nor test_decoding.
    MODULES = """amcheck auto_explain bloom btree_gin btree_gist citext cube dict_int dict_xsyn earthdistance file_fdw
        fuzzystrmatch hstore intarray isn lo ltree pageinspect passwordcheck pg_buffercache pg_freespacemap
        pg_logicalinspect pg_overexplain pg_stat_statements pg_surgery pg_trgm pg_visibility pg_walinspect pgcrypto seg
        spi tablefunc tcn tsm_system_rows tsm_system_time unaccent uuid-ossp""".split()
    # Variables in the lists of tests, for what configure has found.
    VARIABLES = {"$(CF_PGP_TESTS)": "pgp-compression"}

    modules: dict[str, pathlib.Path] = {}  # of elsewhere

    def expected(self, test: str) -> pathlib.Path:
        module, name = test.split("/")
        return self.sources(module) / "expected" / name

    def sources(self, module: str) -> pathlib.Path:
        return self.modules.get(module, self.suite / module)

    def plan(self, module: str) -> tuple[list[str], list[str], list[str]]:
        """The regression tests of a module, its isolation tests, and the settings that they need."""
        sources = self.sources(module)
        listed: dict[str, list[str]] = {"REGRESS": [], "ISOLATION": []}
        for line in self.makefile(module).replace("\\\n", " ").split("\n"):
            name, assigned, tests = line.partition("=")
            if assigned and name.strip() in listed:
                listed[name.strip()] = [self.VARIABLES.get(test, test) for test in tests.split()]
        if module in self.modules:
            there = sorted(file.stem for file in (sources / "sql").glob("*.sql"))
            return [test for test in listed["REGRESS"] if test in there] or there, [], []
        lines = [line.partition("=") for file in sources.glob("*.conf") for line in file.read_text().split("\n")]
        settings = [f"{name.strip()}={value.strip(QUOTED)}" for name, assigned, value in lines if assigned]
        return listed["REGRESS"], listed["ISOLATION"], settings

    def makefile(self, module: str) -> str:
        """Of what is elsewhere, tests may be in a directory of their own."""
        sources = self.sources(module)
        files = [sources / "Makefile", *([sources.parent / "Makefile"] if module in self.modules else [])]
        return next((file.read_text() for file in files if file.exists()), "")

    def files(self) -> tuple[pathlib.Path, pathlib.Path]:
        if not isinstance(self.server, Sessions):
            return self.suite, self.output
        return (GUEST_ROOT / "data/contrib",) * 2

    def place_data(self, module: str) -> pathlib.Path:
        """Where the server finds the module's data."""
        source, _ = self.files()
        data = self.sources(module) / "data"
        if isinstance(self.server, Sessions) and data.exists():
            shutil.copytree(data, pathlib.Path(self.server.data_dir) / "contrib" / module / "data", dirs_exist_ok=True)
        return source / module

    def run_directory(self, module: str) -> pathlib.Path:
        """Where its clients run: with the module's data, and a place for what they write."""
        directory = self.output / "run" / module
        (directory / "results").mkdir(parents=True)
        sources = self.sources(module)
        (directory / "data").symlink_to(sources / "data")
        (directory / sources.name).symlink_to(sources)
        return directory

    def run(self, only: set[str]) -> None:
        plain = list(self.server.settings)
        plans = {module: self.plan(module) for module in self.modules or self.MODULES}
        # Those that need settings come last: each has a server of its own.
        for module, (tests, specs, settings) in sorted(plans.items(), key=lambda plan: bool(plan[1][2])):
            def chosen(names: list[str]) -> list[str]:
                return [name for name in names if not only or module in only or f"{module}/{name}" in only]
            if not chosen(tests) and not chosen(specs):
                continue
            if settings:
                self.server.stop()
                self.server.settings = plain + settings
                self.server.start()
            self.run_module(module, chosen(tests), chosen(specs))

    def run_module(self, module: str, tests: list[str], specs: list[str]) -> None:
        for directory in ("results", "diffs"):
            (self.output / directory / module).mkdir(exist_ok=True)
        done = self.server.psql("postgres", f"drop database if exists {self.database} with (force)")
        if done.returncode != 0:
            raise RuntimeError(f"the database stays: {done.stderr}")
        self.create_database(self.database)
        if "--load-extension" in self.makefile(module):
            done = self.server.psql(self.database, f'create extension "{module}"')
            if done.returncode != 0:
                raise RuntimeError(f"{module}: {done.stderr}")
        place, directory = self.place_data(module), self.run_directory(module)
        for test in tests:
            self.run_together({f"{module}/{test}": (
                [self.server.install / "bin/psql", "-X", "-a", "-q", "-d", self.database, "-v", "HIDE_TABLEAM=on", "-v",
                 "HIDE_TOAST_COMPRESSION=on", self.sources(module) / f"sql/{test}.sql"],
                {"PGAPPNAME": f"pg_regress/{test}", "PG_ABS_SRCDIR": str(place), "PG_ABS_BUILDDIR": str(place),
                 "PG_LIBDIR": NO_LIBRARIES, "PG_DLSUFFIX": ".so"})}, directory)
        tester = self.server.install / "lib/pgxs/src/test/isolation/isolationtester"
        for spec in specs:
            self.run_together({f"{module}/{spec}": (
                [tester, f"dbname={self.database}", self.sources(module) / f"specs/{spec}.spec"],
                {"PGAPPNAME": f"isolation/{spec}", "PG_TEST_TIMEOUT_DEFAULT": str(max(1, int(self.timeout / 5)))})})


@contextlib.contextmanager
def guest_root(target: pathlib.Path):
    """Fails where something is there already, such as the link of another run."""
    GUEST_ROOT.symlink_to(target)
    try:
        yield
    finally:
        GUEST_ROOT.unlink()


SUITES = {"isolation": (Isolation, "src/test/isolation"), "regression": (Regression, "src/test/regress"),
          "contrib": (Contrib, "contrib")}
SERVERS = {"serve": (Serve, "pglite-port"), "bridge": (Bridge, "tests/sessions/session_bridge")}


def make_server(arguments, output: pathlib.Path, install: pathlib.Path) -> Server:
    if arguments.server == "native":
        return Native(output, install, arguments.setting)
    kind, program = SERVERS[arguments.server]
    on_disk = arguments.directory or arguments.suite != "isolation"
    data_dir = str(output / "data") if on_disk else "memory://"
    return kind(output, install, arguments.build_dir.absolute() / program, data_dir, arguments.setting,
                arguments.durability)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=tuple(SUITES))
    parser.add_argument("--server", choices=("serve", "bridge", "native"), default="serve")
    parser.add_argument("--build-dir", type=pathlib.Path, default=REPOSITORY / "build/release")
    parser.add_argument("--directory", action="store_true", help="a cluster on disk, not in memory")
    parser.add_argument("--durability", choices=("off", "relaxed", "full"), default="off")
    parser.add_argument("--setting", action="append", default=[], help="name=value, for the server")
    parser.add_argument("--only", type=lambda text: set(text.split(",")), default=set())
    parser.add_argument("--module", action="append", default=[], help="name=directory, for the contrib suite")
    parser.add_argument("--timeout", type=float, default=150, help="for a test")
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--reference", type=pathlib.Path, help="the output directory of a run with --server native")
    parser.add_argument("--table", type=pathlib.Path, help="where the results are written as a table")
    arguments = parser.parse_args()

    install = pathlib.Path(subprocess.run([HERE / "build_postgres.sh"], check=True, stdout=subprocess.PIPE,
                                          text=True).stdout.strip())
    output = arguments.output or REPOSITORY / "build/sessions" / f"{arguments.suite}-{arguments.server}"
    output = output.absolute()
    shutil.rmtree(output, ignore_errors=True)
    for directory in ("results", "diffs"):
        (output / directory).mkdir(parents=True)

    is_native = arguments.server == "native"
    known = [] if is_native else tomllib.loads((HERE / "known_differences.toml").read_text()).get("difference", [])
    suite, sources = SUITES[arguments.suite]
    # What was begun is ended, also on SIGTERM.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with contextlib.ExitStack() as stack:
        server = make_server(arguments, output, install)
        stack.callback(server.close)
        if arguments.suite != "isolation" and not is_native:
            stack.enter_context(guest_root(output))
        server.start()
        run = suite(server, install / "src" / sources, output, arguments.timeout,
                    arguments.reference.absolute() if arguments.reference else None,
                    {entry["test"]: entry["because"] for entry in known if entry["suite"] == arguments.suite})
        if arguments.module:
            run.modules = {name: pathlib.Path(directory).absolute()
                           for name, _, directory in (module.partition("=") for module in arguments.module)}
        run.run(arguments.only)
        ended = server.stop()

    if arguments.table:
        arguments.table.write_text(run.table(f"PostgreSQL's {arguments.suite} suite on many sessions of one cluster"))
    unexpected = run.unexpected() + ([f"the server {ended}"] if ended else [])
    print(f"{len(run.results)} tests, {sum(result.differing == 0 for result in run.results)} as expected")
    print(*unexpected, sep="\n")
    # Without the suite's C functions native PostgreSQL differs, too. It is what others are compared with.
    is_reference = is_native and arguments.suite != "isolation"
    return 1 if unexpected and not is_reference else 0


if __name__ == "__main__":
    sys.exit(main())

"""Every command that README.md and docs/*.md show is run, in the order of the document, so that they keep true.

A block of commands is indented by four spaces, or fenced as `sh` or `console`. In it
- `$ ` stands before a command whose output follows; without one, every line is a command and must end with status 0
  (what has an ERROR in its output need not);
- a line that ends with a backslash goes on in the next; `#` begins a comment;
- `serve` is stopped when clients can connect, behind a `&` at the end of the block;
- `pglite-port COMMAND [OPTIONS]` is a synopsis: the command's --help is asked for;
- `make`, `ctest` and `pytest` are only asked what they would do;
- `<!-- not run: REASON -->` in front of a block leaves it out, and a host example.org its line.

All of a document's blocks run in one directory that has what they speak of (`place`), in a network of their own, and beside a server on localhost:5432 with the role `alice` and the database `shop` where a command
connects to that.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "integration"))

import pgwire  # noqa: E402
import serving  # noqa: E402

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
PROGRAMS = {"pglite-port", "make", "ctest", "python3", "psql", "echo", "mix"}
LANGUAGES = {"sh", "console"}
SOCKET = Path("/tmp/.s.PGSQL.5432")
READY = "ready for clients on"
SECONDS = 120


def first_word(command: str) -> str:
    words = [w for w in command.removeprefix("$ ").split() if not re.match(r"\w+=", w)]
    return words[0] if words else ""


def blocks(text: str) -> list[tuple[int, list[str]]]:
    """The blocks of commands: the number of the first line, and the lines."""
    lines = text.splitlines()
    found = []
    at = 0
    note = ""  # the last line of text before a block
    while at < len(lines):
        start = at
        fence = re.match(r"```(\w*)", lines[at])
        if fence:
            end = lines.index("```", at + 1)
            block = lines[at + 1:end] if fence[1] in LANGUAGES else []
            at = end + 1
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            while at < len(lines) and (lines[at].startswith("    ") or not lines[at].strip()):
                at += 1
            block = [line[4:] for line in lines[start:at]]
        else:
            note = lines[at] if lines[at].strip() else note
            at += 1
            continue
        if block and first_word(block[0]) in PROGRAMS and not note.startswith("<!-- not run: "):
            found.append((start + 1, block))
        note = ""
    return found


def commands(lines: list[str]) -> list[tuple[str, list[str] | None]]:
    """Commands, each with the output that is shown, if any."""
    with_output = any(line.startswith("$ ") for line in lines)
    found = []
    going_on = False
    for line in lines:
        if going_on:
            found[-1][0] += "\n" + line
        elif not with_output:
            if line and not line.startswith("#"):
                found.append([line, None])
        elif line.startswith("$ "):
            found.append([line[2:], None])
        else:
            found[-1][1] = [*(found[-1][1] or []), line]
        going_on = (not with_output or line.startswith("$ ") or going_on) and line.endswith("\\")
    return [(command, output) for command, output in found]


def trimmed(lines) -> str:
    return "\n".join(line.rstrip() for line in lines).strip()


# --- What a shell does with them ---


# A network of its own, so that ports are free, with the loopback interface up.
ALONE = """
import fcntl, os, socket, struct, sys
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING
os.execvp(sys.argv[1], sys.argv[1:])
"""


def alone() -> list[str]:
    """The beginning of a command line that has a network of its own; nothing where none can be had."""
    prefix = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"]), sys.executable, "-c", ALONE]
    try:
        done = subprocess.run([*prefix, "true"], capture_output=True, timeout=60)
    except OSError:
        return []
    return prefix if done.returncode == 0 else []


@pytest.fixture(scope="session")
def network():
    """What is put in front of a command so that all of them are in one network. The first of them holds it."""
    prefix = alone()
    if not prefix:
        yield []
        return
    with subprocess.Popen([*prefix, "sh", "-c", "echo there; exec cat"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:  # fmt: skip
        assert holder.stdout.readline() == b"there\n"
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        yield ["nsenter", *user, "--net", "--target", str(holder.pid)]
        holder.stdin.close()


SCRIPT = "create table copied (n int, v text);\ncopy copied from stdin;\n1\tone\n\\.\n"
SCHEMA = "create table t (v text);\ninsert into t values ('seeded');\n"
MIGRATE = """#!/bin/sh
set -e
pglite-port sql "$DATABASE_URL" -c "create database shop"
pglite-port sql "postgres://$PGUSER@$PGHOST:$PGPORT/shop" -c "create table t (v text)"
"""


@pytest.fixture
def place(tmp_path):
    """The directory that the documents speak of: ./data is a cluster with the database `shop`, DIR a damaged one."""
    command = pgwire.port_command()
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "pglite-port").write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    (binaries / "mix").write_text("#!/bin/sh\n")
    work = tmp_path / "work"
    work.mkdir()
    (work / "script.sql").write_text(SCRIPT)
    (work / "schema.sql").write_text(SCHEMA)
    (work / "secret").write_text("secret\n")
    (work / "migrate.sh").write_text(MIGRATE)
    for file in (*binaries.iterdir(), work / "migrate.sh"):
        file.chmod(0o755)
    certificate, key = serving.Authority(tmp_path).issue("server")
    shutil.copy(certificate, work / "cert.pem")
    shutil.copy(key, work / "key.pem")
    with pgwire.PortProcess("-D", str(work / "data")) as port:
        port.query("create database shop").ok()
        assert port.finish() == 0, port.stderr()
    with pgwire.PortProcess("-D", str(work / "data"), "-d", "shop") as port:
        port.query("create table fruit (name text)").ok()
        assert port.finish() == 0, port.stderr()
    shutil.copytree(work / "data", work / "DIR")
    for segment in (work / "DIR" / "pg_wal").glob("0*"):
        segment.unlink()
    return work


class Shell:
    def __init__(self, place: Path, network: list[str]):
        self.place, self.network = place, network
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_"))}
        self.environment = clean | {"PATH": f"{place.parent / 'bin'}:{os.environ['PATH']}", "LANG": "C.UTF-8",
                                    "USER": "alice", "PGCONNECT_TIMEOUT": "30"}  # fmt: skip
        self.started = []
        self.background = []  # of the block at hand

    def start(self, command: str, directory: Path | None = None) -> subprocess.Popen:
        """In a session of its own, with both outputs in one file and descriptor 3 open."""
        file = self.place.parent / f"output{len(self.started)}"
        with open(file, "wb") as output:
            process = subprocess.Popen(
                [*self.network, "bash", "-c", f"exec 3>/dev/null\n{command}"], cwd=directory or self.place,
                env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        process.output = lambda: file.read_text()
        self.started.append(process)
        return process

    def run(self, command: str, directory: Path | None = None) -> tuple[int, str]:
        process = self.start(command, directory)
        try:
            return process.wait(SECONDS), process.output()
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"does not end: {command}\n{process.output()}") from None

    def serve(self, command: str) -> subprocess.Popen:
        """A server that clients can connect to."""
        process = self.start(command)
        deadline = time.monotonic() + SECONDS
        while READY not in process.output():
            assert process.poll() is None and time.monotonic() < deadline, f"{command}\n{process.output()}"
            time.sleep(0.02)
        return process

    def stop(self, process: subprocess.Popen) -> str:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(SECONDS)
        assert "ERROR" not in process.output(), process.output()
        return process.output()


@pytest.fixture
def shell(place, network):
    one = Shell(place, network)
    yield one
    for process in one.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def shop(shell):
    """Starts the server that commands connect to, when the first one does."""
    started = []

    def start():
        if not started:
            place = shell.place.parent / "shop"
            started.append(shell.serve(f"pglite-port serve -D {place} -U alice -d shop --socket-dir /tmp --listen localhost:5432"))
            status, output = shell.run('pglite-port sql postgres://alice@localhost/shop -c "create table t (v text)"')
            assert status == 0, output

    yield start
    for process in started:
        shell.stop(process)


def check(shell, shop, command: str, output: list[str] | None) -> None:
    bare = re.sub(r"\s+#.*", "", command).strip()
    word = first_word(bare)
    if "example.org" in bare:
        return
    if "[OPTIONS]" in bare:
        name = re.match(r"pglite-port (?:\[port\]|(\w+))", bare)[1] or "port"
        status, told = shell.run(f"pglite-port {name} --help")
        assert status == 0 and "usage" in told.lower(), told
        return
    if word in ("make", "ctest") or "-m pytest" in bare:
        asked = {"make": " -n", "ctest": " -N"}.get(word, " --collect-only -q -p no:cacheprovider")
        status, told = shell.run(bare + asked, REPOSITORY)
        assert status == 0, f"{bare}\n{told}"
        return
    if bare.endswith("&"):
        process = shell.serve(bare.removesuffix("&"))
        shell.background.append(process)
        told = process.output()
    elif " serve" in bare and "--run" not in bare:
        told = shell.stop(shell.serve(bare))
    else:
        if "postgres://" in bare:
            shop()
        status, told = shell.run(bare)
        fails = output is not None and any("ERROR" in line for line in output)
        assert (status != 0) == fails, f"{bare}\nstatus {status}\n{told}"
    if output is not None and trimmed(output):
        assert trimmed(output) in trimmed(told.splitlines()), f"{bare}\n{told}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands(document, request):
    found = blocks(document.read_text())
    if not found:
        return
    shell, shop = request.getfixturevalue("shell"), request.getfixturevalue("shop")
    if not shell.network:
        pytest.skip("no network of one's own can be had here")
    if SOCKET.exists():
        pytest.skip(f"{SOCKET} is taken here")
    for number, lines in found:
        for command, output in commands(lines):
            try:
                check(shell, shop, command, output)
            except AssertionError as error:
                raise AssertionError(f"{document.name}, the block at line {number}: {error}") from None
        while shell.background:
            shell.stop(shell.background.pop())


# --- The reader of documents itself ---


DOCUMENT = """
Text:

    $ pglite-port sql -c "select 1"
     one

    (1 row)

    $ false &

<!-- not run: it takes a day -->

    make everything

- a list

      with a line

```sh
make one   # why
make \\
  two

make three
```

```cpp
make();
```

    a -> b
"""


def test_reading_a_document():
    found = [commands(lines) for _, lines in blocks(DOCUMENT)]
    assert found == [
        [('pglite-port sql -c "select 1"', [" one", "", "(1 row)", ""]), ("false &", [""])],
        [("make one   # why", None), ("make \\\n  two", None), ("make three", None)],
    ]


def test_enough_is_found():
    """A change of the documents' form must not empty this test without a word."""
    found = {path.name: sum(len(commands(lines)) for _, lines in blocks(path.read_text())) for path in DOCUMENTS}
    assert found["README.md"] >= 15 and found["configuration.md"] >= 12 and found["testing.md"] >= 4, found

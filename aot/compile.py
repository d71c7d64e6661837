#!/usr/bin/env python3
"""Makes native libraries of side modules that a program was not built with.

usage: compile.py --toolkit DIR --work DIR --libraries DIR --abi-identity ID --linked FILE INPUT

INPUT is a side module (.so or .wasm), an extension as PGlite takes it, a tar file of an installation's
lib/ and share/, or PGlite's main module, with pglite.js and pglite.data beside it. --toolkit has wasm2c, this directory's scripts and the headers that
translated code is compiled with; --linked is a file of the SHA-256 of modules that need no library.
Each module becomes LIBRARIES/SHA256.so, complete or not at all; WORK is on the same file system. The files of an extension, or those that
come with a main module, are left in WORK/tree, which is made.

Progress goes to stderr. What is wrong goes to stdout, in one line; the exit code is then 65 (it is the
input's fault), 69 (a program that is needed is missing), 70 (the compiler failed) or 74 (a file).
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time

import bundle
import wasm

BAD_INPUT, MISSING, FAILED, IO = 65, 69, 70, 74
MODULE_LIMIT = 64 << 20  # bytes; more than that dlopen refuses (emscripten/dynamic_linking.cc)
ARCHIVE_LIMIT = 1 << 30
# A compiler needs some 100 times as much memory as its part of a module.
PART = 1 << 20

FLAGS = ["-O2", "-fPIC", "-fsigned-char", "-fvisibility=hidden", "-w", "-g0", "-DNDEBUG", "-fno-math-errno",
         "-ffp-contract=off", "-fno-stack-protector", "-fno-asynchronous-unwind-tables",
         "-DWASM_RT_NONCONFORMING_ALLOW_OOB_READ_ELIMINATION=1"]
LINK = ["-shared", "-nostdlib", "-Wl,-z,now", "-Wl,-z,relro", "-Wl,--hash-style=gnu",
        "-Wl,-e,guest_library_head", "-Wl,-s"]


class Failure(Exception):
    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class Progress:
    """A line that is written over on a terminal; elsewhere a line for each stage."""

    def __init__(self):
        self.is_terminal = sys.stderr.isatty()
        self.stage = None

    def show(self, stage: str, detail: str = "") -> None:
        if self.is_terminal:
            sys.stderr.write(f"\r\x1b[K{stage}{detail}")
        elif stage != self.stage:
            sys.stderr.write(f"{stage}\n")
        self.stage = stage
        sys.stderr.flush()

    def end(self, line: str) -> None:
        sys.stderr.write(f"\r\x1b[K{line}\n" if self.is_terminal else f"{line}\n")
        sys.stderr.flush()


def compiler() -> str:
    for name in ([os.environ["CC"]] if os.environ.get("CC") else ["clang", "clang-22", "gcc", "cc"]):
        if shutil.which(name):
            return name
    raise Failure(MISSING, "a C compiler is needed and none was found (CC, clang, gcc, cc): install one, for "
                           "example with \"apt-get install clang\" or \"apt-get install gcc libc6-dev\"")


class Programs:
    """The programs that a compilation runs. They end with who started it, as does this script."""

    def __init__(self, work: pathlib.Path):
        self._work = work
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen] = set()
        threading.Thread(target=self._end_with, args=(os.getppid(),), daemon=True).start()

    def run(self, command: list[str], what: str, code: int, cwd: pathlib.Path | None = None) -> None:
        with self._lock:
            process = subprocess.Popen(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self._running.add(process)
        out, err = process.communicate()
        with self._lock:
            self._running.discard(process)
        if process.returncode != 0:
            lines = [line for line in (err or out).splitlines() if line.strip()]
            shown = next((line for line in lines if "error" in line), lines[-1] if lines else "no message")
            raise Failure(code, f"{what}: {shown.strip()}")

    def _end_with(self, parent: int) -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        with self._lock:  # and start no more
            for process in self._running:
                process.kill()
            for process in self._running:
                process.wait()
            shutil.rmtree(self._work, ignore_errors=True)
            os._exit(FAILED)


class Compilation:
    def __init__(self, options: argparse.Namespace):
        self.toolkit, self.libraries = options.toolkit, options.libraries
        self.abi_identity = options.abi_identity
        self.linked = set(options.linked.read_text().split())
        self.progress = Progress()
        self.programs = Programs(options.work)

    def module(self, name: str, content: bytes, work: pathlib.Path, is_main: bool = False) -> None:
        """Makes the library of one module, unless there is one or none is needed."""
        sha256 = hashlib.sha256(content).hexdigest()
        target = self.libraries / f"{sha256}.so"
        if sha256 in self.linked:
            self.progress.end(f"{name}: built in")
            return
        if target.exists():
            self.progress.end(f"{name}: compiled already")
            return
        if len(content) > MODULE_LIMIT:
            raise Failure(BAD_INPUT, f"{name} has {len(content)} bytes, more than {MODULE_LIMIT}")
        began = time.monotonic()
        work.mkdir()
        file = work / "module.wasm"
        file.write_bytes(content)
        self.check(name, file, is_main)
        self.progress.show(f"{name}: translating")
        parts = max(1, len(content) // PART)
        # The name is an identifier in the library, and no more.
        translated = [sys.executable, str(self.toolkit / "translate.py"), "--wasm2c", str(self.toolkit / "wasm2c"),
                      "--name", "module", "--outputs", str(parts), "--directory", str(work / "module"), str(file),
                      *(["--main"] if is_main else [])]
        self.programs.run(translated, f"{name} cannot be translated", BAD_INPUT)
        supplement = sorted((self.toolkit / "supplement").iterdir()) if is_main else []
        self.programs.run([sys.executable, str(self.toolkit / "glue.py"), "--directory", str(work), "--library",
                           str(work / "module/module.json"), "--abi-identity", self.abi_identity,
                           "--supplement", *map(str, supplement)],
                          f"{name} cannot be linked", BAD_INPUT)
        for file in supplement:
            shutil.copy(file, work / "module")
        self.build(name, work, target)
        self.progress.end(f"{name}: compiled in {time.monotonic() - began:.1f} s")

    def check(self, name: str, file: pathlib.Path, is_main: bool) -> None:
        try:
            module = wasm.Module(file)
        except (wasm.WasmError, IndexError, KeyError, UnicodeDecodeError, ValueError) as error:
            shown = error.args[0] if isinstance(error, wasm.WasmError) else "it is truncated or damaged"
            shown = str(shown).removeprefix(f"{file}: ")
            raise Failure(BAD_INPUT, f"{name} is no module that can be compiled: {shown}") from None
        if not module.has_dylink and not is_main:
            raise Failure(BAD_INPUT, f"{name} is no module that can be compiled: it does not begin with a dylink.0 "
                                     "section")
        if not module.is_side_module and not is_main:
            raise Failure(BAD_INPUT, f"{name} is no side module, which lives in another module's memory")

    def build(self, name: str, work: pathlib.Path, target: pathlib.Path) -> None:
        cc = compiler()
        flags = [*FLAGS, "-include", str(work / "library.h"), "-I", str(work), "-I", str(self.toolkit / "include")]
        sources = [work / "library.c", *sorted((work / "module").glob("*.c"))]
        objects = [source.with_suffix(".o") for source in sources]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [pool.submit(self.programs.run, [cc, *flags, "-c", str(source), "-o", str(object_)],
                                f"{name}: {cc} failed", FAILED)
                    for source, object_ in zip(sources, objects)]
            for done, job in enumerate(concurrent.futures.as_completed(jobs)):
                self.progress.show(f"{name}: compiling", f", {done + 1} of {len(jobs)}")
                try:
                    job.result()
                except Failure:
                    pool.shutdown(cancel_futures=True)
                    raise
        self.progress.show(f"{name}: linking")
        linked = work / "library.so"
        self.programs.run([cc, *LINK, "-o", str(linked), *map(str, objects), "-lgcc"], f"{name}: {cc} failed", FAILED)
        linked.chmod(0o600)
        with open(linked, "rb") as file:
            os.fsync(file.fileno())
        linked.rename(target)

    def archive(self, name: str, file: pathlib.Path, work: pathlib.Path) -> None:
        tree = work / "tree"
        size = 0
        try:
            with tarfile.open(file) as tar:
                for member in tar:
                    path = re.sub(r"^(\./|/)+", "", member.name)
                    if member.isdir() or not path.startswith(("lib/", "share/")):
                        continue  # headers, programs
                    if not member.isfile() or ".." in path.split("/"):
                        raise Failure(BAD_INPUT, f"{name}: {member.name} is not a plain file")
                    size += member.size
                    if size > ARCHIVE_LIMIT:
                        raise Failure(BAD_INPUT, f"{name} has more than {ARCHIVE_LIMIT} bytes")
                    target = tree / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(tar.extractfile(member).read())
        except (tarfile.TarError, EOFError, OSError) as error:
            raise Failure(BAD_INPUT, f"{name} is no extension, a tar file with lib/ and share/: {error}") from None
        if not tree.exists():
            raise Failure(BAD_INPUT, f"{name} is no extension: it has neither lib/ nor share/")
        self.modules_of(tree, work)

    def modules_of(self, tree: pathlib.Path, work: pathlib.Path) -> None:
        for number, module in enumerate(sorted(tree.rglob("*.so"))):
            self.module(module.name, module.read_bytes(), work / f"module-{number}")

    def main_module(self, file: pathlib.Path, work: pathlib.Path) -> None:
        for name in ("pglite.js", "pglite.data"):
            if not file.with_name(name).exists():
                raise Failure(BAD_INPUT, f"{file.name} is PGlite's main module, and {name} of its package is not "
                                         "beside it")
        bundle.write(work / "tree", bundle.core_files(file.parent))
        # Its side modules were linked for it, and those that are linked in were for another.
        self.linked = set()
        self.module(file.name, file.read_bytes(), work / "main", is_main=True)
        self.modules_of(work / "tree", work)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("toolkit", "work", "libraries", "linked"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--abi-identity", required=True)
    parser.add_argument("input", type=pathlib.Path)
    options = parser.parse_args()
    compilation = Compilation(options)
    try:
        with open(options.input, "rb") as file:
            begins = file.read(4)
        if begins == b"\0asm" and options.input.name == "pglite.wasm":
            compilation.main_module(options.input, options.work)
        elif options.input.suffix in (".so", ".wasm") or begins == b"\0asm":
            compilation.module(options.input.name, options.input.read_bytes(), options.work / "module")
        else:
            compilation.archive(options.input.name, options.input, options.work)
    except Failure as failure:
        print(str(failure).replace("\n", " "))
        sys.exit(failure.code)
    except OSError as error:
        print(f"{error.filename or options.input}: {error.strerror}")
        sys.exit(IO)


if __name__ == "__main__":
    main()

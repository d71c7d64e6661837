#!/usr/bin/env python3
"""Makes what a program for macOS is compiled and linked with on another system.

usage: sysroot.py ARCHITECTURE DIRECTORY      ARCHITECTURE: arm64 or x86_64

DIRECTORY becomes what clang's -isysroot takes: the headers of macOS and the list of what libSystem has (libSystem.tbd),
from the pinned package of zig (inputs.lock.json), and libc++ for that architecture, compiled here from the sources in
that package. The libraries that the program needs come on top (libraries.py). What is there is complete: the directory
appears by one rename, and one that was made by this version of the script is left alone.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
# What CMakeLists.txt and the proof test (tests/darwin) say, too.
MINIMUM_VERSION = "12.0"
# Of the package of zig: its libc++ wants as options what is a header of its configuration elsewhere.
LIBCXX_CONFIGURATION = {
    "_LIBCPP_ABI_VERSION": "1",
    "_LIBCPP_ABI_NAMESPACE": "__1",
    "_LIBCPP_ASSERTION_SEMANTIC_DEFAULT": "_LIBCPP_ASSERTION_SEMANTIC_IGNORE",
    "_LIBCPP_HARDENING_MODE_DEFAULT": "_LIBCPP_HARDENING_MODE_NONE",
    "_LIBCPP_HAS_FILESYSTEM": "1",
    "_LIBCPP_HAS_LOCALIZATION": "1",
    "_LIBCPP_HAS_MONOTONIC_CLOCK": "1",
    "_LIBCPP_HAS_MUSL_LIBC": "0",
    "_LIBCPP_HAS_RANDOM_DEVICE": "1",
    "_LIBCPP_HAS_TERMINAL": "1",
    "_LIBCPP_HAS_THREADS": "1",
    "_LIBCPP_HAS_THREAD_API_PTHREAD": "1",
    "_LIBCPP_HAS_UNICODE": "1",
    "_LIBCPP_HAS_VENDOR_AVAILABILITY_ANNOTATIONS": "0",
    "_LIBCPP_HAS_WIDE_CHARACTERS": "1",
    "_LIBCPP_DISABLE_VISIBILITY_ANNOTATIONS": "",
    "_LIBCPP_PSTL_BACKEND_SERIAL": "",
}
# Libraries of macOS that are no part of libSystem; the program brings its own.
NOT_OF_LIBSYSTEM = {"zlib.h", "zconf.h"}


def fetch(name: str) -> pathlib.Path:
    script = HERE.parent.parent / "aot/fetch.py"
    done = subprocess.run([sys.executable, str(script), name], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"sysroot.py: {done.stderr.strip()}")
    return pathlib.Path(done.stdout.strip())


def compile_all(architecture: str, sysroot: pathlib.Path, sources: list[tuple[pathlib.Path, list[str]]],
                archive: pathlib.Path) -> None:
    """Compiles C, C++ and assembly, each file with options of its own, to a static library."""
    with tempfile.TemporaryDirectory() as work:
        objects = [pathlib.Path(work) / f"{number}-{source.stem}.o" for number, (source, _) in enumerate(sources)]

        def compile_one(number: int) -> None:
            source, options = sources[number]
            compiler = "clang++-22" if source.suffix == ".cpp" else "clang-22"
            command = [*(["ccache"] if shutil.which("ccache") else []), compiler, *target_options(architecture, sysroot),
                       "-O2", "-g0", "-w", "-fPIC", "-fvisibility=hidden", *options, "-c", str(source), "-o",
                       str(objects[number])]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(f"{source.name}:\n{done.stderr}")

        try:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(compile_one, range(len(sources))))
        except RuntimeError as error:
            sys.exit(f"sysroot.py: {error}")
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.unlink(missing_ok=True)
        subprocess.run(["llvm-ar-22", "--format=darwin", "rcsD", str(archive), *map(str, objects)], check=True)


def target_options(architecture: str, sysroot: pathlib.Path) -> list[str]:
    return ["-target", f"{architecture}-apple-macos{MINIMUM_VERSION}", "-isysroot", str(sysroot)]


def make_headers(zig: pathlib.Path, sysroot: pathlib.Path) -> None:
    include = sysroot / "usr/include"
    include.mkdir(parents=True)
    for entry in sorted((zig / "libc/include/any-darwin-any").iterdir()):
        if entry.name not in NOT_OF_LIBSYSTEM:
            (include / entry.name).symlink_to(entry)
    (include / "c++").mkdir()
    (include / "c++/v1").symlink_to(zig / "libcxx/include")


def make_system_library(zig: pathlib.Path, sysroot: pathlib.Path) -> None:
    """The list of libSystem's symbols, for the linker of clang 22: it does not know arm64e.x1, and what is there for
    arm64e is what programs for arm64 are loaded with."""
    text = (zig / "libc/darwin/libSystem.tbd").read_text()
    text = re.sub(r",\s*arm64e\.x1-\w+", "", text)
    text = re.sub(r"arm64e\.x1-\w+,\s*", "", text)
    text = text.replace("arm64e-", "arm64-")
    library = sysroot / "usr/lib"
    library.mkdir(parents=True)
    (library / "libSystem.tbd").write_text(text)


def make_libcxx(architecture: str, zig: pathlib.Path, sysroot: pathlib.Path) -> None:
    defines = [f"-D{name}={value}" for name, value in LIBCXX_CONFIGURATION.items()]
    library, abi = zig / "libcxx", zig / "libcxxabi"
    common = ["-std=c++23", "-fvisibility-inlines-hidden", *defines, "-nostdinc++", "-isystem", str(library / "include"),
              "-isystem", str(abi / "include"), "-I", str(library / "src"), "-I", str(library / "libc"),
              "-D_LIBCPP_REMOVE_TRANSITIVE_INCLUDES", "-DNDEBUG", f"-ffile-prefix-map={zig}=."]
    sources = []
    for folder in ("src", "src/filesystem", "src/ryu"):
        for source in sorted((library / folder).glob("*.cpp")):
            sources.append((source, [*common, "-D_LIBCPP_BUILDING_LIBRARY", "-DLIBCXX_BUILDING_LIBCXXABI"]))
    for source in sorted((abi / "src").glob("*.cpp")):
        if not source.name.startswith("cxa_noexception") and source.stem not in ("aix_state_tab_eh",):
            sources.append((source, [*common, "-D_LIBCXXABI_BUILDING_LIBRARY", "-D_LIBCPP_ENABLE_CXX17_REMOVED_UNEXPECTED_FUNCTIONS",
                                     "-D_LIBCPP_BUILDING_LIBRARY", "-I", str(abi / "src")]))
    compile_all(architecture, sysroot, sources, sysroot / "usr/lib/libc++.a")


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] not in ("arm64", "x86_64"):
        sys.exit(__doc__)
    architecture, target = sys.argv[1], pathlib.Path(sys.argv[2]).absolute()
    version = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()
    stamp = target / "made-by"
    zig = fetch("ziglang") / "ziglang/lib"
    version = f"{version} {zig}"
    if stamp.exists() and stamp.read_text() == version:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        sysroot = pathlib.Path(work) / "sysroot"
        make_headers(zig, sysroot)
        make_system_library(zig, sysroot)
        make_libcxx(architecture, zig, sysroot)
        options = " ".join(f"-D{name}={value}" for name, value in LIBCXX_CONFIGURATION.items())
        (sysroot / "libc++.options").write_text(options + "\n")
        (sysroot / "made-by").write_text(version)
        if target.exists():
            shutil.rmtree(target)
        sysroot.rename(target)


if __name__ == "__main__":
    main()

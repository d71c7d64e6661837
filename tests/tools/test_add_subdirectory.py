"""The project as a part of another one, with CMake's add_subdirectory. Configured only: a build takes minutes."""

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

CONSUMER = """
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES C CXX)
add_subdirectory({repository} pglite EXCLUDE_FROM_ALL)
add_executable(consumer main.cc)
target_link_libraries(consumer PRIVATE pglite_api)
"""

MAIN = """
#include <pglite/instance.h>
int main() {
  std::unique_ptr<pglite::Instance> db;
  return pglite::Instance::open({}, &db).ok() ? 0 : 1;
}
"""


def configure(directory: Path, compiler: str = "clang") -> subprocess.CompletedProcess:
    (directory / "CMakeLists.txt").write_text(CONSUMER.format(repository=REPOSITORY))
    (directory / "main.cc").write_text(MAIN)
    compilers = {"clang": ["clang-22", "clang++-22"], "gcc": ["gcc", "g++"]}[compiler]
    return subprocess.run(
        ["cmake", "-G", "Ninja", "-S", directory, "-B", directory / "build", f"-DCMAKE_C_COMPILER={compilers[0]}",
         f"-DCMAKE_CXX_COMPILER={compilers[1]}"],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def ninja(directory: Path, *arguments: str) -> str:
    return subprocess.run(["ninja", "-C", directory / "build", *arguments], capture_output=True, text=True,
                          check=True, timeout=600).stdout  # fmt: skip


def test_it_is_a_library_and_a_program_without_tests(tmp_path):
    done = configure(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    targets = ninja(tmp_path, "-t", "targets", "all")
    assert "pglite/pglite-port:" in targets
    assert "_test" not in targets and "replay" not in targets
    ninja(tmp_path, "-n", "consumer")  # fails where a file that something depends on is not there
    (link,) = [line for line in ninja(tmp_path, "-t", "commands", "-s", "consumer").splitlines() if " -o consumer " in line]
    assert "pglite/src/pglite/libpglite_api.a" in link and "-fuse-ld=lld" in link


def test_another_compiler_is_refused_by_name(tmp_path):
    if subprocess.run(["which", "g++"], capture_output=True).returncode != 0:
        pytest.skip("there is no g++")
    done = configure(tmp_path, "gcc")
    assert done.returncode != 0
    assert "pglite-port is compiled with clang 22 or newer, not GNU" in " ".join(done.stderr.split())

"""scripts/build_release.sh packs a program: the same bytes each time, with checksums."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Any program that can be stripped.
PROGRAM = Path("/bin/true").resolve()


def run(*arguments: object, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "scripts/build_release.sh", *map(str, arguments)], capture_output=True, text=True,
                          check=False, umask=umask, env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"})


def pack(directory: Path, *arguments: object, umask: int = 0o022) -> Path:
    done = run("--out", directory, "--program", PROGRAM, *arguments, "linux-amd64", umask=umask)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_an_archive_has_the_program_its_licences_and_nothing_of_who_made_it(tmp_path):
    archive = pack(tmp_path)
    with tarfile.open(archive) as tar:
        members = {member.name.split("/", 1)[-1]: member for member in tar if member.isfile()}
    assert list(members) == [
        "CHANGELOG.md", "LICENSE", "README", "THIRD_PARTY_NOTICES.md", "bin/linux-amd64/pglite-port",
        "completions/_pglite-port", "completions/pglite-port.bash", "completions/pglite-port.fish", "man/pglite-port.1"]
    assert {name for name, member in members.items() if member.mode != 0o644} == {"bin/linux-amd64/pglite-port"}
    assert members["bin/linux-amd64/pglite-port"].mode == 0o755
    assert {(member.uid, member.gid, member.uname, member.mtime) for member in members.values()} == {
        (0, 0, "", 1700000000)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["SHA256SUMS", archive.name]
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path).returncode == 0


def test_it_is_the_same_bytes_again(tmp_path):
    assert pack(tmp_path / "a").read_bytes() == pack(tmp_path / "b", umask=0o077).read_bytes()


def test_the_lines_of_a_target_are_replaced(tmp_path):
    checksums = tmp_path / "checksums.txt"
    checksums.write_text("# A comment.\n1  pglite-port-0.0.1-linux-amd64.tar.gz\n2  linux-amd64/pglite-port\n"
                         "3  linux-arm64/pglite-port\n4  pglite-port-0.0.1-linux-arm64.tar.gz\n")
    for _ in range(2):
        archive = pack(tmp_path / "dist", "--checksums", checksums)
    with tarfile.open(archive) as tar:
        program = next(tar.extractfile(member).read() for member in tar if member.name.endswith("/pglite-port"))
    assert checksums.read_text().splitlines() == [
        "# A comment.", "3  linux-arm64/pglite-port", "4  pglite-port-0.0.1-linux-arm64.tar.gz",
        f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}",
        f"{hashlib.sha256(program).hexdigest()}  linux-amd64/pglite-port"]


@pytest.mark.parametrize(("arguments", "status", "message"), [
    (["linux-vax"], 64, "no target 'linux-vax' (known: linux-amd64"),
    (["--sign"], 64, "unknown option '--sign'"),
    (["--out"], 64, "--out needs a value"),
    (["--verify", "--program", PROGRAM, "linux-amd64"], 64, "--verify builds, and --program does not"),
    (["--program", "/nonexistent", "linux-amd64"], 66, "no program at /nonexistent"),
    (["--program", PROGRAM, "--checksums", "/nonexistent", "linux-amd64"], 66, "no file /nonexistent"),
])  # fmt: skip
def test_what_is_wrong_is_said(arguments, status, message):
    done = run(*arguments)
    assert (done.returncode, message in done.stderr) == (status, True), done.stderr


# What the script reads of a checkout.
PACKED = ["scripts/build_release.sh", "packaging", "docs/man", "completions", "LICENSE", "THIRD_PARTY_NOTICES.md",
          "CHANGELOG.md", "CMakeLists.txt", "elixir/mix.exs"]
FAKE_CMAKE = """#!/bin/sh
# Builds another program in another directory, if it is told to.
mkdir -p build/release
program=/bin/true
case $OTHER:$PWD in yes:*elsewhere*) program=/bin/false ;; esac
cp -L "$program" build/release/pglite-port
"""


@pytest.mark.parametrize("other", ["no", "yes"])
def test_a_second_build_is_compared(tmp_path, other):
    checkout = tmp_path / "checkout"
    for name in PACKED:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, checkout / name)
    inputs = tmp_path / "cache/inputs/pglite"
    inputs.mkdir(parents=True)
    (checkout / "aot").mkdir()
    (checkout / "aot/fetch.py").write_text(f"print('{inputs}')\n")
    (checkout / ".gitignore").write_text("/build/\n")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", checkout]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    cmake = tmp_path / "bin/cmake"
    cmake.parent.mkdir()
    cmake.write_text(FAKE_CMAKE)
    cmake.chmod(0o755)
    done = subprocess.run([checkout / "scripts/build_release.sh", "--verify", "linux-amd64"], capture_output=True, text=True,
                          env=os.environ | {"PATH": f"{cmake.parent}:{os.environ['PATH']}", "OTHER": other})
    if other == "no":
        assert done.returncode == 0, done.stderr
        assert "is the same bytes again" in done.stderr
    else:
        assert done.returncode == 1, done.stderr
        assert "not the same bytes when built elsewhere" in done.stderr
        first, second = (next((checkout / "build/dist" / place).glob("*-linux-amd64.tar.gz")) for place in (".", "different"))
        assert first.read_bytes() != second.read_bytes()

"""scripts/setup, with a dpkg and an apt of the test's own."""

import os
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[2] / "scripts" / "setup"


@pytest.fixture
def system(tmp_path):
    """A system on which `installed` is installed, and whose sources have all but `unknown`."""
    log = tmp_path / "log"
    log.touch()

    def run(*sets, installed=(), unknown=(), user=0, without=(), name="Linux"):
        programs = {
            "id": f"echo {user}",
            "dpkg-query": f'case " {" ".join(installed)} " in *" $4 "*) echo "ii ";; *) exit 1;; esac',
            "apt-get": f'echo "$@" >> {log}',
            "apt-cache": f'case " {" ".join(unknown)} " in *" $2 "*) exit 100;; esac',
            "python3": "exit 0",
            "uname": f"echo {name}", "brew": f'echo brew "$@" >> {log}',
            "node": "", "npm": "", "psql": "",
        }  # fmt: skip
        binaries = tmp_path / "bin"
        binaries.mkdir()
        for program, text in programs.items():
            if program not in without:
                (binaries / program).write_text(f"#!/bin/sh\n{text}\n")
                (binaries / program).chmod(0o755)
        for name in ("grep", "sh"):
            (binaries / name).symlink_to(next(p for p in ("/usr/bin", "/bin") if os.path.exists(f"{p}/{name}")) + "/" + name)
        done = subprocess.run([binaries / "sh", SETUP, *sets], env={"PATH": str(binaries)},
                              capture_output=True, text=True, timeout=60)  # fmt: skip
        return done, log.read_text()

    return run


def test_what_is_missing_is_installed(system):
    done, log = system("pgo", "bare", installed=["llvm-22"])
    assert done.returncode == 0, done.stderr
    assert log == "update -q\ninstall -q -y --no-install-recommends libclang-rt-22-dev debootstrap\n"


def test_nothing_is_done_and_root_not_needed_where_all_is_there(system):
    done, log = system("pgo", installed=["llvm-22", "libclang-rt-22-dev"], user=1000)
    assert (done.returncode, done.stdout, done.stderr, log) == (0, "", "", "")


def test_root_is_asked_for_by_name(system):
    done, log = system("pgo", installed=["llvm-22"], user=1000)
    assert done.returncode == 1 and log == ""
    assert "installing packages needs root" in done.stderr
    assert done.stderr.endswith("apt-get install --no-install-recommends libclang-rt-22-dev\n")


def test_a_source_that_is_missing_is_told(system):
    done, log = system("build", unknown=["clang-22", "lld-22"])
    assert done.returncode == 1 and log == "update -q\n"
    assert "apt knows no package clang-22 lld-22." in done.stderr
    assert "bookworm-security" in done.stderr


def test_building_takes_no_node(system):
    done, log = system("build", without=["node", "npm"])
    assert done.returncode == 0 and "clang-22" in log
    assert "node" not in log and "npm" not in log


def test_a_system_without_apt(system):
    done, log = system("build", without=["apt-get"])
    assert done.returncode == 1 and "no Debian system" in done.stderr


def test_an_unknown_set(system):
    assert system("everything")[0].returncode == 64


def test_macos_asks_homebrew(system):
    done, log = system("build", "test", name="Darwin")
    assert done.returncode == 0, done.stderr
    assert log.startswith("brew install --quiet llvm@22") and "libedit" in log and "googletest" in log
    assert "apt" not in log and "node" not in log  # which is there


def test_macos_without_homebrew(system):
    done, _ = system("build", name="Darwin", without=["brew"])
    assert done.returncode == 1 and "Homebrew is needed" in done.stderr

"""scripts/build_deb.sh makes the same package of the same archive; dpkg installs it, and leaves nothing of it behind."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path("/bin/true").resolve()
FILES = {
    "/usr/bin/pglite-port",
    "/usr/share/bash-completion/completions/pglite-port",
    "/usr/share/doc/pglite-port/changelog.Debian.gz",
    "/usr/share/doc/pglite-port/changelog.gz",
    "/usr/share/doc/pglite-port/copyright",
    "/usr/share/fish/vendor_completions.d/pglite-port.fish",
    "/usr/share/lintian/overrides/pglite-port",
    "/usr/share/man/man1/pglite-port.1.gz",
    "/usr/share/zsh/vendor-completions/_pglite-port",
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    done = subprocess.run([ROOT / "scripts/build_release.sh", "--out", directory, "--program", PROGRAM, "linux-amd64"],
                          capture_output=True, text=True, check=True, env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"})
    return Path(done.stdout.strip())


def build(archive: Path, directory: Path, umask: int = 0o022) -> Path:
    directory.mkdir()
    copy = shutil.copy(archive, directory)
    done = subprocess.run([ROOT / "scripts/build_deb.sh", copy], capture_output=True, text=True, umask=umask)
    assert done.returncode == 0, done.stderr
    assert sorted(path.suffix for path in directory.iterdir()) == [".deb", ".gz"]
    return Path(done.stdout.strip())


def test_it_is_the_same_bytes_again(archive, tmp_path):
    first = build(archive, tmp_path / "a")
    assert first.name.endswith("_amd64.deb")
    assert first.read_bytes() == build(archive, tmp_path / "b", umask=0o077).read_bytes()


def test_dpkg_installs_it_and_removes_all_of_it(archive, tmp_path):
    package = build(archive, tmp_path / "a")
    place = tmp_path / "root"
    (place / "var/lib/dpkg/info").mkdir(parents=True)
    (place / "var/lib/dpkg/updates").mkdir()
    (place / "var/lib/dpkg/status").touch()

    def files() -> set[str]:
        return {f"/{path.relative_to(place)}" for path in place.rglob("*") if path.is_file() and "dpkg" not in path.parts}

    def dpkg(*arguments: str | Path) -> str:
        # Another architecture's, where this is run on one; nobody's path but ours is written to.
        done = subprocess.run(["dpkg", f"--root={place}", "--force-not-root,architecture", f"--log={tmp_path}/log", *arguments],
                              capture_output=True, text=True,
                              env=os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"})
        assert done.returncode == 0, done.stderr
        return done.stdout

    dpkg("--install", package)
    assert files() == FILES
    assert (place / "usr/bin/pglite-port").stat().st_mode & 0o777 == 0o755
    assert dpkg("--verify", "pglite-port") == ""
    with gzip.open(place / "usr/share/man/man1/pglite-port.1.gz", "rt") as page:
        assert page.read() == (ROOT / "docs/man/pglite-port.1").read_text()
    assert "## OpenSSL" in (place / "usr/share/doc/pglite-port/copyright").read_text()
    dpkg("--purge", "pglite-port")
    assert files() == set()


@pytest.mark.parametrize(("arguments", "status", "message"), [
    ([], 64, "name a release archive"),
    (["/nonexistent/pglite-port-0.1.0-linux-amd64.tar.gz"], 66, "is no release archive"),
    (["pglite-port-0.1.0-darwin-arm64.tar.gz"], 66, "is no release archive for Linux"),
])  # fmt: skip
def test_what_is_wrong_is_said(tmp_path, arguments, status, message):
    done = subprocess.run([ROOT / "scripts/build_deb.sh", *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, message in done.stderr) == (status, True), done.stderr

"""The real packages: lintian, the Debian package in a new Debian 12, the container image. By hand, as root: make package-test.

The program is that of PGLITE_PORT or build/release.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path(os.environ.get("PGLITE_PORT", ROOT / "build/release/pglite-port")).resolve()
QUERY = "select 6 * 7 as answer"


def run(*command: object, **options) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    return Path(run(ROOT / "scripts/build_release.sh", "--out", directory, "--program", PROGRAM, "native").strip())


@pytest.fixture(scope="module")
def package(archive) -> Path:
    return Path(run(ROOT / "scripts/build_deb.sh", archive).strip())


def test_lintian_finds_nothing_that_is_not_explained(package):
    # What is overridden is explained in packaging/debian/lintian-overrides. As root, lintian says that it is.
    done = subprocess.run(["lintian", "--tag-display-limit", "0", "--fail-on", "error,warning,info", package],
                          capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


@pytest.fixture(scope="module")
def debian(tmp_path_factory) -> Path:
    """A new Debian, from where this one gets its packages."""
    place = tmp_path_factory.mktemp("debian") / "root"
    lines = run("apt-get", "indextargets", "--format", "$(ORIGIN) $(RELEASE) $(SITE)", "Created-By: Packages").splitlines()
    (mirror,) = {line.split()[2] for line in lines if line.startswith("Debian bookworm ")}
    run("debootstrap", "--variant=minbase", "bookworm", place, mirror)
    yield place
    shutil.rmtree(place)


def listing(place: Path) -> set[str]:
    """All files but what dpkg writes about itself."""
    return {str(path.relative_to(place)) for path in place.rglob("*")
            if not str(path.relative_to(place)).startswith(("var/lib/dpkg", "var/log", "proc", "sys", "dev", "package.deb"))}


def test_it_is_installed_used_and_removed_in_a_new_debian(debian, package):
    before = listing(debian)
    shutil.copy(package, debian / "package.deb")

    def inside(*command: str) -> str:
        return run("chroot", debian, *command, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"})

    inside("dpkg", "--install", "/package.deb")
    assert inside("pglite-port", "sql", "-D", "/tmp/data", "-Atq", "-c", QUERY) == "42\n"
    shutil.rmtree(debian / "tmp/data")
    assert inside("bash", "-c", "source /usr/share/bash-completion/completions/pglite-port; complete -p pglite-port") == (
        "complete -F _pglite_port pglite-port\n")
    inside("dpkg", "--purge", "pglite-port")
    assert listing(debian) - before == set()


@pytest.fixture(scope="module")
def container(archive, tmp_path_factory):
    """A container of the image, by buildah, which needs neither a daemon nor namespaces for it."""
    storage = tmp_path_factory.mktemp("containers")
    environment = os.environ | {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
    options = ["--root", storage / "root", "--runroot", storage / "run"]
    # scripts/build_image.sh calls the first buildah on the path.
    tools = storage / "tools"
    tools.mkdir()
    wrapper = tools / "buildah"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("buildah")} {" ".join(map(str, options))} "$@"\n')
    wrapper.chmod(0o755)
    environment["PATH"] = f"{tools}:{environment['PATH']}"
    images = {run(ROOT / "scripts/build_image.sh", archive, name, env=environment).strip() for name in ("one", "two")}
    assert len(images) == 1, "the same archive makes the same image"
    name = run("buildah", "from", "one", env=environment).strip()
    yield name, environment
    run("buildah", "rm", "--all", env=environment)


def test_the_image_answers_a_query_and_keeps_its_data(container):
    name, environment = container

    def inside(*arguments: str) -> str:
        return run("buildah", "run", name, "--", "/bin/pglite-port", *arguments, env=environment)

    inside("sql", "-c", "create table t as select 42 as answer")
    assert inside("sql", "-Atq", "-c", "table t") == "42\n"


def test_the_image_serves_clients_and_ends_with_a_signal(container):
    name, environment = container
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["buildah", "run", "--env", f"PGLITE_LISTEN=127.0.0.1:{port}", name, "--", "/bin/pglite-port", "serve"]
    server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        while "ready for clients" not in (line := server.stderr.readline()):
            assert line, "it ended"
        answer = run("psql", "-X", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-Atc", QUERY)
        assert answer == "42\n"
    finally:
        server.terminate()
        server.wait(timeout=60)


def test_the_image_is_one_program_and_runs_as_nobody(archive, tmp_path):
    context = tmp_path / "context"
    run(ROOT / "scripts/build_image.sh", "--context", context, archive)
    files = {str(path.relative_to(context / "root")) for path in (context / "root").rglob("*") if path.is_file()}
    assert files == {"bin/pglite-port", "etc/passwd", "etc/group", "usr/share/doc/pglite-port/LICENSE",
                     "usr/share/doc/pglite-port/THIRD_PARTY_NOTICES.md"}
    assert (context / "root/tmp").stat().st_mode & 0o7777 == 0o1777
    assert "USER 65532:65532" in (context / "Containerfile").read_text()

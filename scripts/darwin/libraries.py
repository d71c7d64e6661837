#!/usr/bin/env python3
"""Builds the libraries that the program needs, static, for macOS: into a sysroot that sysroot.py has made.

usage: libraries.py ARCHITECTURE SYSROOT       ARCHITECTURE: arm64 or x86_64

The sources are those of Debian 12, from the mirror that apt uses, pinned by hash and kept beside the other inputs. Of
libraries of a file or two, those files are compiled here; the others have their own way to be built. Libraries that are
headers only are this system's (scripts/setup). What is there is not built again, unless how it is built has changed.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

import sysroot as base

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "aot"))
import fetch  # noqa: E402  (where the inputs are kept)

# The upstream archive and its SHA-256; what Debian has added to it, where that is needed: the fixes of c-ares.
# OpenSSL's archive is a release of its own series of fixes; when Debian has the next one, this line changes.
SOURCES = {
    "openssl": [("openssl_3.0.22.orig.tar.gz", "67ebca7e50d17383028045486653492195b83db95f8558709701bb47b5c1ef81")],
    "c-ares": [("c-ares_1.18.1.orig.tar.gz", "1a7d52a8a84a9fbffb1be9133c0f6e17217d91ea5a6fa61f6b4729cda78ebbcf"),
               ("c-ares_1.18.1-3.debian.tar.xz", "15d38a23182dc143c655b0225d21baa291a2be17435c8a7f427189e3e314fac9")],
    "libidn": [("libidn_1.41.orig.tar.gz", "884d706364b81abdd17bee9686d8ff2ae7431c5a14651047c68adf8b31fd8945")],
    "libedit": [("libedit_3.1-20221030.orig.tar.gz", "f0925a5adf4b1bf116ee19766b7daa766917aec198747943b1c4edf67a4be2bb")],
    "ncurses": [("ncurses_6.4.orig.tar.gz", "6931283d9ac87c5073f30b6290c4c75f21632bb4fc3603ac8100812bed248159")],
    "libmd": [("libmd_1.0.4.orig.tar.xz", "f51c921042e34beddeded4b75557656559cf5b1f2448033b4c1eec11c07e530f")],
    "zlib": [("zlib_1.2.13.dfsg.orig.tar.bz2", "71feb7947e3c00ef125f83b79a4e529bde31171e5babe48b391f06758d1ab0a1")],
    "utf8proc": [("utf8proc_2.8.0.orig.tar.gz", "a0a60a79fe6f6d54e7d411facbfcc867a6e198608f2cd992490e46f04b1bcecc")],
    "boost1.74": [("boost1.74_1.74.0+ds1.orig.tar.xz",
                   "192f5df504d282cb81288f88232d8af45b64a9ab531e1c7cf8ae955f16f6bb28")],
}
HEADER_ONLY = ("boost", "CLI", "nlohmann", "tl")


def run(command: list[str], directory: pathlib.Path, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        log = f"{done.stdout}{done.stderr}"[-6000:]
        sys.exit(f"libraries.py: {' '.join(command)} failed in {directory}:\n{log}")


class Sources:
    """Archives of Debian's source packages: from the cache, or by apt."""

    def __init__(self) -> None:
        self.kept = fetch.cache_root() / "debian-sources"
        self.kept.mkdir(parents=True, exist_ok=True)
        self.apt: list[str] | None = None
        self.work = tempfile.TemporaryDirectory()

    def archive(self, package: str, name: str, sha256: str) -> pathlib.Path:
        target = self.kept / sha256
        if not target.exists():
            print(f"libraries.py: fetching {name}", file=sys.stderr)
            work = pathlib.Path(self.work.name)
            kind = "--diff-only" if ".debian." in name else "--tar-only"
            run([*self.apt_get(), "source", "--download-only", kind, package], work)
            file = work / name
            if not file.exists():
                sys.exit(f"libraries.py: Debian 12 has another version of {package} now: {name} is pinned")
            if hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
                sys.exit(f"libraries.py: {name} is not the pinned file")
            file.rename(work / "checked")
            shutil.move(work / "checked", target)
        return target

    def apt_get(self) -> list[str]:
        if self.apt is None:
            work = pathlib.Path(self.work.name)
            indexes = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages",
                                      "Origin: Debian"], capture_output=True, text=True, check=True)
            mirrors = {line.split()[0].rstrip("/") for line in indexes.stdout.splitlines()}
            key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
            lines = [f"deb-src {key} {mirror} bookworm{'-security' if mirror.endswith('-security') else ''} main\n"
                     for mirror in sorted(mirrors)]
            (work / "sources.list").write_text("".join(lines))
            (work / "lists").mkdir()
            (work / "cache").mkdir()
            self.apt = ["apt-get", "-q", "-o", f"Dir::Etc::SourceList={work}/sources.list", "-o",
                        "Dir::Etc::SourceParts=/dev/null", "-o", f"Dir::State::Lists={work}/lists", "-o",
                        f"Dir::Cache={work}/cache", "-o", "APT::Sandbox::User="]
            run([*self.apt, "update"], work)
        return self.apt

    def unpack(self, package: str, directory: pathlib.Path, only: str = "") -> pathlib.Path:
        """The upstream archive without its topmost directory, and with Debian's patches where those are pinned."""
        directory.mkdir(parents=True)
        (name, sha256), *debian = SOURCES[package]
        archive = self.archive(package, name, sha256)
        wanted = ["--wildcards", f"*/{only}"] if only else []
        run(["tar", "-xf", str(archive), "--strip-components=1", "--no-same-owner", *wanted], directory)
        for name, sha256 in debian:
            with tarfile.open(self.archive(package, name, sha256)) as patches:
                patches.extractall(directory)
            for line in (directory / "debian/patches/series").read_text().splitlines():
                patch = line.split("#")[0].strip()
                if patch:
                    run(["patch", "-p1", "-s", "-i", f"debian/patches/{patch}"], directory)
        return directory


class Build:
    def __init__(self, architecture: str, sysroot: pathlib.Path, work: pathlib.Path):
        self.architecture, self.sysroot, self.work = architecture, sysroot, work
        self.prefix = sysroot / "usr/local"
        self.include, self.library = self.prefix / "include", self.prefix / "lib"
        self.sources = Sources()
        self.jobs = f"-j{os.cpu_count()}"
        target = f"{architecture}-apple-macos{base.MINIMUM_VERSION}"
        # SDKROOT and not -isysroot: OpenSSL writes down how it was compiled, and the builder's paths are nobody's business.
        self.environment = os.environ | {
            "SDKROOT": str(sysroot), "SOURCE_DATE_EPOCH": "0", "ZERO_AR_DATE": "1", "LC_ALL": "C",
            "CC": f"clang-22 -target {target}", "AR": "llvm-ar-22", "RANLIB": "llvm-ranlib-22", "NM": "llvm-nm-22",
            "STRIP": "llvm-strip-22", "CFLAGS": "-O2 -g0 -fPIC -fvisibility=hidden", "LDFLAGS": "-fuse-ld=lld",
            # The configure scripts' own questions to this machine.
            "PKG_CONFIG": "false",
        }
        self.host = f"{'aarch64' if architecture == 'arm64' else 'x86_64'}-apple-darwin21"

    def install(self, *files: pathlib.Path) -> None:
        for file in files:
            directory = self.library if file.suffix == ".a" else self.include
            directory.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, directory / file.name)

    def compile(self, archive: str, directory: pathlib.Path, files: list[str], *options: str) -> None:
        relative = [f"-ffile-prefix-map={directory}=."]
        base.compile_all(self.architecture, self.sysroot, [(directory / file, [*relative, *options]) for file in files],
                         self.library / archive)

    def configure(self, directory: pathlib.Path, *options: str) -> None:
        run(["./configure", f"--host={self.host}", "--build=x86_64-pc-linux-gnu", "--disable-shared", "--enable-static",
             "--prefix=/usr/local", *options], directory, self.environment)

    def make(self, directory: pathlib.Path, *arguments: str) -> None:
        run(["make", self.jobs, *arguments], directory, self.environment)

    def header_only(self) -> None:
        self.include.mkdir(parents=True, exist_ok=True)
        for name in HEADER_ONLY:
            if not pathlib.Path("/usr/include", name).is_dir():
                sys.exit(f"libraries.py: /usr/include/{name} is missing: scripts/setup build")
            (self.include / name).unlink(missing_ok=True)
            (self.include / name).symlink_to(f"/usr/include/{name}")

    def libmd(self) -> None:
        source = self.sources.unpack("libmd", self.work / "libmd")
        (source / "config.h").write_text("")
        # Mach-O has no aliases; those there are for SHA-384, which nothing here asks for.
        self.compile("libmd.a", source, ["src/sha2.c", "src/sha256hl.c"], "-I", str(source), "-I", str(source / "include"),
                     "-include", "unistd.h", "-D__alias__(name)=")
        self.install(source / "include/sha2.h")

    def zlib(self) -> None:
        source = self.sources.unpack("zlib", self.work / "zlib")
        names = ["adler32", "compress", "crc32", "deflate", "gzclose", "gzlib", "gzread", "gzwrite", "infback", "inffast",
                 "inflate", "inftrees", "trees", "uncompr", "zutil"]
        self.compile("libz.a", source, [f"{name}.c" for name in names], "-DHAVE_UNISTD_H", "-DHAVE_STDARG_H",
                     "-Dfdopen=fdopen")  # zlib takes macOS for one that has none
        self.install(source / "zlib.h", source / "zconf.h")

    def utf8proc(self) -> None:
        source = self.sources.unpack("utf8proc", self.work / "utf8proc")
        self.compile("libutf8proc.a", source, ["utf8proc.c"], "-DUTF8PROC_STATIC")
        self.install(source / "utf8proc.h")

    def boost_context(self) -> None:
        source = self.sources.unpack("boost1.74", self.work / "boost", "libs/context/src/asm/*_macho_gas.S")
        abi = "arm64_aapcs" if self.architecture == "arm64" else "x86_64_sysv"
        asm = source / "libs/context/src/asm"
        self.compile("libboost_context.a", asm, [f"{name}_{abi}_macho_gas.S" for name in ("jump", "make", "ontop")])

    def c_ares(self) -> None:
        source = self.sources.unpack("c-ares", self.work / "c-ares")
        # Without libresolv, which is no part of libSystem: servers are those of /etc/resolv.conf.
        run(["cmake", "-G", "Ninja", "-S", str(source), "-B", "build", "-DCARES_STATIC=ON", "-DCARES_SHARED=OFF",
             "-DCARES_BUILD_TOOLS=OFF", "-DCARES_INSTALL=OFF", "-DHAVE_RES_SERVICENAME_IN_LIBRESOLV=OFF",
             "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_C_FLAGS=-g0 -fvisibility=hidden -ffile-prefix-map={source}=. -DINADDRSZ=4",
             f"-DCMAKE_TOOLCHAIN_FILE={REPOSITORY}/cmake/toolchains/darwin.cmake", f"-DPGLITE_DARWIN_ARCHITECTURE={self.architecture}",
             f"-DPGLITE_DARWIN_SYSROOT={self.sysroot}"], source)
        run(["cmake", "--build", "build"], source)
        self.install(source / "build/lib/libcares.a", source / "build/ares_build.h",
                     *(source / "include" / name for name in ("ares.h", "ares_rules.h", "ares_version.h", "ares_dns.h",
                                                             "ares_nameser.h")))

    def libidn(self) -> None:
        source = self.sources.unpack("libidn", self.work / "libidn")
        # Neither iconv nor translations: SASLprep is for UTF-8.
        self.configure(source, "--disable-nls", "--disable-doc", "--disable-java", "--disable-csharp", "am_cv_func_iconv=no",
                       "am_cv_lib_iconv=no", "--without-libiconv-prefix")
        self.make(source / "lib/gl")
        self.make(source / "lib")
        self.install(source / "lib/.libs/libidn.a", source / "lib/stringprep.h", source / "lib/idn-free.h")
        for header in ("idn-int.h", "idn-free.h"):
            for place in ("lib", "lib/gl"):
                if (source / place / header).exists():
                    self.install(source / place / header)

    def ncurses(self) -> None:
        source = self.sources.unpack("ncurses", self.work / "ncurses")
        # What a terminal can do is asked of macOS's own database, and of Homebrew's and MacPorts'.
        self.configure(source, "--without-shared", "--without-debug", "--without-cxx", "--without-cxx-binding", "--without-ada",
                       "--without-tests", "--without-progs", "--without-manpages", "--with-termlib=tinfo", "--disable-widec",
                       "--disable-mixed-case", "--without-pkg-config", "--disable-db-install", "--with-build-cc=clang-22",
                       "--with-default-terminfo-dir=/usr/share/terminfo",
                       "--with-terminfo-dirs=/usr/share/terminfo:/opt/homebrew/share/terminfo:/opt/local/share/terminfo",
                       "--disable-stripping", "cf_cv_mixedcase=no")
        # The numbers that the oldest terminal interface had for speeds; the package of zig has no such header.
        speeds = [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600]
        names = [*(f"B{speed}" for speed in speeds), "EXTA", "EXTB"]
        (source / "include/sys").mkdir()
        (source / "include/sys/ttydev.h").write_text(
            "".join(f"#define {name} {number}\n" for number, name in enumerate(names)))
        self.make(source / "include")
        self.make(source / "ncurses")
        self.install(source / "lib/libtinfo.a", source / "include/curses.h", source / "include/ncurses_dll.h",
                     source / "include/term.h", source / "include/unctrl.h")

    def libedit(self) -> None:
        source = self.sources.unpack("libedit", self.work / "libedit")
        self.configure(source, "--disable-examples", "ac_cv_lib_tinfo_tgetent=yes", "ac_cv_lib_ncurses_tgetent=no",
                       "ac_cv_lib_curses_tgetent=no", "ac_cv_lib_termcap_tgetent=no")
        self.make(source / "src")
        self.install(source / "src/.libs/libedit.a", source / "src/histedit.h")

    def openssl(self) -> None:
        source = self.sources.unpack("openssl", self.work / "openssl")
        platform = f"darwin64-{self.architecture}-cc"
        environment = self.environment | {"CFLAGS": "-O2 -g0 -fvisibility=hidden", "LDFLAGS": ""}
        # The certificates are those that macOS has in a file (/etc/ssl/cert.pem).
        run(["perl", "Configure", platform, "no-shared", "no-tests", "no-engine", "no-dso", "no-module", "no-legacy",
             "no-comp", "--prefix=/usr/local", "--openssldir=/etc/ssl"], source, environment)
        run(["make", "-s", self.jobs, "build_generated"], source, environment)
        run(["make", "-s", self.jobs, "libcrypto.a", "libssl.a"], source, environment)
        self.install(source / "libcrypto.a", source / "libssl.a")
        headers = self.include / "openssl"
        headers.mkdir(exist_ok=True)
        for header in (source / "include/openssl").glob("*.h"):
            shutil.copyfile(header, headers / header.name)


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] not in ("arm64", "x86_64"):
        sys.exit(__doc__)
    architecture, sysroot = sys.argv[1], pathlib.Path(sys.argv[2]).absolute()
    if not (sysroot / "made-by").exists():
        sys.exit(f"libraries.py: {sysroot} is no sysroot: sysroot.py makes it")
    work = sysroot.parent / "libraries"
    shutil.rmtree(work, ignore_errors=True)
    build = Build(architecture, sysroot, work)
    common = inspect.getsource(Build.__init__) + inspect.getsource(base.target_options) + repr(SOURCES)
    for step in (build.header_only, build.libmd, build.zlib, build.utf8proc, build.boost_context, build.c_ares, build.libidn,
                 build.ncurses, build.libedit, build.openssl):
        version = hashlib.sha256((common + inspect.getsource(step)).encode()).hexdigest()
        made = build.prefix / f"made/{step.__name__}"
        if made.exists() and made.read_text() == version:
            continue
        print(f"libraries.py: {architecture}: {step.__name__}", file=sys.stderr)
        step()
        made.parent.mkdir(exist_ok=True)
        made.write_text(version)
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()

"""The programs for macOS, which do not run here: what can be seen of them from outside.

PGLITE_DARWIN_ARM64 and PGLITE_DARWIN_AMD64 name them (`make darwin-check` does). That a symbol is undefined would have failed
the link; here it is looked at where each comes from, and how the system would load the program.
"""

import hashlib
import os
import pathlib
import re
import struct
import subprocess

import pytest

PROGRAMS = {"arm64": "PGLITE_DARWIN_ARM64", "x86_64": "PGLITE_DARWIN_AMD64"}
LIBSYSTEM = "/usr/lib/libSystem.B.dylib"
MINIMUM_VERSION = "12.0"  # cmake/toolchains/darwin.cmake
PAGE = {"arm64": 0x4000, "x86_64": 0x1000}

# mach-o/loader.h and cs_blobs.h
MH_MAGIC_64, MH_EXECUTE, MH_PIE, MH_TWOLEVEL = 0xFEEDFACF, 2, 0x200000, 0x80
CPU_TYPES = {"arm64": 0x0100000C, "x86_64": 0x01000007}
LC_CODE_SIGNATURE = 0x1D
SUPER_BLOB, CODE_DIRECTORY, ADHOC, LINKER_SIGNED = 0xFADE0CC0, 0xFADE0C02, 0x2, 0x20000


@pytest.fixture(scope="module", params=list(PROGRAMS))
def architecture(request):
    return request.param


@pytest.fixture(scope="module")
def program(architecture):
    path = pathlib.Path(os.environ[PROGRAMS[architecture]])
    assert path.is_file(), f"{path} is not there: make darwin"
    return path


def objdump(program, *options):
    done = subprocess.run(["llvm-objdump-22", "--macho", *options, program], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def commands(program):
    """The load commands, each as the pairs of its lines."""
    found = []
    for line in objdump(program, "--private-headers").splitlines():
        if re.match(r"(Load command|Section)", line):
            found.append({"": line})
        elif found and (pair := re.match(r"\s*(\w+) +(.*\S)", line)):
            found[-1].setdefault(pair[1], pair[2])
    return found


def test_it_is_an_executable_that_is_placed_at_random(program, architecture):
    magic, cpu, _, kind, _, _, flags = struct.unpack_from("<7I", program.read_bytes()[:32])
    assert (magic, cpu, kind) == (MH_MAGIC_64, CPU_TYPES[architecture], MH_EXECUTE)
    assert flags & MH_PIE and flags & MH_TWOLEVEL


def test_it_imports_from_libsystem_only(program):
    libraries = re.findall(r"^\t(\S+) \(", objdump(program, "--dylibs-used"), re.MULTILINE)
    assert libraries == [LIBSYSTEM]
    undefined = subprocess.run(["llvm-nm-22", "--undefined-only", "--format=darwin", program], capture_output=True, text=True,
                               check=True).stdout.splitlines()
    assert len(undefined) > 100
    assert [line for line in undefined if not line.endswith("(from libSystem)")] == []


def test_it_asks_for_no_newer_system_than_is_said(commands):
    (build,) = [command for command in commands if command.get("cmd") == "LC_BUILD_VERSION"]
    assert build["minos"] == MINIMUM_VERSION
    assert build["platform"] in ("macos", "MACOS")


def test_its_segments_lie_at_pages(commands, architecture):
    segments = [command for command in commands if command.get("cmd") == "LC_SEGMENT_64"]
    names = [segment["segname"] for segment in segments]
    assert names[0] == "__PAGEZERO" and "__TEXT" in names and names[-1] == "__LINKEDIT"
    assert int(segments[0]["vmsize"], 16) == 1 << 32
    for segment in segments[1:]:
        assert int(segment["vmaddr"], 16) % PAGE[architecture] == 0, segment
        assert int(segment["fileoff"]) % PAGE[architecture] == 0, segment
        protection = segment["maxprot"]
        assert not ("w" in protection and "x" in protection), segment


def test_nothing_is_exported_but_what_a_program_must(program):
    assert set(re.findall(r"^0x\w+\s+(\S+)", objdump(program, "--exports-trie"), re.MULTILINE)) <= {"__mh_execute_header"}


def signature_of(content):
    commands, = struct.unpack_from("<I", content, 16)
    at = 32
    for _ in range(commands):
        command, size = struct.unpack_from("<2I", content, at)
        if command == LC_CODE_SIGNATURE:
            offset, length = struct.unpack_from("<2I", content, at + 8)
            return offset, content[offset:offset + length]
        at += size
    return None


def test_it_is_signed_ad_hoc_and_the_hashes_are_those_of_its_pages(program):
    content = program.read_bytes()
    signature = signature_of(content)
    assert signature is not None, "it has no signature: macOS on ARM would end it at once"
    offset, blob = signature
    magic, _, count = struct.unpack_from(">3I", blob)
    assert magic == SUPER_BLOB
    places = [struct.unpack_from(">2I", blob, 12 + 8 * i)[1] for i in range(count)]
    (directory,) = [blob[place:] for place in places if struct.unpack_from(">I", blob, place)[0] == CODE_DIRECTORY]
    (_, _, _, flags, hashes, _, _, slots, limit) = struct.unpack_from(">9I", directory)
    hash_size, hash_type, _, page_shift = struct.unpack_from(">4B", directory, 36)
    assert flags & ADHOC
    assert (hash_type, hash_size, limit) == (2, 32, offset)  # SHA-256, of all in front of the signature
    page = 1 << page_shift
    assert slots == -(-limit // page)
    for slot in range(slots):
        digest = hashlib.sha256(content[slot * page:min((slot + 1) * page, limit)]).digest()
        assert directory[hashes + 32 * slot:hashes + 32 * (slot + 1)] == digest, f"page {slot}"


def test_its_size_is_that_of_a_program_with_all_inside(program):
    # The images alone are more than half of it.
    assert 60 << 20 < program.stat().st_size < 250 << 20


def test_the_builders_paths_are_not_in_it(program):
    content = program.read_bytes()
    root = str(pathlib.Path(__file__).resolve().parent.parent.parent).encode()
    assert root not in content
    assert not re.search(rb"darwin/\w+/sysroot/", content)
    assert os.path.expanduser("~/.cache").encode() not in content

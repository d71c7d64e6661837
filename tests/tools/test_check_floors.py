"""scripts/check_floors.py finds what it is there to find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/check_floors.py"


def check(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, root], capture_output=True, text=True, check=False)


def test_the_tree_keeps_to_its_floors():
    done = check(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("file", "line", "complaint"), [
    ("src/wasm/a.cc", '#include "vfs/file.h"', "wasm may not include vfs/file.h"),
    ("src/postgres/cluster/a.cc", '#include "postgres/guest/backend.h"', "postgres/cluster may not include"),
    ("src/postgres/snapshot/a.h", '#include "postgres/upkeep/maintenance.h"', "postgres/snapshot may not include"),
    ("src/cli/a.cc", '#include "postgres/guest/backend.h"', "cli may not include"),
    ("src/port/a.cc", '#include "vfs/file.h"', "port may not include"),
    ("src/postgres/guest/a.h", "#include <pglite/instance.h>", "may not include pglite/instance.h"),
    ("src/wire/a.h", "#include <pglite/status.h>", "wire may not include pglite/status.h"),
    ("src/vfs/a.cc", "  ::syncfs(fd);", "syncfs is one system's own"),
    ("src/vfs/a.cc", "  ::syscall(SYS_fchmodat2, fd);", "fchmodat2 is one system's own"),
    ("src/port/a.h", "// The signals arrive through a signalfd.", "signalfd is one system's own"),
    ("include/pglite/b.h", "// Reads /proc/self/exe.", "/proc/ is one system's own"),
    ("src/attic/a.cc", "", "belongs to no floor"),
])  # fmt: skip
def test_what_breaks_the_rules_is_found(tmp_path, file, line, complaint):
    public = tmp_path / "include/pglite"
    public.mkdir(parents=True)
    for name in ("instance.h", "status.h"):
        (public / name).write_text("")
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"// Something.\n{line}\n")
    done = check(tmp_path)
    assert done.returncode == 1
    assert f"{file}:2: " in done.stdout or "belongs to no floor" in complaint
    assert complaint in done.stdout


def test_what_is_allowed_passes(tmp_path):
    for file, line in {
        "src/os/file_linux.cc": "  ::syncfs(fd);",
        "src/emscripten/a.cc": "uint32_t w2c_env_0x5F_syscall_fchmodat2(w2c_env* env);",
        "src/postgres/cluster/a.cc": '#include "vfs/file.h"',
        "src/postgres/guest/a.h": '#include "pglite/status.h"',
        "src/pglite/a.cc": '#include "postgres/build/images.h"',
        "src/wasm/a.cc": '#include "wasm/b.h"\n#include "os/unique_fd.h"\n#include <vector>',
        "include/pglite/status.h": "#include <string>",
    }.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(line + "\n")
    done = check(tmp_path)
    assert (done.returncode, done.stdout) == (0, "7 files keep to their floors\n")

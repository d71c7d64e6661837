"""aot/progress.py: a command that is silent for minutes."""

import pathlib
import subprocess
import sys

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "aot" / "progress.py"


def test_the_status_is_the_commands(tmp_path):
    done = subprocess.run([sys.executable, PROGRAM, "Work", tmp_path / "none", "sh", "-c", "exit 3"],
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")


def test_it_says_that_it_goes_on(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "old").touch()
    often = f"import sys; sys.path.insert(0, {str(PROGRAM.parent)!r}); import progress; progress.EVERY = 0.01; " \
            "sys.exit(progress.main())"  # fmt: skip
    command = f"touch {cache}/new; until test -e {tmp_path}/told; do sleep 0.01; done"
    with subprocess.Popen([sys.executable, "-c", often, "Work", cache, "sh", "-c", command], stdout=subprocess.PIPE,
                          text=True) as process:  # fmt: skip
        assert any(line.startswith("Work: ") and line.endswith(" s, 1 files done\n") for line in process.stdout)
        (tmp_path / "told").touch()
        process.stdout.read()
        assert process.wait(60) == 0

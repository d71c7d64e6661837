"""The benchmark itself: every suite runs, wrong answers have no time, the report says what is missing.
No figure is looked at."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BENCH = REPOSITORY / "bench"
sys.path.insert(0, str(BENCH))

import run  # noqa: E402
import tables  # noqa: E402
from suites import SUITES  # noqa: E402
from throughput import Times  # noqa: E402

PROGRAM = pathlib.Path(os.environ.get("PGLITE_PORT", REPOSITORY / "build" / "release" / "pglite-port"))
TINY = 0.001


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    directory = tmp_path_factory.mktemp("results")
    done = subprocess.run(
        [sys.executable, str(BENCH / "run.py"), "--only", ",".join(SUITES), "--engines",
         "ours,port,floor-pipes,floor-memcpy", "--rounds", "2", "--scale", str(TINY), "--program",
         str(PROGRAM), "--results", str(directory)],
        capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (file,) = directory.glob("*.json")
    return json.loads(file.read_text()), file.with_suffix(".md").read_text()


@pytest.mark.parametrize("name", SUITES)
def test_suite_runs_with_equal_rows(result, name):
    (suite,) = (suite for suite in result[0]["suites"] if suite["suite"] == name)
    assert suite["not_run"] == {}
    assert suite["other_rows"] == {}
    assert suite["failed"] == {}
    assert suite["items"]
    for item in suite["items"]:
        assert set(item["engines"]) == {"ours", "port", "floor-pipes", "floor-memcpy"}, item["name"]
        for figures in item["engines"].values():
            assert figures["ms"]["n"] == 2


def test_report_has_a_section_for_each_suite(result):
    for suite in SUITES.values():
        assert f"## {suite.title}\n" in result[1]


@pytest.mark.parametrize("name", SUITES)
def test_workload_is_the_same_each_time(tmp_path, name):
    for file in ("a", "b"):
        SUITES[name].workload(TINY).write(tmp_path / file)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def item(name, ms, checksum="00000001"):
    return {"name": name, "timed": True, "ms": ms, "requests": 1, "p50_us": ms * 1000,
            "p99_us": ms * 1000, "rows": 1, "bytes": 10, "checksum": checksum, "error": ""}


@pytest.fixture
def times():
    times = Times(SUITES["speed"])
    times.add("native-fsync-off", {"items": [item("one", 2.0), item("two", 8.0)]})
    return times


def test_geometric_mean_of_ratios(times):
    times.add("ours", {"items": [item("one", 1.0), item("two", 16.0)]})
    assert times.geometric_mean("ours") == pytest.approx(1.0)
    assert times.geometric_mean("native-fsync-off") == pytest.approx(1.0)


def test_median_of_the_rounds(times):
    for ms in (3.0, 1.0, 100.0):
        times.add("ours", {"items": [item("one", ms), item("two", ms)]})
    assert times.median("one", "ours") == 3.0
    assert times.ratio("one", "ours") == pytest.approx(1.5)


def test_other_rows_have_no_time(times):
    times.add("ours", {"items": [item("one", 1.0, "00000002"), item("two", 1.0)]})
    assert times.median("one", "ours") is None
    assert times.geometric_mean("ours") is None
    assert times.wrong == {"ours": ["one"]}
    assert "Other rows" in tables.as_markdown(times)


def test_an_engine_that_cannot_run_is_a_line_with_its_reason(times):
    times.absent["pglite-socket"] = "there is no node on this machine"
    assert "Not run: pglite-socket: there is no node" in tables.as_markdown(times)


def test_a_failed_item_has_no_time_and_says_why(times):
    times.add("ours", {"items": [{**item("one", 1.0), "error": "SERROR C22012"}, item("two", 1.0)]})
    assert times.median("one", "ours") is None
    assert times.median("two", "ours") == 1.0
    assert "- one: SERROR C22012\n" in tables.as_markdown(times)


@pytest.mark.parametrize("engine", [["port", str(PROGRAM)], ["instance"]])
def test_replay_names_the_item_with_an_error_and_goes_on(tmp_path, engine):
    from workload import Workload

    workload = Workload("broken")
    workload.statements("divide", ["select 1", "select 1 / 0 as \"quo\\ted\"", "select 2"])
    workload.statements("fine", ["select 3"])
    workload.write(tmp_path / "file")
    done = subprocess.run([str(PROGRAM.parent / "bench" / "replay"), str(tmp_path / "file"), *engine],
                          capture_output=True, text=True, timeout=60, check=True)
    divide, fine = json.loads(done.stdout)["items"]
    assert "division by zero" in divide["error"]
    assert divide["rows"] == 2
    assert fine["error"] == ""


def test_one_item_can_be_written_for_a_profiler(tmp_path):
    file = tmp_path / "file"
    subprocess.run([sys.executable, str(BENCH / "run.py"), "--only", "plpgsql", "--items", "bigints",
                    "--scale", str(TINY), "--write", str(file)], check=True, timeout=60)
    done = subprocess.run([str(PROGRAM.parent / "bench" / "replay"), str(file), "instance"],
                          capture_output=True, text=True, timeout=60, check=True)
    timed = [item["name"] for item in json.loads(done.stdout)["items"] if item["timed"]]
    assert timed == ["bigints, 1,000"]


def test_unknown_names_are_refused():
    done = subprocess.run([sys.executable, str(BENCH / "run.py"), "--only", "sped"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "no suite sped" in done.stderr


def test_summary_is_put_between_its_markers(tmp_path):
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{run.BEGIN}\nold\n{run.END}\nafter\n")
    run.put_summary(page, ["new"])
    assert page.read_text() == f"before\n{run.BEGIN}\nnew\n{run.END}\nafter\n"

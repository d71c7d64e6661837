"""The benchmark itself: every suite runs, wrong answers have no time, the report says what is missing.
No figure is looked at."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BENCH = REPOSITORY / "bench"
sys.path.insert(0, str(BENCH))

import pgbench_runs  # noqa: E402
import protocol  # noqa: E402
import run  # noqa: E402
import server  # noqa: E402
import servers  # noqa: E402
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


# bench/server.py: servers beside each other -------------------------------------------------------


def small(title, **more):
    return server.Measurement(title, lambda *_: {}, **more)


@pytest.fixture
def results():
    results = server.Results([servers.Ours, servers.Native, servers.Oxide])
    for tps in (100.0, 900.0, 200.0):
        results.add("a", "ours", {"tps": tps, "p99 ms": 1000 / tps})
    results.add("a", "native", {"tps": 400.0, "p99 ms": 2.5})
    return results


def test_ratio_of_medians_to_native(results):
    assert results.median("a", "tps", "ours") == 200.0
    assert results.ratio("a", "tps", "ours") == pytest.approx(0.5)
    assert results.ratio("a", "p99 ms", "ours") == pytest.approx(2.0)
    assert results.ratio("a", "tps", "pglite-oxide") is None


def test_no_ratio_to_nothing(results):
    results.add("b", "ours", {"MB": -1.0})
    results.add("b", "native", {"MB": 0.0})
    assert results.ratio("b", "MB", "ours") is None
    assert results.cell("b", "MB", "ours") == "-1.00"
    results.add("b", "ours", {"MB kept afterwards": 0.25})
    results.add("b", "native", {"MB kept afterwards": 0.001})
    assert results.cell("b", "MB kept afterwards", "ours") == "0.25"


def test_what_a_server_cannot_do_is_in_the_table(results):
    results.leave_out("a", "pglite-oxide", "one connection at a time", failed=False)
    results.settings["native"] = "server_version 18.6, fsync on, io_method worker"
    table = server.table([small("a")], results, lambda *_: True)
    assert table[0] == "| | | native PostgreSQL<br>fsync on | pglite-port serve | pglite-oxide | target |"
    assert table[2] == "| a | tps | 400 | 200 (0.5) | not possible: one connection at a time |  |"
    assert results.failed == set()


def test_a_failure_takes_the_figures_back(results):
    results.leave_out("a", "ours", "no answer |\n in time", failed=True)
    assert results.median("a", "tps", "ours") is None
    assert results.cell("a", "tps", "ours") == "failed: no answer / in time"
    assert results.failed == {"ours"}


def test_a_line_that_nobody_can_do_is_there(results):
    results.leave_out("c", "ours", "why", failed=False)
    assert "| c |  |  | not possible: why |  |  |" in server.table([small("c")], results, lambda *_: True)


def test_targets_are_for_ours(results):
    missed, reached = (small("a", targets={"p99 ms": limit}) for limit in (4.9, 5.0))
    assert server.met(missed, "p99 ms", results) is False
    assert server.met(reached, "p99 ms", results) is True
    assert server.met(reached, "tps", results) is None


def test_percentiles():
    values = [float(n) for n in range(100, 0, -1)]
    assert pgbench_runs.percentile(values, 0.5) == 51.0
    assert pgbench_runs.percentile(values, 0.99) == 100.0
    assert pgbench_runs.percentile([7.0], 0.99) == 7.0


def test_what_pgbench_says():
    text = "latency average = 0.128 ms\ntps = 1234.5 (without initial connection time)\n"
    assert pgbench_runs.figure(text, "tps") == 1234.5
    with pytest.raises(servers.Failed, match="does not say its tps"):
        pgbench_runs.figure("", "tps")
    assert pgbench_runs.latencies(["0 1 2500 0 17 5\n1 1 500 0 17 6\n", ""]) == [2.5, 0.5]


def test_first_value_of_an_answer():
    row = protocol.message(b"D", b"\0\2" + b"\0\0\0\3one" + b"\0\0\0\3two")
    assert protocol.first_value(protocol.message(b"T", b"\0\0") + row) == "one"
    with pytest.raises(protocol.EngineError):
        protocol.first_value(protocol.message(b"C", b"SELECT 0\0"))


class Broken(servers.Server):
    """Does what a bad peer does."""

    name = title = "broken"
    connections = 2

    def __init__(self, tmp_path, program):
        (tmp_path / "data").mkdir()
        super().__init__(None, tmp_path)
        self.program = program

    def command(self, tcp):
        return ["sh", "-c", self.program]


def test_a_server_that_ends_at_once_says_why(tmp_path):
    broken = Broken(tmp_path, "echo no room >&2; exit 3")
    with pytest.raises(servers.Failed, match="ended with 3.*no room"):
        broken.start()
    broken.close()


def test_a_server_that_does_not_answer_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "LIMIT", 0.2)
    broken = Broken(tmp_path, "trap '' TERM; while :; do sleep 0.1; done")
    with pytest.raises(servers.Failed, match="did not start"):
        broken.start()
    assert broken.process is None
    broken.close()


def test_a_failed_measurement_is_not_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "LIMIT", 0.2)
    results, tried = server.Results([servers.Ours]), []

    def fail(*_):
        tried.append(1)
        raise servers.Failed("it hangs")

    broken = Broken(tmp_path, "exit 1")
    measurement = server.Measurement("a", fail)
    for _ in range(2):
        server.measure(broken, measurement, pgbench_runs.Size.tiny(), results, lambda _: None)
    assert tried == [1]
    assert results.absent["a", "broken"] == "failed: it hangs"
    assert "could not be started again" in results.absent["`select 1`", "broken"]
    too_many = server.Measurement("b", fail, connections=3)
    server.measure(broken, too_many, pgbench_runs.Size.tiny(), results, lambda _: None)
    assert results.absent["b", "broken"] == "not possible: 2 connections at most"
    broken.close()


def has_pgbench() -> bool:
    """Debian's client package has a wrapper of that name, which looks for a program of the server's package."""
    return shutil.which("pgbench") is not None and subprocess.run(["pgbench", "--version"], capture_output=True,
                                                                  check=False).returncode == 0


@pytest.mark.skipif(not has_pgbench(), reason="pgbench is missing")
def test_every_measurement_of_the_server_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, str(BENCH / "server.py"), "--servers", "ours", "--tiny", "--rounds", "2", "--program",
         str(PROGRAM), "--results", str(tmp_path)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr + done.stdout
    (file,) = tmp_path.glob("*.json")
    result = json.loads(file.read_text())
    measured = {line["what"] for line in result["lines"] if line["servers"]}
    assert measured == {m.title for _, measurements in server.SECTIONS.values() for m in measurements}
    for line in result["lines"]:
        assert line["absent"] == {}
        assert line["servers"]["ours"]["n"] == 2, line
    assert {script: [clients for clients, _ in points["ours"]] for script, points in result["curve"].items()} == {
        script: list(server.CLIENTS) for script in ("TPC-B-like", "select-only")}
    assert "fsync on" in result["settings"]["ours"]
    text = file.with_suffix(".md").read_text()
    for title, _ in server.SECTIONS.values():
        assert f"## {title}\n" in text


def test_unknown_servers_are_refused():
    done = subprocess.run([sys.executable, str(BENCH / "server.py"), "--servers", "our"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "no server our" in done.stderr


def test_the_page_has_a_place_for_the_summary():
    page = (REPOSITORY / "docs" / "server.md").read_text()
    assert page.count(server.BEGIN) == 1
    assert run.END in page.split(server.BEGIN)[1]

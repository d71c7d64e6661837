"""How the soak tests judge (soaking.py)."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from soaking import MB, Figure, grows, judge, status_line  # noqa: E402


def test_the_first_third_may_grow():
    assert not grows([*range(100), *[100] * 200], grain=0)


def test_teeth_of_a_saw_are_flat():
    assert not grows([n % 10 for n in range(300)], grain=0)


def test_what_goes_on_growing_is_seen():
    assert grows(list(range(300)), grain=0)
    assert not grows(list(range(300)), grain=100)


def test_five_percent_and_the_grain_are_allowed():
    assert not grows([100] * 20 + [115] * 10, grain=10)
    assert grows([100] * 20 + [116] * 10, grain=10)


def test_one_spike_is_not_growth():
    assert not grows([10] * 25 + [1000] + [10] * 4, grain=0)


def test_what_grows_is_named(capsys):
    samples = [{"rss": n * MB, "threads": 4.0} for n in range(30)]
    assert judge("memory", samples, {"rss": Figure(1), "threads": Figure(1, "threads")}) == ["rss"]
    out = capsys.readouterr().out
    assert "most      29.0 MB  GROWS\n" in out
    assert "most         4 threads\n" in out


def test_too_few_samples_are_no_judgement():
    with pytest.raises(ValueError, match="5 samples"):
        judge("memory", [{"rss": 1.0}] * 5, {"rss": Figure(1)})


def test_status_line():
    assert status_line({"rss": 2.5 * MB, "locks": 3}, {"rss": Figure(1), "locks": Figure(1, "locks")}) == "rss 2.5, locks 3"

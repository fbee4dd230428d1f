"""Trying again: as often as there are waits, and only what may pass."""

import itertools
import random
import time

import pytest

from weakneg.io.retry import doubling, retry


@pytest.fixture(autouse=True)
def waited(monkeypatch):
    """The seconds that were waited, without waiting them."""
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


def failing(times: int, error: Exception = OSError("busy")):  # noqa: B008
    """A function that fails so many times, and then gives the number of its calls."""
    calls = itertools.count(1)

    def attempt() -> int:
        call = next(calls)
        if call <= times:
            raise error
        return call

    return attempt


def passing(error: Exception) -> str | None:
    return str(error) if isinstance(error, OSError) else None


@pytest.mark.parametrize("times", [0, 1, 2])
def test_what_passes_is_tried_until_it_has(times, waited, capsys):
    assert retry(failing(times), (1, 4), passing, "a.tar") == times + 1
    assert waited == [1, 4][:times]
    said = [f"a.tar: busy; next try in {wait} s" for wait in waited]
    assert capsys.readouterr().err.splitlines() == said


def test_in_the_end_the_error_is_the_last_one(waited):
    with pytest.raises(OSError, match="busy"):
        retry(failing(9), (1, 4), passing, "a.tar")
    assert waited == [1, 4]


def test_what_does_not_pass_is_not_tried_again(waited, capsys):
    with pytest.raises(ValueError, match="wrong"):
        retry(failing(1, ValueError("wrong")), (1, 4), passing, "a.tar")
    assert waited == []
    assert capsys.readouterr().err == ""


def test_waits_double_up_to_ten_minutes(monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)
    assert list(doubling(10, 8)) == [10, 20, 40, 80, 160, 320, 600, 600]
    assert list(doubling(0.5, 0)) == []
    assert max(doubling(1.0, 5000)) == 600  # no number becomes too large


def test_waits_differ_from_one_job_to_the_next():
    waits = [next(doubling(100, 1)) for _ in range(200)]
    assert len(set(waits)) > 100
    assert min(waits) >= 50
    assert max(waits) <= 150

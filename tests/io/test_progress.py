"""Progress: how much, of how much, how fast; seldom, and in the end always."""

import re
import threading

import pytest

from weakneg.io import progress
from weakneg.io.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless it is moved: `clock[0] += 1`."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_says_how_much_of_how_much_and_how_fast(clock, capsys):
    with Progress("a.h5", 40, "recordings") as progress:
        for _ in range(40):
            clock[0] += 1
            progress.add()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "a.h5: 5 of 40 recordings, 12%, 1 recordings/s"
    assert lines[-1] == "a.h5: 40 of 40 recordings, 100%, 1 recordings/s"
    assert len(lines) == 8


def test_what_ends_quickly_is_one_line(clock, capsys):
    with Progress("a.h5", 2, "recordings") as progress:
        progress.add()
        progress.add()
    assert len(capsys.readouterr().err.splitlines()) == 1
    with Progress("a.h5", 2, "recordings", even_if_quick=False) as progress:
        progress.add(2)
    assert capsys.readouterr().err == ""
    with Progress("a.h5", 2, "recordings", even_if_quick=False) as progress:
        clock[0] += 6
        progress.add()
        progress.add()
    assert [line[:11] for line in capsys.readouterr().err.splitlines()] == [
        "a.h5: 1 of ",
        "a.h5: 2 of ",
    ]


def test_bytes_are_shown_in_mb_and_what_was_there_before_does_not_count_for_the_rate(clock, capsys):
    with Progress("a.tar", 30_000_000, "bytes", done=10_000_000) as progress:
        clock[0] += 4
        progress.add(20_000_000)
    assert capsys.readouterr().err == "a.tar: 30.0 of 30.0 MB, 100%, 5 MB/s\n"


def test_without_a_total_there_is_no_share(clock, capsys):
    for total, said in ((None, "0.0 MB"), (0, "0.0 of 0.0 MB")):
        with Progress("a.tar", total, "bytes"):
            pass
        assert capsys.readouterr().err == f"a.tar: {said}, 0 MB/s\n"


def test_parts_are_counted_too_and_give_the_rate(clock, capsys):
    with Progress("", 2, "recordings", parts="clips") as progress:
        clock[0] += 10
        progress.add(units=0, parts=500)
        progress.add(units=2)
    assert capsys.readouterr().err.splitlines() == [
        "0 of 2 recordings, 500 clips, 0%, 50 clips/s",
        "2 of 2 recordings, 500 clips, 100%, 50 clips/s",
    ]


def test_on_a_terminal_a_bar_grows(clock, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Progress("a.h5", 4, "recordings") as progress:
        for _ in range(4):
            clock[0] += 1
            progress.add()
    bars = capsys.readouterr().err.split("\r")
    assert [bar.count("#") for bar in bars] == [0, 7, 15, 22, 30]
    assert bars[1].startswith("[#######.......................] a.h5: 1 of 4 recordings, 25%, ")
    assert bars[-1].endswith("\n")


def test_a_bar_is_never_longer_than_a_line(clock, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "50")
    with Progress("a" * 100, 4, "recordings") as progress:
        progress.add(4)
    assert len(capsys.readouterr().err.removesuffix("\x1b[K\n")) == len("\r") + 49


@pytest.mark.parametrize("on_terminal", [True, False])
def test_after_an_error_nothing_more_is_counted(clock, capsys, monkeypatch, on_terminal):
    monkeypatch.setattr("sys.stderr.isatty", lambda: on_terminal)

    def fail():
        with Progress("a.h5", 4, "recordings") as progress:
            clock[0] += 6
            progress.add()
            progress.add()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    err = capsys.readouterr().err
    assert err.count("of 4") == 1
    assert err.endswith("\n")  # so that the error has a line of its own


def test_several_threads_count(capsys):
    with Progress("", 8000, "recordings") as progress:

        def count():
            for _ in range(1000):
                progress.add()

        threads = [threading.Thread(target=count) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert re.search(r"8000 of 8000 recordings, 100%, \d+ recordings/s\n$", capsys.readouterr().err)

"""The lock of a Snakemake that was killed is removed, and no other."""

import os
import platform
import subprocess
import sys

import pytest

from weakneg.workspace import lock

HERE = platform.node()
ME = f"{os.getpid()} {HERE}"


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """A working directory with a lock; says whether it is there once this process has entered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lock.atexit, "register", lambda *_: None)
    lock.LOCKS.mkdir(parents=True)
    (lock.LOCKS / "0.output.lock").touch()

    def is_locked(*named: str) -> bool:
        for name in named:
            lock.RUNNING.mkdir(exist_ok=True)
            (lock.RUNNING / name).touch()
        lock.enter()
        return any(lock.LOCKS.glob("*"))

    return is_locked


@pytest.fixture
def started():
    """The name of a process that runs, as a Snakemake by its command; it is ended afterwards."""
    command = [sys.executable, "-c", "print(flush=True); input()", "snakemake"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        process.stdout.readline()
        yield f"{process.pid} {HERE}"
        process.stdin.write(b"\n")


def ended() -> str:
    """The name of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return f"{process.pid} {HERE}"


def test_the_lock_of_the_killed_goes(locked):
    assert not locked(ended(), ended())
    assert [entry.name for entry in lock.RUNNING.iterdir()] == [ME]


def test_a_number_that_another_process_has_by_now_is_that_of_the_killed(locked):
    init = f"1 {HERE}"
    assert not locked(init)


def test_other_locks_stay(locked, started):
    assert locked()  # nobody knows whose it is
    assert locked(started)
    assert locked(started, ended())


def test_the_lock_of_another_machine_stays(locked):
    assert locked("1 another machine", ended())


def test_a_machine_that_left_no_lock_is_forgotten(locked):
    (lock.LOCKS / "0.output.lock").unlink()
    assert not locked("1 another machine")
    assert [entry.name for entry in lock.RUNNING.iterdir()] == [ME]


def test_other_files_are_no_snakemakes(locked):
    assert not locked(".DS_Store", ended())


def test_who_ends_takes_its_name_away(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    left = []
    monkeypatch.setattr(lock.atexit, "register", lambda *call: left.append(call))
    lock.enter()
    [(leave, *arguments)] = left
    assert len(list(lock.RUNNING.iterdir())) == 1
    leave(*arguments)
    assert not list(lock.RUNNING.iterdir())


def test_a_folder_that_cannot_be_written_to_is_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lock.atexit, "register", lambda *_: pytest.fail("it has no name to take"))
    lock.RUNNING.parent.touch()  # root may write to any folder, but not into a file
    lock.enter()
    assert [path.name for path in tmp_path.iterdir()] == [lock.RUNNING.parent.name]

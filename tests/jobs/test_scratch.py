"""Copies of feature stores on a disk of the node."""

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest

from weakneg.errors import UserError
from weakneg.jobs import scratch
from weakneg.jobs.scratch import staged

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def store(tmp_path, monkeypatch) -> Path:
    """A store of two shards; WEAKNEG_SCRATCH names a folder."""
    features = tmp_path / "results/features"
    (features / "shards").mkdir(parents=True)
    layout = h5py.VirtualLayout((4, 1000), "f4")
    for shard in range(2):
        with h5py.File(features / f"shards/{shard}.h5", "w") as file:
            file["x"] = np.full((2, 1000), shard, "f4")
        source = h5py.VirtualSource(f"shards/{shard}.h5", "x", (2, 1000))
        layout[2 * shard : 2 * shard + 2] = source
    with h5py.File(features / "train.h5", "w") as file:
        file.create_virtual_dataset("x", layout, fillvalue=np.nan)
        file["y"] = np.zeros(4)
    monkeypatch.setenv("DISK", str(tmp_path))
    monkeypatch.setenv("WEAKNEG_SCRATCH", "$DISK/scratch")
    yield features / "train.h5"
    scratch._HELD.clear()


def in_processes(count: int, function, *arguments) -> list:
    """What the function gives in so many processes at once."""
    results = FORK.Queue()
    processes = [
        FORK.Process(target=lambda: results.put(function(*arguments))) for _ in range(count)
    ]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    return found


def copies(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.glob("scratch/*/*") if path.is_dir()]


def test_jobs_of_a_node_share_one_copy(store, tmp_path, capfd):
    paths = in_processes(6, staged, store)
    assert paths == [copies(tmp_path)[0] / "train.h5"] * 6
    assert capfd.readouterr().err.count("copied to") == 1
    shutil.rmtree(store.parent / "shards")
    with h5py.File(paths[0]) as file:
        assert file["x"][:, 0].tolist() == [0, 0, 1, 1]


def test_a_copy_that_was_cut_off_is_made_again(store, tmp_path, monkeypatch):
    def killed(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(scratch.os, "replace", killed)
        process = FORK.Process(target=staged, args=(store,))
        process.start()
        process.join()
    [partial] = copies(tmp_path)
    assert (partial / "shards/1.h5").exists()
    path = staged(store)
    assert copies(tmp_path) == [path.parent]
    assert path.read_bytes() == store.read_bytes()


def test_a_copy_that_differs_from_what_was_read_is_not_used(store, tmp_path, monkeypatch, capsys):
    digest = scratch.hashlib.file_digest

    def damaged(file, kind):
        with open(file.name, "r+b") as other:
            other.write(b"\0")
        return digest(file, kind)

    monkeypatch.setattr(scratch.hashlib, "file_digest", damaged)
    assert staged(store) == store
    assert copies(tmp_path) == []
    assert "differs from what was written" in capsys.readouterr().err


def test_a_store_that_was_built_again_is_copied_again(store, tmp_path):
    [first] = in_processes(1, staged, store)
    shard = store.parent / "shards/0.h5"
    stat = shard.stat()
    os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert staged(store) != first


def test_where_there_is_no_room_unused_copies_go_and_used_ones_stay(
    store, tmp_path, monkeypatch, capsys
):
    usage = shutil.disk_usage(tmp_path)
    size = sum(path.stat().st_size for path in store.parent.rglob("*.h5"))

    def disk_usage(folder):
        used = sum(path.stat().st_size for path in Path(folder).rglob("*.h5"))
        return usage._replace(free=2.5 * size - used)

    monkeypatch.setattr(scratch.shutil, "disk_usage", disk_usage)
    others = [store.parent.parent / name / "train.h5" for name in ("second", "third", "fourth")]
    for other in others:
        shutil.copytree(store.parent, other.parent)
    used = staged(store)
    [unused] = in_processes(1, staged, others[0])
    assert unused.exists()
    also_used = staged(others[1])
    assert [path.exists() for path in (used, unused, also_used)] == [True, False, True]
    assert staged(others[2]) == others[2]
    assert "No space left" in capsys.readouterr().err
    assert [path.exists() for path in (used, also_used)] == [True, True]


def test_without_the_variable_a_store_is_read_where_it_is(store, tmp_path, monkeypatch):
    monkeypatch.delenv("WEAKNEG_SCRATCH")
    assert staged(store) == store
    assert copies(tmp_path) == []


@pytest.mark.parametrize("value", ["scratch", "$NOWHERE_SUCH/scratch", "/tmp/$NOWHERE_SUCH"])
def test_a_path_that_is_not_absolute_is_one_line(store, monkeypatch, value):
    monkeypatch.setenv("WEAKNEG_SCRATCH", value)
    with pytest.raises(UserError, match=r"WEAKNEG_SCRATCH=.* absolute path"):
        staged(store)


def test_a_folder_that_cannot_be_used_is_said(store, tmp_path, capsys):
    (tmp_path / "scratch").write_text("a file")
    assert staged(store) == store
    assert "where it is" in capsys.readouterr().err

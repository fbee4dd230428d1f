"""Snakemake's cache between workflows: the right file for everyone, and never another one."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from workspace import Workspace

from weakneg.workspace import provenance

SHARDS = [f"results/soundscapes/features/shards/{shard}.h5" for shard in ("train/001", "test/000")]
BAGS = [f"results/digits/bags/{label}/{split}.csv" for label in "38" for split in ("train", "test")]
CLIPS = [f"results/soundscapes/bags/{split}.csv" for split in ("train", "test")]
FILES = [*SHARDS, *BAGS, *CLIPS]


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def clone(finished, tmp_path_factory):
    """A clone of the finished workspace that lacks what a cache can hold."""

    def make() -> Workspace:
        copy = Workspace(tmp_path_factory.mktemp("clone"))
        for name in ("results", "resources"):
            shutil.copytree(finished.folder / name, copy.folder / name, copy_function=_link)
        for file in FILES:
            (copy.folder / file).unlink()
        return copy

    return make


def _link(source: str, target: str) -> None:
    """A hard link, but of Snakemake's records, which it writes where they are."""
    (shutil.copy2 if provenance.FOLDER.name in source else os.link)(source, target)


def fill(workspace: Workspace, cache: Path, *files: str) -> list[str]:
    """Make the files with the cache; returns those of its lines that say what was found in it."""
    arguments = ("--cores", "1", "--cache", "--", *(files or FILES))
    result = workspace.snakemake(*arguments, SNAKEMAKE_OUTPUT_CACHE=str(cache))
    assert result.returncode == 0, result.stdout + result.stderr
    lines = (result.stdout + result.stderr).splitlines()
    stored = {line.split()[-3] for line in lines if line.endswith(" to cache.")}
    links = [line for line in lines if line.endswith(" from cache.")]
    return [line for line in links if line.split()[-3] not in stored]


@pytest.fixture(scope="module")
def filled(clone, cache) -> list[Workspace]:
    """Two clones that filled the cache at the same time, and one that found all in it."""
    clones = [clone(), clone(), clone()]
    writers = [threading.Thread(target=fill, args=(each, cache)) for each in clones[:2]]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    assert len(fill(clones[2], cache)) == len(FILES)
    return clones


def test_everyone_gets_the_bytes_that_are_computed_without_a_cache(filled, finished):
    for workspace in filled:
        for file in FILES:
            assert (workspace.folder / file).is_symlink()
            same = (workspace.folder / file).read_bytes() == (finished.folder / file).read_bytes()
            assert same, file
    assert filled[2].planned("--", *FILES) == {}


def test_two_shards_two_splits_and_two_classes_are_not_mixed_up(filled, cache):
    """Snakemake's key holds no wildcards."""
    assert len({(filled[2].folder / file).resolve() for file in FILES}) == len(FILES)


def found(workspace: Workspace, cache: Path, *files: str) -> list[str]:
    """Which files come from the cache when they are made again."""
    for file in files:
        (workspace.folder / file).unlink()
    lines = fill(workspace, cache, *files)
    return [file for file in files if any(file in line for line in lines)]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("workflow/weakneg/bags/draw.py", "label_density * bag_size + 0.5", "label_density + 2"),
        (
            "workflow/studies/digits.yaml",
            "seeds: 5\n",
            "seeds: 5\nbags: {bag_size: 4}\n",
        ),
    ],
    ids=["code", "setting"],
)
def test_what_is_made_in_another_way_is_not_found(filled, cache, file, old, new):
    changed = filled[2]
    changed.edit(file, old, new)
    try:
        assert not found(changed, cache, *BAGS[:2])
    finally:
        changed.copy_sources()


def test_what_is_made_of_other_sound_in_a_file_of_the_same_name_is_not_found(filled, cache):
    changed = filled[2]
    sound = changed.folder / "resources/soundscapes/audio/test"
    (sound / "test_000.flac").unlink()
    shutil.copy(sound / "test_001.flac", sound / "test_000.flac")
    assert found(changed, cache, *SHARDS) == [SHARDS[0]]


def test_a_cache_that_can_only_be_read_gives_what_it_has(filled, cache, clone):
    reader = clone()
    read_only = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"'
    shell = ["bash", "-c", f'{read_only} || exit 99; exec "$@"', cache]
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--cache", "--", *BAGS]
    try:
        result = subprocess.run(
            ["unshare", "--mount", *shell, *command],
            cwd=reader.folder,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
            | {"SNAKEMAKE_OUTPUT_CACHE": str(cache)},
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if result.returncode == 99 or "unshare failed" in result.stderr:
        pytest.skip("mounting needs root")
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{cache} is read-only" in result.stderr
    assert all((reader.folder / file).is_symlink() for file in BAGS)


def test_a_cache_that_is_not_there_is_one_line(finished):
    result = finished.snakemake("-n", "--cache", SNAKEMAKE_OUTPUT_CACHE="/nowhere")
    assert result.returncode != 0
    assert "--cache: the environment variable SNAKEMAKE_OUTPUT_CACHE" in result.stderr

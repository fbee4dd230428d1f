"""From sources of sound to feature stores: `snakemake` itself, with servers on this machine."""

import csv
import re
import textwrap
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from servers import (
    Hub,
    HubHandler,
    Site,
    SiteHandler,
    make_video,
    parquet_file,
    serving,
    wav,
)
from workspace import Workspace

TRAIN = ["-dash", "gone", "c", "d", "e"]
TEST = ["--help", "late", "t"]

# A data set like AudioSet: lists in its format, and clips that are elsewhere.
DATASET = '''
    """Clips of sound that are elsewhere."""

    import shutil
    from pathlib import Path

    from weakneg.datasets import Dataset
    from weakneg.datasets.audioset_lists import read_segments

    CLASSES = ("Dog", "Cat")
    SPLIT_SIZES = {"train": 5, "test": 3}
    FILES = ("train.csv", "test.csv")


    def fetch(folder, local_copy=None):
        for file in FILES:
            shutil.copy(Path(local_copy, file), Path(folder, file))


    def recordings(folder):
        return [
            {
                "id": clip,
                "split": split,
                "file": "",
                "start": segment.start,
                "end": segment.end,
                "labels": [CLASSES[number] for number in segment.labels],
            }
            for split in SPLIT_SIZES
            for clip, segment in read_segments(
                Path(folder, f"{split}.csv"), {"/m/dog": 0, "/m/cat": 1}
            ).items()
        ]


    DATASET = Dataset(
        kind="spectrograms",
        class_names=CLASSES,
        files=FILES,
        fetch=fetch,
        recordings=recordings,
        split_sizes=SPLIT_SIZES,
        sound_elsewhere=True,
    )
'''


class Project(Workspace):
    """A workspace with the data set `clips`, in shards of four."""

    def __init__(self, folder: Path, data: Path):
        super().__init__(folder)
        self.edit("workflow/weakneg/config/source.py", "SHARD_SIZE = 500", "SHARD_SIZE = 4")
        (folder / "workflow/weakneg/datasets/clips.py").write_text(textwrap.dedent(DATASET))
        for split, ids in (("train", TRAIN), ("test", TEST)):
            lines = [f'{clip}, 3.000, 5.000, "/m/{"dog" if n % 2 else "cat"}"' for n, clip in
                     enumerate(ids)]  # fmt: skip
            about = f"# num_ytids={len(ids)}, num_segs={len(ids)}, num_unique_labels=2, "
            text = ["# Segments", f"{about}num_positive_labels={len(ids)}", "# YTID", *lines, ""]
            (data / f"{split}.csv").write_text("\n".join(text))
        self.data = f"data={{clips: {data}}}"

    def study(self, name: str, dataset: dict, source: dict | None = None, **audio) -> None:
        study = {"title": name, "extends": "soundscapes", "dataset": dataset, "classes": "all"}
        study |= {"audio": {"clip_seconds": 2.0, **audio}}
        study |= {} if source is None else {"source": source}
        path = self.folder / f"workflow/studies/{name}.yaml"
        path.write_text(yaml.safe_dump(study))

    def make(self, *arguments: str, **environment: str) -> str:
        return self.run("--config", self.data, "--", *arguments, **environment)

    def jobs(self, *targets: str) -> dict[str, int]:
        return self.planned("--config", self.data, "--", *targets)

    def statuses(self, study: str) -> dict[str, str]:
        tables = sorted((self.folder / "results" / study / "audio").glob("t*/*.csv"))
        rows = [row for table in tables for row in csv.DictReader(table.open(newline=""))]
        return {row["id"]: row["status"] for row in rows}


def stores(study: str) -> list[str]:
    tables = [f"results/{study}/tables/acquired.{ending}" for ending in ("csv", "md")]
    return [f"results/{study}/features/train.h5", *tables]


def tables(study: str) -> list[str]:
    return [
        f"results/{study}/audio/{shard}.csv" for shard in ("train/000", "train/001", "test/000")
    ]


@pytest.fixture(scope="module")
def servers():
    with ExitStack() as stack:
        yield lambda handler, **attributes: stack.enter_context(serving(handler, **attributes))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    video = make_video(tmp_path_factory.mktemp("video") / "video.webm")
    return Site(video, statuses={"gone": [410]}, always={"late": 404})


@pytest.fixture(scope="module")
def project(tmp_path_factory, site, servers):
    """A study of clips on a site with videos, after a run up to its features."""
    project = Project(tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("lists"))
    address = f"{servers(SiteHandler, site=site)}/watch?v={{id}}"
    project.source = {"type": "youtube", "url": address, "clips_per_minute": 6000, "retries": 0}
    project.study("tube", {"name": "clips"}, project.source)
    project.make(*stores("tube"))
    return project


def test_clips_that_cannot_be_had_are_recorded_and_in_no_store(project):
    results = project.folder / "results/tube"
    assert project.statuses("tube") == {
        **dict.fromkeys([*TRAIN, *TEST], "ok"),
        **{"gone": "removed", "late": "unavailable"},
    }
    for split, ids in (("train", TRAIN), ("test", TEST)):
        with h5py.File(results / f"features/{split}.h5") as store:
            assert store["id"].asstr()[:].tolist() == [i for i in ids if i not in ("gone", "late")]
            x = store["x"][:]
            assert np.isfinite(x).all()
            assert (np.abs(x).max(axis=(1, 2)) > 0).all()
    with open(results / "features/problems.csv", newline="") as file:
        problems = {row["id"]: row for row in csv.DictReader(file)}
    # The others are all of one video, and are said to be the same sound.
    assert {i for i, row in problems.items() if row["consequence"] == "excluded"} == {
        "gone",
        "late",
    }
    assert re.match("removed: .*HTTP Error 410", problems["gone"]["problem"])
    assert problems["gone"]["consequence"] == "excluded"
    assert (results / "tables/acquired.csv").read_text() == (
        "class,split,listed,ok,share\nCat,train,3,3,1.0000\nCat,test,2,2,1.0000\n"
        "Dog,train,2,1,0.5000\nDog,test,1,0,0.0000\n"
    )
    assert "6 of 8 recordings are available" in (results / "tables/acquired.md").read_text()


def test_what_is_there_is_not_made_again_however_politely_it_is_asked_for(project):
    assert project.jobs(*stores("tube")) == {}
    manners = {"clips_per_minute": 1, "retries": 9, "concurrency": 1, "timeout": 5}
    project.study("tube", {"name": "clips"}, project.source | manners | {"retry_failed": True})
    assert project.jobs(*stores("tube")) == {}


def test_other_spectrograms_need_no_download(project):
    project.study("tube", {"name": "clips"}, project.source, mel_bins=32)
    jobs = project.jobs(*stores("tube"))
    assert jobs == {"compute_shard": 3, "build_features": 1}


def test_a_restart_downloads_nothing_again_and_what_follows_stays(project, site):
    project.study("tube", {"name": "clips"}, project.source)
    before = {path: (project.folder / path).read_bytes() for path in tables("tube")}
    tries = site.tries.copy()
    for path in before:
        (project.folder / path).unlink()
    project.make(*tables("tube"))
    assert site.tries == tries
    assert {path: (project.folder / path).read_bytes() for path in before} == before
    assert project.jobs(*stores("tube")) == {}


def test_failures_are_tried_again_on_demand_and_only_their_shards_change(project, site):
    project.study("tube", {"name": "clips"}, project.source | {"retry_failed": True})
    tries = site.tries.copy()
    again = ("--until", "acquire_shard", "--forcerun", "acquire_shard")
    project.run("tube", *again, "--config", project.data)
    assert site.tries - tries == {"gone": 1, "late": 1}
    assert {k: v for k, v in project.statuses("tube").items() if v != "ok"} == {
        "late": "unavailable"
    }
    assert project.jobs(*stores("tube")) == {
        **{"compute_shard": 1, "build_features": 1, "count_acquired": 1}
    }


def test_what_one_source_does_not_have_another_may(project, site, servers, tmp_path):
    hub = Hub({"data/0.parquet": parquet_file({"late": wav(2.0), "t": wav(2.0)})})
    source = {"type": "huggingface", "repository": "someone/mirror", "pattern": ["data/*"]}
    source["endpoint"] = servers(HubHandler, hub=hub)
    project.study("mirror", {"name": "clips"}, source)
    tries = site.tries.copy()
    project.make(*tables("mirror"), HF_HOME=str(tmp_path))
    assert project.statuses("mirror")["late"] == "ok"
    assert hub.downloads() == {"data/0.parquet": 1}
    assert site.tries == tries


def test_clips_may_lie_in_a_folder(project, tmp_path):
    (tmp_path / "eval").mkdir()
    for clip in ("-dash", "e", "t"):
        (tmp_path / "eval" / f"Y{clip}.wav").write_bytes(wav(2.0))
    source = {"type": "folder", "folder": str(tmp_path), "name": "Y{id}"}
    project.study("local", {"name": "clips"}, source)
    project.make(*tables("local"))
    assert {clip for clip, status in project.statuses("local").items() if status == "ok"} == {
        *("-dash", "e", "t")
    }


def test_a_list_that_grows_leaves_whole_shards_alone(project, tmp_path):
    files = [f"{n}.wav" for n in range(8)]
    for n, file in enumerate(files):
        (tmp_path / file).write_bytes(wav(2.0, 200 + 50 * n))
    rows = ["file,labels,split", *(f"{file},tone,{'test' if n == 5 else 'train'}" for n, file in
                                   enumerate(files[:6]))]  # fmt: skip
    list_file = tmp_path / "list.csv"
    list_file.write_text("\n".join([*rows, ""]))
    project.study("mine", {"name": "recordings", "list": str(list_file), "folder": str(tmp_path)})
    project.make("results/mine/features/train.h5")
    list_file.write_text("\n".join([*rows, *(f"{file},tone,train" for file in files[6:]), ""]))
    assert project.jobs("results/mine/features/train.h5") == {
        **{"list_recordings": 1, "acquire_shard": 1, "compute_shard": 1, "build_features": 1}
    }

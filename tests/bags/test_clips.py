"""Clips: each is a bag of its own, one manifest serves all classes, and padding is no frame."""

import csv
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from by_position import score_run, train_run

from weakneg.bags.manifest import list_clips, read_bags
from weakneg.config.stages import ClassesSettings, RunSettings, ScoreSettings
from weakneg.datasets import Clips, Dataset, Problem
from weakneg.errors import UserError
from weakneg.features import classes, from_files
from weakneg.features.store import Store, open_store, read_store, write_store
from weakneg.training.data import BagData

NAMES = ("Hum", "Hiss, loud", "Click")
FILES = ("train.h5", "test.h5", "problems.csv")


def made_up_clips(n: int, seed: int) -> Clips:
    """Clips of 1 to 4 frames of 6 numbers; one frame of every "Hum" is brighter."""
    rng = np.random.default_rng(seed)
    length = rng.integers(1, 5, n)
    x = rng.integers(20, 120, (n, 4, 6)).astype(np.uint8)
    y = (rng.random((n, 3)) < (0.2, 0.5, 0.1)).astype(np.uint8)
    hums = np.flatnonzero(y[:, 0])
    x[hums, rng.integers(0, length[hums])] += 100
    x[np.arange(4) >= length[:, None]] = 0
    ids = np.array([f"-{seed}_{number:04}" for number in range(n)])
    return Clips(x=x, length=length, id=ids, start=10.0 * np.arange(n), y=y)


def load_clips(folder):
    splits = {"train": made_up_clips(400, 0), "test": made_up_clips(200, 1)}
    return splits, [Problem("train", "--", "no features, but a list entry", "excluded")]


PUBLISHED = Dataset(
    kind="clips", class_names=NAMES, training_counts=(80, 200, 40), load_clips=load_clips
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """A folder with the stores, the manifests and the problems."""
    folder = tmp_path_factory.mktemp("clips")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(from_files.datasets, "load", lambda name: PUBLISHED)
        dataset = SimpleNamespace(name="made_up", list=None, test_split="test", unlisted="negative")
        settings = SimpleNamespace(dataset=dataset, audio=None)
        from_files.make(settings, None, [], *(folder / name for name in FILES))
    for split in ("train", "test"):
        list_clips(folder / f"{split}.h5", folder / f"{split}.csv")
    return folder


def test_the_stores_hold_the_clips_and_the_statistics_of_the_real_training_frames(clips):
    train, test = (read_store(clips / f"{split}.h5") for split in ("train", "test"))
    made_up = made_up_clips(400, 0)
    frames = made_up.x[np.arange(4) < made_up.length[:, None]]
    for store in (train, test):
        assert store.kind == "clips"
        np.testing.assert_allclose(store.mean, frames.mean(0))
        np.testing.assert_allclose(store.std, frames.std(0))
    for field in ("x", "length", "id", "start", "y"):
        np.testing.assert_array_equal(getattr(train, field), getattr(made_up, field))


def test_images_are_no_clips(tmp_path):
    images = Store(
        x=np.zeros((4, 1, 8, 8), np.uint8),
        id=np.arange(4),
        y=np.eye(4, 3, dtype=np.uint8),
        class_names=NAMES,
        mean=np.zeros(1),
        std=np.ones(1),
        kind="images",
        parameters={},
    )
    write_store(tmp_path / "train.h5", images)
    with pytest.raises(UserError, match=r"train\.h5 holds images, .*bags/CLASS/train\.csv\.$"):
        list_clips(tmp_path / "train.h5", tmp_path / "bags/train.csv")
    assert not (tmp_path / "bags").exists()


def test_problems_are_listed_beside_the_stores(clips):
    rows = list(csv.DictReader((clips / "problems.csv").open()))
    assert rows == [Problem("train", "--", "no features, but a list entry", "excluded")._asdict()]


def test_the_manifest_names_each_clip_with_its_labels(clips):
    rows = list(csv.DictReader((clips / "train.csv").open()))
    made_up = made_up_clips(400, 0)
    assert [row["id"] for row in rows] == made_up.id.tolist()
    assert [int(row["instances"]) for row in rows] == made_up.length.tolist()
    assert [float(row["start"]) for row in rows] == made_up.start.tolist()
    for row, y in zip(rows, made_up.y, strict=True):
        assert row["labels"] == ";".join(np.array(NAMES)[y == 1])


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_is_a_bag_of_its_frames_and_positive_where_it_carries_the_label(clips, name):
    store = read_store(clips / "train.h5")
    bags = read_bags(clips / "train.csv", store, name)[0]
    np.testing.assert_array_equal(bags.label, store.y[:, NAMES.index(name)])
    np.testing.assert_array_equal(bags.mask.sum(1), store.length)
    data = BagData(store, bags, torch.device("cpu"))
    x, mask = data.input(torch.arange(400))
    for clip in range(0, 400, 23):
        real = store.x[clip, : store.length[clip]]
        expected = (real - store.mean) / store.std
        np.testing.assert_allclose(x[clip][mask[clip]], expected, rtol=1e-4, atol=1e-5)


def test_a_manifest_of_ones_own_decides_labels_and_leaves_clips_out(clips, tmp_path):
    table = pd.read_csv(clips / "train.csv", dtype=str, keep_default_na=False)
    table.loc[5, "labels"] = "Hum; Click"
    table.loc[6, "instances"] = "1"
    table.drop(index=[0, 1]).to_csv(tmp_path / "mine.csv", index=False)
    store = read_store(clips / "train.h5")
    bags = read_bags(tmp_path / "mine.csv", store, "Click")[0]
    assert bags.bag.tolist() == list(range(2, 400))
    assert bags.label[3] == 1
    assert bags.mask[4].sum() == 1
    np.testing.assert_array_equal(bags.instances[3][bags.mask[3]] // 4, 5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bag": "400"}, "line 4: bag 400 is not in the feature store"),
        ({"bag": "-1"}, "line 4: bag -1 is not in the feature store"),
        ({"bag": "1"}, "line 4: bag 1 of the feature store is the clip '-0_0001', not '-0_0002'"),
        ({"bag": "1", "id": "-0_0001"}, "line 4: bag 1 occurs twice"),
        ({"bag": "two"}, "line 4: .*'two'"),
        ({"instances": "5"}, "line 4: instances is 5, but must be from 1 to"),
        ({"instances": "0"}, "line 4: instances is 0, but must be from 1 to"),
        ({"labels": "Humm"}, "line 4: 'Humm' in labels is not a class of the feature store"),
    ],
)
def test_a_line_that_does_not_fit_the_store_is_named(clips, tmp_path, change, words):
    table = pd.read_csv(clips / "train.csv", dtype=str, keep_default_na=False)
    for column, value in change.items():
        table.loc[2, column] = value
    table.to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(UserError, match=rf"mine\.csv, {words}"):
        read_bags(tmp_path / "mine.csv", read_store(clips / "train.h5"), "Hum")


def test_a_manifest_of_images_is_none_of_clips(clips, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("draw,bag,label,density,instances\n0,0,1,1.0,3\n")
    with pytest.raises(UserError, match=r"mine\.csv has no column id"):
        read_bags(path, read_store(clips / "train.h5"), "Hum")


def test_a_class_that_the_store_lacks_is_named(clips):
    with pytest.raises(UserError, match="class Roar is not in the feature store"):
        read_bags(clips / "train.csv", read_store(clips / "train.h5"), "Roar")


# ----------------------------------------------------------------------------- list of classes
def _list(clips: Path, output: Path, names, monkeypatch) -> list[dict]:
    monkeypatch.setattr(classes.datasets, "load", lambda name: PUBLISHED)
    settings = ClassesSettings(classes=list(names), dataset="made_up")
    classes.list_classes(clips / "train.h5", clips / "test.h5", settings, output)
    return list(csv.DictReader(output.open()))


def test_the_list_of_classes_counts_the_clips_of_both_splits(clips, tmp_path, monkeypatch):
    rows = _list(clips, tmp_path / "classes.csv", ["Click", "Hum"], monkeypatch)
    assert [(row["class"], row["number"], row["published_training_clips"]) for row in rows] == [
        ("Click", "2", "40"),
        ("Hum", "0", "80"),
    ]
    for row, number in zip(rows, (2, 0), strict=True):
        assert int(row["training_clips"]) == made_up_clips(400, 0).y[:, number].sum()
        assert int(row["test_clips"]) == made_up_clips(200, 1).y[:, number].sum()


@pytest.mark.parametrize(("value", "count"), [(0, "0"), (1, "200")])
def test_a_class_without_a_positive_or_negative_clip_is_named_with_its_split(
    clips, tmp_path, monkeypatch, value, count
):
    store = read_store(clips / "test.h5")
    y = store.y.copy()
    y[:, 2] = value
    write_store(tmp_path / "test.h5", replace(store, y=y))
    (tmp_path / "train.h5").write_bytes((clips / "train.h5").read_bytes())
    with pytest.raises(UserError, match=f"class Click: {count} of the 200 test clips"):
        _list(tmp_path, tmp_path / "classes.csv", NAMES, monkeypatch)
    assert not (tmp_path / "classes.csv").exists()


# ----------------------------------------------------------------------------- training
def _train(clips: Path, folder: Path, strategy: str, **model) -> pd.DataFrame:
    settings = {"model": {"name": "mlp", "pooling": "attention"} | model}
    settings |= {"sampling": {}, "training": {"epochs": 12, "validation_fraction": 0.2}}
    settings |= {"strategy": strategy, "options": {}, "seeds": [0], "draw_per_seed": False}
    identity = {"study": "s", "class": "Hum", "strategy": strategy, "fingerprint": "f"}
    files = (clips / "train.h5", clips / "train.csv")
    train_run(*files, folder, RunSettings.model_validate(settings), identity, "cpu", 1)
    score_settings = {"model": settings["model"], "score_batch_size": 64, "draw_per_seed": False}
    score_run(
        clips / "test.h5",
        clips / "test.csv",
        folder / "model.pt",
        "Hum",
        folder / "scores.parquet",
        ScoreSettings.model_validate(score_settings),
        "cpu",
        1,
    )
    return pd.read_parquet(folder / "scores.parquet")


@pytest.mark.parametrize("strategy", ["random", "margin", "badge", "svm_margin", "kl_embedding"])
@pytest.mark.parametrize("pooling", ["attention", "softmax_mean", "softmax_max"])
def test_it_learns_which_clips_hum(clips, tmp_path, strategy, pooling):
    scores = _train(clips, tmp_path / "run", strategy, pooling=pooling)
    hum = made_up_clips(200, 1).y[:, 0] == 1
    np.testing.assert_array_equal(scores.label, hum)
    assert np.median(scores.score[hum]) > np.quantile(scores.score[~hum], 0.9)


def test_what_lies_behind_a_short_clip_changes_nothing(clips, tmp_path):
    for split in ("train", "test"):
        store = read_store(clips / f"{split}.h5")
        x = store.x.copy()
        x[np.arange(4) >= store.length[:, None]] = 255
        write_store(tmp_path / f"{split}.h5", replace(store, x=x))
        (tmp_path / f"{split}.csv").write_bytes((clips / f"{split}.csv").read_bytes())
    before = _train(clips, tmp_path / "before", "gradient_embedding")
    pd.testing.assert_frame_equal(
        before, _train(tmp_path, tmp_path / "after", "gradient_embedding")
    )


def test_a_store_of_clips_is_read_back(tmp_path):
    made_up = made_up_clips(7, 3)
    ids = np.array(["--", "-abc", "ünï", "a b", "x;y", '"', "-"])
    store = Store(
        x=made_up.x,
        id=ids,
        y=made_up.y,
        class_names=NAMES,
        mean=np.zeros(6),
        std=np.ones(6),
        kind="clips",
        parameters={},
        length=made_up.length,
        start=made_up.start,
    )
    write_store(tmp_path / "clips.h5", store)
    with open_store(tmp_path / "clips.h5") as found:
        assert found.id.tolist() == ids.tolist()
        np.testing.assert_array_equal(found.start, made_up.start)
    list_clips(tmp_path / "clips.h5", tmp_path / "clips.csv")
    bags = read_bags(tmp_path / "clips.csv", read_store(tmp_path / "clips.h5"), "Hum")[0]
    np.testing.assert_array_equal(bags.label, made_up.y[:, 0])

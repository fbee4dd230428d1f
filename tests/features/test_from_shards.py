"""Stores of sound: shards that are joined, with the labels of the list of recordings."""

import csv
import fcntl
import json
import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from by_position import compute_shard
from sounds import RATE, SETTINGS, noise, ok, status_table, texts, write

from weakneg.audio.mel import LogMel
from weakneg.audio.recordings import COLUMNS
from weakneg.audio.status_table import StatusRow
from weakneg.bags.manifest import list_clips, read_bags
from weakneg.errors import UserError
from weakneg.features.from_shards import PSLA_MEAN, PSLA_STD
from weakneg.features.from_shards import join as join_features
from weakneg.features.store import open_store, read_store
from weakneg.io.hdf5 import content_digest
from weakneg.training.data import BagData

CLASSES = ("Bark, loud", "Hum", "Rain")
LISTED = [
    ("a", "train", "a.wav", "", "", "Hum;Rain", "", ""),
    ("b", "train", "b.wav", "", "", "Hum", "", ""),
    ("c", "train", "c.wav", "100", "103.7", "Bark, loud;Rain", "EVENTS", ""),
    ("gone", "train", "", "", "", "Hum", "", ""),
    ("d", "test", "d.wav", "", "", "", "", ""),
    ("e", "test", "e.wav", "", "", "Rain", "", ""),
]
EVENTS = [["Bark, loud", 100.2, 100.9], ["Rain", 100.95, 102.0], ["Bark, loud", 103.1, 103.1]]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A folder with shards, stores, the list and the problems."""
    folder = tmp_path_factory.mktemp("results")
    for number, row in enumerate(LISTED):
        seconds = 3.7 if row[0] == "c" else 0.8
        write(folder / f"{row[0]}.wav", noise(seconds, seed=number) * (1 + number))
    write_list(folder / "recordings.csv", LISTED)
    shards = {"train": [["a", "b"], ["gone"], ["c"]], "test": [["d", "e"]]}
    for split, parts in shards.items():
        for number, part in enumerate(parts):
            rows = [
                StatusRow("gone", "", None, None, "removed", "")
                if name == "gone"
                else ok(name, folder / f"{name}.wav")
                for name in part
            ]
            status = status_table(folder / "status.csv", rows)
            output = folder / "features" / "shards" / split / f"{number:03}.h5"
            compute_shard(status, SETTINGS | {"waveform": True}, output, 1)
    join(folder)
    return folder


def write_list(path: Path, rows: list[tuple]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([json.dumps(EVENTS) if cell == "EVENTS" else cell for cell in row])


def join(folder: Path, settings: dict | None = None, classes=CLASSES, recordings=None) -> None:
    shards = folder / "features" / "shards"
    join_features(
        recordings or folder / "recordings.csv",
        {split: sorted((shards / split).glob("*.h5")) for split in ("train", "test")},
        classes,
        SETTINGS | {"waveform": True, "statistics": "training"} | (settings or {}),
        *(folder / "features" / name for name in ("train.h5", "test.h5", "problems.csv")),
    )


def test_a_store_joins_its_shards(results):
    store = read_store(results / "features" / "train.h5")
    assert store.kind == "spectrograms"
    assert store.class_names == CLASSES
    assert store.id.tolist() == ["a", "b", "c@0", "c@1", "c@2", "c@3"]
    assert store.length.tolist() == [78, 78, 98, 98, 98, 68]
    assert store.start.tolist() == [0, 0, 100, 101, 102, 103]
    assert store.parameters["split"] == "train"
    assert store.x.dtype == np.float16
    parts = []
    for path in sorted((results / "features" / "shards" / "train").iterdir()):
        with h5py.File(path) as file:
            parts.append(file["x"][...])
    np.testing.assert_array_equal(store.x, np.concatenate(parts))
    with open_store(results / "features" / "train.h5") as opened:
        np.testing.assert_array_equal(opened.x[4], store.x[4])
        np.testing.assert_array_equal(opened.x[1:4:2], store.x[1:4:2])
        assert opened.waveform.shape == (6, RATE)
        assert opened.waveform[2].any()
    with h5py.File(results / "features" / "train.h5") as file:
        assert texts(file["recording"]) == ["a", "b", "c", "c", "c", "c"]


def test_the_digest_of_a_store_is_that_of_what_its_shards_hold(results, tmp_path):
    def digests(folder: Path) -> list[str]:
        with open_store(folder / "features" / "train.h5") as store:
            return [content_digest(store.x), content_digest(store.waveform)]

    before = digests(results)
    copied = Path(shutil.copytree(results, tmp_path / "copied"))
    assert digests(copied) == before
    shards = copied / "features" / "shards" / "train"
    write(copied / "a.wav", noise(0.8, seed=99))  # as long as it was
    status = status_table(copied / "s.csv", [ok(name, copied / f"{name}.wav") for name in "ab"])
    compute_shard(status, SETTINGS | {"waveform": True}, shards / "000.h5", 1)
    assert not set(digests(copied)) & set(before)
    (shards / "002.h5").unlink()
    with pytest.raises(UserError, match=r"train/002\.h5 is missing: delete both train\.h5"):
        digests(copied)


@pytest.mark.parametrize("resident_bytes", [None, 0], ids=["resident", "streamed"])
def test_bags_of_a_joined_store_are_the_rows_of_its_shards(results, tmp_path, resident_bytes):
    list_clips(results / "features" / "train.h5", tmp_path / "train.csv")
    with open_store(results / "features" / "train.h5") as store:
        bags = read_bags(tmp_path / "train.csv", store, "Hum")[0]
        data = BagData(store, bags, torch.device("cpu"), resident_bytes)
        rows = torch.tensor([5, 0, 1, 2, 2])
        ((x, _),) = data.inputs([rows])
        (waveform,) = data.waveforms([rows])
        np.testing.assert_array_equal(x[:, 0], store.x[...][rows])
        np.testing.assert_array_equal(waveform, store.waveform[...][rows])
        log_mel = LogMel.of(data.audio)(waveform[1:3] / 32767)  # of those that are not too loud
        real = slice(None, store.length[0])
    np.testing.assert_allclose(log_mel[:, real], x[1:3, 0, real].float(), atol=0.05)


def test_a_clip_has_the_labels_of_the_events_that_overlap_it(results):
    train, test = (read_store(results / "features" / f"{split}.h5") for split in ("train", "test"))
    assert train.y.tolist() == [[0, 1, 1], [0, 1, 0], [1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert test.y.tolist() == [[0, 0, 0], [0, 0, 1]]


def test_both_stores_carry_the_statistics_of_training(results):
    train, test = (read_store(results / "features" / f"{split}.h5") for split in ("train", "test"))
    real = np.concatenate(
        [x[:n].ravel() for x, n in zip(train.x, train.length, strict=True)]
    ).astype(float)
    for store in (train, test):
        np.testing.assert_allclose(store.mean, [real.mean()])
        np.testing.assert_allclose(store.std, [real.std()])


def test_the_statistics_of_psla_are_an_option(results, tmp_path):
    folder = Path(shutil.copytree(results, tmp_path / "copy"))
    join(folder, {"statistics": "psla"})
    store = read_store(folder / "features" / "test.h5")
    assert (store.mean.tolist(), store.std.tolist()) == ([PSLA_MEAN], [PSLA_STD])


def test_problems_are_listed(results):
    rows = list(csv.reader((results / "features" / "problems.csv").open()))
    assert rows[:2] == [
        ["split", "id", "problem", "consequence"],
        ["train", "gone", "removed", "excluded"],
    ]
    assert all(row[2].startswith("clipped") for row in rows[2:])


def test_results_can_be_moved(results, tmp_path, monkeypatch):
    expected = read_store(results / "features" / "train.h5").x
    shutil.copytree(results / "features", tmp_path / "somewhere" / "else")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(read_store("somewhere/else/train.h5").x, expected)


def test_a_missing_shard_is_an_error_and_not_zeros_or_the_numbers_of_another_study(
    results, tmp_path, monkeypatch
):
    store = Path(shutil.copytree(results / "features", tmp_path / "f")) / "train.h5"
    # HDF5 would look for it in the working directory.
    (tmp_path / "f" / "shards").rename(tmp_path / "shards")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"f/shards/train/000\.h5 is missing: delete both"):
        read_store(store)


def test_a_shard_that_is_not_the_one_that_was_joined_is_an_error(results, tmp_path):
    store = Path(shutil.copytree(results / "features", tmp_path / "f")) / "train.h5"
    shards = tmp_path / "f" / "shards" / "train"
    shutil.copy(shards / "002.h5", shards / "000.h5")
    with pytest.raises(UserError, match=r"000\.h5 is not what .*train\.h5 was made from"):
        read_store(store)


def test_shards_that_others_have_locked_are_read(results):
    """As where the file system has no locks: HDF5 would not open them."""
    store = results / "features" / "train.h5"
    expected = read_store(store).x
    with ExitStack() as stack:
        for path in (store, *(results / "features" / "shards" / "train").iterdir()):
            fcntl.flock(stack.enter_context(open(path)), fcntl.LOCK_EX)
        np.testing.assert_array_equal(read_store(store).x, expected)


def test_the_same_shards_give_the_same_bytes(results, tmp_path):
    before = (results / "features" / "train.h5").read_bytes()
    folder = Path(shutil.copytree(results, tmp_path / "copy"))
    time.sleep(1.1)
    join(folder)
    assert (folder / "features" / "train.h5").read_bytes() == before


def test_what_does_not_belong_together_is_an_error(results, tmp_path):
    folder = Path(shutil.copytree(results, tmp_path / "copy"))
    train = folder / "features" / "shards" / "train"

    def message(**changes) -> str:
        with pytest.raises(UserError) as error:
            join(folder, **changes)
        return str(error.value).replace(str(tmp_path), "")

    def listed(change) -> Path:
        write_list(tmp_path / "list.csv", change(LISTED))
        return tmp_path / "list.csv"

    assert "000.h5 was made with different settings" in message(settings={"mel_bins": 64})
    assert "line 2: 'Rain' is not one of the classes" in message(classes=CLASSES[:2])
    twice = listed(lambda rows: [*rows, rows[0]])
    assert "line 8: the id 'a' occurs twice" in message(recordings=twice)
    less = listed(lambda rows: rows[1:])
    assert "the 4 recordings in the shards of the train split are not the 3" in message(
        recordings=less
    )
    other = listed(lambda rows: [("z", *rows[0][1:]), *rows[1:]])
    assert "are not the 4 in the list" in message(recordings=other)
    wrong = listed(lambda rows: [(*rows[0][:6], '[["Hum", "x"]]', "")])
    assert "line 2: events cannot be read" in message(recordings=wrong)
    (tmp_path / "list.csv").write_text("id,split\n")
    assert "has no column file" in message(recordings=tmp_path / "list.csv")
    (train / "001.h5").write_bytes(b"x")
    assert "001.h5 is truncated or damaged" in message()
    shutil.copy(train / "002.h5", train / "001.h5")
    assert "two clips of the train split have the id 'c@0'" in message()
    for path in train.iterdir():
        if path.name != "001.h5":
            path.unlink()
    shutil.copy(results / "features" / "shards" / "train" / "001.h5", train / "001.h5")
    assert "the train split has no usable clips" in message()
    assert (
        "no usable clips; the most common problem (1 times, first for 'gone'): removed."
        in message()
    )

"""The feature store: what is written is read, by the same bytes, and a bad file is named."""

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from by_position import build_features
from full_disk import assert_one_sentence
from hypothesis import given, settings
from hypothesis import strategies as st

from weakneg.analysis.selections import read_clips
from weakneg.bags.manifest import list_clips, read_bags
from weakneg.config.stages import ClassesSettings
from weakneg.datasets import UNKNOWN, digits
from weakneg.errors import UserError
from weakneg.features.classes import list_classes
from weakneg.features.from_files import channel_statistics, one_hot
from weakneg.features.store import Store, open_store, read_store, write_store

FILES = ("train.h5", "test.h5", "problems.csv")


def _store(n: int = 12, seed: int = 0) -> Store:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, 3, 4, 4), dtype=np.uint8)
    mean, std = channel_statistics(x)
    return Store(
        x=x,
        id=np.arange(n),
        y=one_hot(rng.integers(0, 3, n), 3),
        class_names=("cat", "dog", "Händel"),
        mean=mean,
        std=std,
        kind="images",
        parameters={"split": "train", "dataset": "made up"},
    )


def _assert_equal(a: Store, b: Store) -> None:
    for name in ("x", "id", "y", "mean", "std"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert (a.class_names, a.kind, a.parameters) == (b.class_names, b.kind, b.parameters)


@pytest.mark.parametrize("ids", [np.arange(12), np.array([f"ölclip-{i}" for i in range(12)])])
def test_a_store_is_read_back_as_it_was_written(tmp_path, ids):
    store = replace(_store(), id=ids)
    write_store(tmp_path / "x.h5", store)
    _assert_equal(read_store(tmp_path / "x.h5"), store)


def test_an_open_store_reads_single_instances(tmp_path):
    store = _store()
    write_store(tmp_path / "x.h5", store)
    with open_store(tmp_path / "x.h5") as opened:
        assert isinstance(opened.x, h5py.Dataset)
        assert np.array_equal(opened.x[7], store.x[7])


def test_the_same_contents_are_the_same_bytes(tmp_path):
    write_store(tmp_path / "a.h5", _store())
    time.sleep(1.1)  # time stamps of HDF5 count seconds
    write_store(tmp_path / "b.h5", _store())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_store_has_room_for_the_names_of_thousands_of_classes(tmp_path):
    names = tuple(f"species {number}" for number in range(10_000))
    store = replace(_store(), y=np.zeros((12, len(names)), np.uint8), class_names=names)
    write_store(tmp_path / "x.h5", store)
    assert read_store(tmp_path / "x.h5").class_names == names


FULL_DISK = """
import resource, signal, sys
import numpy as np
from weakneg.errors import UserError
from weakneg.features.store import Store, write_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
n = 2000
x, y = np.ones((n, 64), np.float32), np.zeros((n, 1), np.uint8)
store = Store(x, np.arange(n), y, ("cat",), np.zeros(1), np.ones(1), "images", {})
try:
    write_store(sys.argv[1], store)
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [2_000, 520_000, 531_000])
def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(tmp_path, limit):
    """Also if it is full only in the last array."""
    output = tmp_path / "features" / "train.h5"
    assert_one_sentence(FULL_DISK, [output], output, limit)


def test_positive_marks_the_instances_of_a_class():
    store = replace(_store(4), y=np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]]))
    assert store.positive("dog").tolist() == [False, True, True, False]
    with pytest.raises(UserError, match=r"cow is not in the feature store.*cat, dog"):
        store.positive("cow")


@pytest.mark.parametrize(
    "change",
    [
        {"id": np.zeros(12, dtype=int)},
        {"id": np.arange(11)},
        {"y": np.ones((11, 3), dtype=np.uint8)},
        {"y": np.full((12, 3), 2, dtype=np.uint8)},
    ],
    ids=["same id twice", "an id too few", "labels too few", "label 2"],
)
def test_a_store_whose_parts_disagree_is_not_written(tmp_path, change):
    with pytest.raises(ValueError, match="must be"):
        write_store(tmp_path / "x.h5", replace(_store(), **change))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_store_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.h5 is missing"):
        read_store(tmp_path / "absent.h5")


@pytest.mark.parametrize("keep", [0, 100, 0.5, -1])
def test_a_store_cut_short_is_named(tmp_path, keep):
    path = tmp_path / "x.h5"
    write_store(path, _store())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep) if keep == 0.5 else keep])
    with pytest.raises(UserError, match=r"x\.h5 is truncated"):
        read_store(path)


@pytest.mark.parametrize("part", ["x", "id", "y", "kind", "class_names"])
def test_a_store_that_lacks_a_part_is_named(tmp_path, part):
    write_store(tmp_path / "x.h5", _store())
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        del (file if part in file else file.attrs)[part]
    with pytest.raises(UserError, match=r"x\.h5 is truncated or damaged: delete it"):
        read_store(tmp_path / "x.h5")


@pytest.mark.parametrize("closed", [".", "x.h5"])
def test_a_store_that_may_not_be_read_is_not_called_damaged(closed):
    code = """
import os, sys
from weakneg.errors import UserError
from weakneg.features.store import open_store
if os.getuid() == 0:
    os.setuid(65534)
try:
    with open_store(sys.argv[1]):
        pass
except UserError as error:
    print(error)
"""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        folder.chmod(0o755)
        write_store(folder / "x.h5", _store())
        (folder / closed).chmod(0)
        message = subprocess.run(
            [sys.executable, "-c", code, folder / "x.h5"], text=True, stdout=subprocess.PIPE
        ).stdout
        owner = folder.owner()
        folder.chmod(0o755)
    assert "x.h5 cannot be read (Permission denied" in message
    assert "permission to read it" in message
    assert "delete" not in message
    assert closed == "." or f"belongs to {owner}" in message


def test_another_format_version_is_refused(tmp_path):
    path = tmp_path / "x.h5"
    write_store(path, _store())
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(UserError, match=r"x\.h5 has format version 99, but this code reads 3"):
        read_store(path)


def test_an_hdf5_file_of_another_kind_is_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = [1, 2, 3]
    with pytest.raises(UserError, match=r"x\.h5 is HDF5 but not a feature store"):
        read_store(tmp_path / "x.h5")


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 20),
    channels=st.integers(1, 4),
    top=st.sampled_from([1, 16, 255]),
    seed=st.integers(0, 1000),
)
def test_channel_statistics_are_those_of_the_numbers(n, channels, top, seed):
    x = np.random.default_rng(seed).integers(0, top, (n, channels, 3, 5), np.uint8, endpoint=True)
    mean, std = channel_statistics(x)
    assert np.allclose(mean, x.mean(axis=(0, 2, 3)))
    assert np.allclose(std, x.std(axis=(0, 2, 3)))


def test_features_of_digits_are_its_images_with_the_statistics_of_training(tmp_path):
    build_features("digits", tmp_path, *(tmp_path / name for name in FILES))
    train, test = read_store(tmp_path / "train.h5"), read_store(tmp_path / "test.h5")
    for split, store in (("train", train), ("test", test)):
        images = digits.load_images(split)
        assert np.array_equal(store.x, images.x)
        assert np.array_equal(store.y.argmax(axis=1), images.y)
        assert (store.y.sum(axis=1) == 1).all()
        assert store.class_names == digits.CLASSES
        assert np.allclose(store.mean, train.x.mean(axis=(0, 2, 3)))
        assert np.allclose(store.std, train.x.std(axis=(0, 2, 3)))
    assert not set(train.id) & set(test.id)


# ---- what nobody knows -------------------------------------------------------------------------
def _clips(y: np.ndarray, **parameters: str) -> Store:
    n, c = y.shape
    return Store(
        **{"x": np.zeros((n, 3, 2), np.float32), "id": np.array([f"c{i}" for i in range(n)])},
        **{"y": y, "class_names": tuple("abcd"[:c]), "mean": np.zeros(2), "std": np.ones(2)},
        **{"kind": "clips", "parameters": parameters, "start": np.zeros(n)},
        length=np.full(n, 3),
    )


def test_only_a_store_that_says_so_has_unknown_rows(tmp_path):
    y = np.array([[1, UNKNOWN], [0, 1], [UNKNOWN, 0]], np.uint8)
    with pytest.raises(ValueError, match="y must be"):
        write_store(tmp_path / "a.h5", _clips(y))
    store = _clips(y, unlisted="unknown")
    write_store(tmp_path / "a.h5", store)
    read = read_store(tmp_path / "a.h5")
    _assert_equal(read, store)
    assert read.negatives_observed
    assert read.positive("b").tolist() == [False, True, False]
    assert read.negative("b").tolist() == [False, False, True]


def test_a_manifest_of_clips_says_what_is_known_only_where_a_study_asks(tmp_path):
    y = np.array([[1, 0], [0, 1], [0, 0]], np.uint8)
    lists = {}
    for unlisted in ("negative", "unknown"):
        said = {"unlisted": unlisted} if unlisted == "unknown" else {}
        write_store(tmp_path / f"{unlisted}.h5", _clips(y, **said))
        list_clips(tmp_path / f"{unlisted}.h5", tmp_path / f"{unlisted}.csv")
        lists[unlisted] = (tmp_path / f"{unlisted}.csv").read_text().splitlines()
        bags = read_bags(tmp_path / f"{unlisted}.csv", _clips(y, **said), "a")[0]
        assert bags.label.tolist() == [1, 0, 0]
        assert bags.negatives_observed == (unlisted == "unknown")
    assert lists["negative"][:2] == ["bag,id,start,instances,labels", "0,c0,0.000,3,a"]
    assert lists["unknown"][:2] == ["bag,id,start,instances,labels,negatives", "0,c0,0.000,3,a,b"]


@pytest.mark.parametrize("seed", range(5))
def test_bags_have_the_three_values_of_their_store(tmp_path, seed):
    y = np.random.default_rng(seed).choice(np.array([0, 1, UNKNOWN], np.uint8), (40, 4))
    store = _clips(y, unlisted="unknown")
    write_store(tmp_path / "a.h5", store)
    list_clips(tmp_path / "a.h5", tmp_path / "a.csv")
    expected = np.where(y == UNKNOWN, -1, y.astype(int))
    clips = read_clips(tmp_path / "a.csv")
    for c, name in enumerate("abcd"):
        bags = read_bags(tmp_path / "a.csv", store, name)[0]
        assert bags.label.tolist() == expected[:, c].tolist()
        assert bags.label.dtype == np.int8
        listed = [
            1 if name in row.labels else 0 if name in row.negatives else -1
            for row in clips.itertuples()
        ]
        assert listed == expected[:, c].tolist()


def test_a_clip_that_is_positive_and_negative_is_named(tmp_path):
    store = _clips(np.array([[1, 0]], np.uint8))
    text = "bag,id,start,instances,labels,negatives\n0,c0,0.000,3,a;b,c;b\n"
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(
        UserError, match=r"a\.csv, line 2: 'b' is in labels and in negatives: remove"
    ):
        read_bags(tmp_path / "a.csv", store, "b")


def test_the_list_of_classes_counts_what_is_known(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.choice(np.array([0, 1, UNKNOWN], np.uint8), (60, 2))
    for split in ("train", "test"):
        write_store(tmp_path / f"{split}.h5", _clips(y, unlisted="unknown"))
    stores = (tmp_path / "train.h5", tmp_path / "test.h5")
    settings = ClassesSettings(classes=["a", "b"], dataset="instances")
    list_classes(*stores, settings, tmp_path / "classes.csv")
    table = pd.read_csv(tmp_path / "classes.csv")
    for split in ("training", "test"):
        for ending, value in (("clips", 1), ("negatives", 0), ("unknown", UNKNOWN)):
            assert table[f"{split}_{ending}"].tolist() == (y == value).sum(axis=0).tolist()
    y[:, 1][y[:, 1] == 0] = UNKNOWN
    write_store(tmp_path / "test.h5", _clips(y, unlisted="unknown"))
    words = "class b: .* clips are positive and 0 are known to be negative, .* column negatives"
    with pytest.raises(UserError, match=words):
        list_classes(*stores, settings, tmp_path / "classes.csv")

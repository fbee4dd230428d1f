"""Bags of many classes: how they are drawn, written, read and divided."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many_classes import NAMES, store

from weakneg.bags.draw import UNKNOWN, draw_of_all
from weakneg.bags.manifest import draw_bags, list_clips, read_bags
from weakneg.bags.split import split_validation
from weakneg.config.stages import ManifestSettings
from weakneg.errors import UserError
from weakneg.features.store import Store, open_store, write_store

RNG = np.random.default_rng(0)


def images(n=50, classes=("a", "b", "c")) -> Store:
    return Store(
        x=np.zeros((n, 1, 2, 2), np.float32),
        id=np.arange(n),
        y=(RNG.random((n, len(classes))) < 0.3).astype(np.uint8),
        class_names=classes,
        mean=np.zeros(1),
        std=np.ones(1),
        kind="images",
        parameters={},
    )


def test_a_bag_is_positive_for_the_classes_of_its_instances():
    y = (RNG.random((50, 3)) < 0.3).astype(np.uint8)
    bags = draw_of_all(y, 4, 0)
    assert bags.instances.shape == (12, 4)
    assert len(np.unique(bags.instances)) == 48, "each instance once; two are left over"
    for label, instances in zip(bags.label, bags.instances, strict=True):
        assert np.array_equal(label, y[instances].max(0))
    assert not np.array_equal(bags.instances, draw_of_all(y, 4, 1).instances)
    with pytest.raises(UserError, match="decrease bag_size"):
        draw_of_all(y, 26, 0)


def test_a_manifest_of_images_has_the_labels_of_all_classes(tmp_path: Path):
    train, test = images(), images(30)
    for name, each in (("train", train), ("test", test)):
        write_store(tmp_path / f"{name}.h5", each)
    paths = [tmp_path / name for name in ("train.h5", "test.h5", "train.csv", "test.csv")]
    chosen = ManifestSettings(bag_size=4, seeds=[0, 5], draw_per_seed=True, classes=["c", "a"])
    draw_bags("all classes", chosen, *paths)
    with open_store(paths[0]) as features:
        draws = read_bags(paths[2], features, ["c", "a"])
        assert list(draws) == [0, 5]
        for bags in draws.values():
            for label, instances in zip(bags.label, bags.instances, strict=True):
                assert np.array_equal(label, train.y[instances][:, [2, 0]].max(0))
        assert not np.array_equal(draws[0].instances, draws[5].instances)
        other = read_bags(paths[2], features, ["a"])
        assert np.array_equal(other[0].label, draws[0].label[:, [1]])
        with pytest.raises(UserError, match="class d is not"):
            read_bags(paths[2], features, ["d"])


def test_a_manifest_of_clips_has_labels_that_are_unknown(tmp_path: Path):
    features = store(n=20)
    y = np.where(RNG.random(features.y.shape) < 0.3, 255, features.y).astype(np.uint8)
    more = {"id": np.arange(20).astype(str), "y": y, "parameters": {"unlisted": "unknown"}}
    known = Store(**vars(features) | more)
    write_store(tmp_path / "train.h5", known)
    list_clips(tmp_path / "train.h5", tmp_path / "train.csv")
    with open_store(tmp_path / "train.h5") as opened:
        bags = read_bags(tmp_path / "train.csv", opened, NAMES)[0]
        one = read_bags(tmp_path / "train.csv", opened, NAMES[2])[0]
    assert bags.negatives_observed
    assert np.array_equal(bags.label, np.where(y == 255, UNKNOWN, y.astype(int)))
    assert np.array_equal(bags.label[:, 2], one.label)


# ---- the validation split ------------------------------------------------------------------------
@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 300),
    n_classes=st.integers(2, 8),
    rate=st.floats(0.0, 0.6),
    fraction=st.floats(0.05, 0.6),
    n_groups=st.integers(2, 300),
    seed=st.integers(0, 10_000),
)
def test_no_group_is_on_both_sides_and_no_bag_is_lost(n, n_classes, rate, fraction, n_groups, seed):
    rng = np.random.default_rng(seed)
    label = (rng.random((n, n_classes)) < rate).astype(np.int8)
    group = rng.integers(n_groups, size=n)
    group[:2] = 0, 1  # two at least
    train, validation = split_validation(label, fraction, seed, group)
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(n))
    assert len(train)
    assert len(validation)
    assert not set(group[train]) & set(group[validation])
    if len(set(group[validation])) > 1:  # a single one may be all that can be held out
        assert np.array_equal(label[train].any(0), label.any(0))
    again = split_validation(label, fraction, seed, group)
    assert np.array_equal(validation, again[1])


def test_about_the_same_share_of_every_class_is_held_out():
    label = (RNG.random((3000, 20)) < np.geomspace(0.005, 0.5, 20)).astype(np.int8)
    _, validation = split_validation(label, 0.2, 0)
    assert len(validation) / 3000 == pytest.approx(0.2, abs=0.03)
    positives, held = label.sum(0), label[validation].sum(0)
    assert (np.abs(held - 0.2 * positives) <= np.maximum(2, 0.05 * positives)).all()
    _, other = split_validation(label, 0.2, 1)
    assert not np.array_equal(validation, other)


def test_one_class_is_divided_as_if_it_were_no_list():
    label = (RNG.random(200) < 0.3).astype(np.int8)
    for one, many in zip(
        split_validation(label, 0.2, 3), split_validation(label[:, None], 0.2, 3), strict=True
    ):
        assert np.array_equal(one, many)


def test_a_rare_class_is_divided_before_a_frequent_one_uses_up_its_bags():
    label = np.zeros((1000, 3), np.int8)
    label[:900, 0] = 1
    label[100:120, 1] = 1
    for seed in range(5):
        _, validation = split_validation(label, 0.2, seed)
        assert label[validation].sum(0).tolist() == [180, 4, 0]

"""Bags: what a draw promises, what a manifest keeps, and what a validation split leaves apart."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from by_position import build_features, draw_manifests
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from scipy import stats

from weakneg.bags.draw import UNKNOWN, Bags
from weakneg.bags.draw import draw as draw_bags
from weakneg.bags.manifest import read_manifest, write_manifest
from weakneg.bags.split import split_validation
from weakneg.errors import UserError
from weakneg.features.from_files import one_hot
from weakneg.features.store import Store, read_store, write_store

densities = st.one_of(st.just("uniform"), st.floats(0.01, 1.0))


@st.composite
def draws(draw):
    """Instances, some of them positive, and the bags drawn from them."""
    n_positive = draw(st.integers(1, 60))
    n_negative = draw(st.integers(0, 300))
    bag_size = draw(st.integers(1, 9))
    density = draw(densities)
    seed = draw(st.integers(0, 2**40))
    positive = np.zeros(n_positive + n_negative, dtype=bool)
    order = np.random.default_rng(draw(st.integers(0, 99))).permutation(len(positive))
    positive[order[:n_positive]] = True
    try:
        return positive, bag_size, density, seed, draw_bags(positive, bag_size, density, seed)
    except UserError:  # too few negatives or too thin a density: tests of their own, below
        assume(False)


def _assert_equal(a: Bags, b: Bags) -> None:
    for name in ("bag", "label", "density", "instances"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
        assert getattr(a, name).dtype == getattr(b, name).dtype, name


# ---- drawing -----------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(draws())
def test_every_bag_has_bag_size_instances_and_no_instance_is_in_two(drawn):
    positive, bag_size, _, _, bags = drawn
    assert bags.instances.shape == (len(bags), bag_size)
    used = bags.instances.ravel()
    assert len(np.unique(used)) == len(used)
    assert used.min() >= 0
    assert used.max() < len(positive)
    assert bags.bag.tolist() == list(range(len(bags)))


@settings(max_examples=200, deadline=None)
@given(draws())
def test_all_positives_are_used_and_too_few_negatives_for_a_bag_are_left(drawn):
    positive, bag_size, _, _, bags = drawn
    left = np.setdiff1d(np.arange(len(positive)), bags.instances)
    assert not positive[left].any()
    assert len(left) < bag_size


@settings(max_examples=200, deadline=None)
@given(draws())
def test_a_bag_is_positive_when_an_instance_is_and_its_density_is_their_share(drawn):
    positive, _, _, _, bags = drawn
    assert np.array_equal(bags.label, positive[bags.instances].any(axis=1))
    assert np.array_equal(bags.density, positive[bags.instances].mean(axis=1))
    assert set(bags.label) == {0, 1}


@settings(max_examples=200, deadline=None)
@given(draws())
def test_a_fixed_density_holds_for_all_positive_bags_but_one(drawn):
    positive, bag_size, density, _, bags = drawn
    assume(density != "uniform")
    expected = math.floor(density * bag_size + 0.5)
    counts = np.sort(positive[bags.instances].sum(axis=1)[bags.label == 1])
    assert (counts[1:] == expected).all()
    assert 1 <= counts[0] <= expected


@settings(max_examples=50, deadline=None)
@given(draws())
def test_the_same_seed_draws_the_same_bags_and_another_seed_others(drawn):
    positive, bag_size, density, seed, bags = drawn
    _assert_equal(draw_bags(positive, bag_size, density, seed), bags)
    assume(len(bags) >= 20)
    try:
        other = draw_bags(positive, bag_size, density, seed + 1)
    except UserError:  # that seed wants more negatives than there are
        reject()
    assert not np.array_equal(other.instances, bags.instances)


@pytest.mark.parametrize("bag_size", [2, 5, 10])
def test_uniform_density_makes_every_number_of_positives_equally_frequent(bag_size):
    positive = np.arange(60_000) < 10_000
    bags = draw_bags(positive, bag_size, "uniform", 0)
    counts = positive[bags.instances].sum(axis=1)[bags.label == 1]
    observed = np.bincount(counts, minlength=bag_size + 1)
    assert observed[0] == 0
    assert stats.chisquare(observed[1:]).pvalue > 0.01


def test_neither_the_number_of_a_bag_nor_a_place_in_it_tells_the_label():
    positive = np.arange(50_000) < 5_000
    bags = draw_bags(positive, 5, "uniform", 0)
    assert stats.mannwhitneyu(bags.bag[bags.label == 1], bags.bag[bags.label == 0]).pvalue > 0.01
    assert stats.chisquare(positive[bags.instances].sum(axis=0)).pvalue > 0.01
    # Nor does a place in the store: negatives are rows 5,000..49,999, whichever bag they are in.
    for label in (0, 1):
        rows = bags.instances[bags.label == label]
        assert rows[~positive[rows]].mean() == pytest.approx(27_500, rel=0.02)


def test_the_size_of_cifar10_gives_a_sixth_of_positive_bags():
    positive = np.arange(50_000) % 10 == 3
    bags = draw_bags(positive, 5, "uniform", 0)
    assert len(bags) == 10_000
    assert bags.label.mean() == pytest.approx(1 / 6, abs=0.005)


@pytest.mark.parametrize(
    ("n_positive", "n_negative", "bag_size", "density", "words"),
    [
        (0, 50, 5, "uniform", "no positive instances"),
        (10, 30, 5, 0.2, "negative instances are too few.*bag_size.*label_density"),
        (10, 0, 5, 1.0, "negative instances are too few.*bag_size.*label_density"),
        (10, 90, 5, 0.05, "label_density 0.05 of bag_size 5"),
    ],
)
def test_impossible_bags_are_refused_with_the_keys_to_change(
    n_positive, n_negative, bag_size, density, words
):
    positive = np.arange(n_positive + n_negative) < n_positive
    with pytest.raises(UserError, match=words):
        draw_bags(positive, bag_size, density, 0)


# ---- manifests ---------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(draws(), st.lists(st.integers(0, 10**9), min_size=1, max_size=3, unique=True))
def test_a_manifest_is_read_back_exactly(tmp_path_factory, drawn, seeds):
    positive, bag_size, density, _, _ = drawn
    path = tmp_path_factory.mktemp("bags") / "train.csv"
    try:
        written = {seed: draw_bags(positive, bag_size, density, seed) for seed in seeds}
    except UserError:  # another seed may need more negatives
        assume(False)
    write_manifest(path, written)
    read = read_manifest(path, len(positive))
    assert list(read) == seeds
    for seed in seeds:
        _assert_equal(read[seed], written[seed])


def test_a_manifest_is_text_that_a_person_can_read(tmp_path):
    bags = Bags(
        bag=np.array([0, 1]),
        label=np.array([1, 0], dtype=np.int8),
        density=np.array([0.4, 0.0]),
        instances=np.array([[7, 3, 9, 1, 0], [2, 4, 5, 6, 8]]),
    )
    write_manifest(tmp_path / "train.csv", {0: bags})
    assert (tmp_path / "train.csv").read_text() == (
        "draw,bag,label,density,instances\n0,0,1,0.4,7 3 9 1 0\n0,1,0,0.0,2 4 5 6 8\n"
    )


def test_a_manifest_of_ones_own_may_have_bags_of_any_size_and_columns_in_any_order(tmp_path):
    path = tmp_path / "mine.csv"
    text = "instances,label,bag,draw,density,note\n4 2 0,1,10,0,0.33,loud\n\n1,0,7,0,0,\n"
    path.write_text(text.replace("\n", "\r\n"), encoding="utf-8-sig")  # as spreadsheets save
    bags = read_manifest(path, 5)[0]
    assert bags.bag.tolist() == [10, 7]
    assert bags.label.tolist() == [1, 0]
    assert bags.instances[bags.mask].tolist() == [4, 2, 0, 1]
    assert bags.mask.tolist() == [[True, True, True], [True, False, False]]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("0,1,1,0.5,4 5", "line 3: instance 5 is not in the feature store, whose rows are 0 to 4"),
        ("0,1,1,0.5,4 -1", "line 3: instance -1 is not in"),
        ("0,1,1,0.5,3 3", "line 3: instance 3 occurs twice"),
        ("0,1,1,0.5,1 4", "line 3: instance 1 occurs twice"),
        ("0,0,1,0.5,3 4", "line 3: bag 0 occurs twice"),
        ("0,1,2,0.5,3 4", "line 3: label is 2, but must be 0, 1 or unknown"),
        ("0,1,1,1.5,3 4", "line 3: density is 1.5"),
        ("0,1,1,nan,3 4", "line 3: density is nan"),
        ("0,1,1,0.5,", "line 3: bag 1 has no instances"),
        ("0,1,yes,0.5,3 4", "line 3: .*'yes'"),
        ("0,1,1,0.5,3;4", "line 3: .*'3;4'"),
        ("0,1,1,0.5", "line 3 has 4 values, the header has 5"),
    ],
)
def test_a_bad_row_is_refused_with_file_and_line(tmp_path, row, words):
    path = tmp_path / "mine.csv"
    path.write_text(f"draw,bag,label,density,instances\n0,0,0,0.0,0 1 2\n{row}\n")
    with pytest.raises(UserError, match=rf"mine\.csv, {words}"):
        read_manifest(path, 5)


def test_an_instance_may_be_in_bags_of_two_draws(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("draw,bag,label,density,instances\n0,0,0,0.0,0 1\n1,0,0,0.0,1 0\n")
    assert list(read_manifest(path, 2)) == [0, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("\0\n", "no column draw"),
        ("", "no column draw"),
        ("draw,bag,label,instances\n0,0,1,3\n", "no column density"),
        ("draw,bag,label,density,instances\n", "no bags"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused_by_name(tmp_path, text, words):
    path = tmp_path / "mine.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=rf"mine\.csv .*{words}"):
        read_manifest(path, 5)


# ---- the stage ---------------------------------------------------------------------------------

SETTINGS = {"bag_size": 5, "label_density": "uniform", "draw_per_seed": False, "seeds": [0, 1, 2]}


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    build_features(
        "digits", folder, folder / "train.h5", folder / "test.h5", folder / "problems.csv"
    )
    return folder


def _build(stores: Path, target: Path, class_name: str = "3", **changes) -> dict[str, dict]:
    draw_manifests(
        stores / "train.h5",
        stores / "test.h5",
        class_name,
        SETTINGS | changes,
        target / "train.csv",
        target / "test.csv",
    )
    return {
        split: read_manifest(target / f"{split}.csv", len(read_store(stores / f"{split}.h5").x))
        for split in ("train", "test")
    }


def test_the_bags_of_a_split_hold_images_of_that_split_and_their_labels_are_true(digits, tmp_path):
    images = {}
    for split, drawn in _build(digits, tmp_path).items():
        store = read_store(digits / f"{split}.h5")
        bags = drawn[0]
        assert np.array_equal(bags.label, (store.y[bags.instances, 3] == 1).any(axis=1))
        images[split] = set(store.id[bags.instances].ravel())
    assert not images["train"] & images["test"]


def test_one_draw_serves_all_seeds_unless_each_draws_its_own(digits, tmp_path):
    one = _build(digits, tmp_path)
    each = _build(digits, tmp_path, draw_per_seed=True, seeds=[4, 0])
    for split in ("train", "test"):
        assert list(one[split]) == [0]
        assert list(each[split]) == [4, 0]
        _assert_equal(each[split][0], one[split][0])
        assert not np.array_equal(each[split][0].instances, each[split][4].instances)


def test_a_manifest_depends_on_nothing_but_its_own_settings(digits, tmp_path):
    """Same settings, same bytes; and a seed's bags do not change with the seeds beside it."""
    _build(digits, tmp_path / "a")
    _build(digits, tmp_path / "b")
    for split in ("train.csv", "test.csv"):
        assert (tmp_path / "a" / split).read_bytes() == (tmp_path / "b" / split).read_bytes()
    alone = _build(digits, tmp_path, draw_per_seed=True, seeds=[7])
    beside = _build(digits, tmp_path, draw_per_seed=True, seeds=[1, 7])
    _assert_equal(alone["train"][7], beside["train"][7])


def test_classes_and_splits_have_random_numbers_of_their_own(tmp_path):
    """Two classes with the same positive rows, and two splits with the same store: other bags."""
    y = one_hot(np.arange(200) % 2, 2)
    store = Store(
        x=np.zeros((200, 1, 2, 2), dtype=np.uint8),
        id=np.arange(200),
        y=np.column_stack([y[:, 0], y[:, 0]]),
        class_names=("owl", "crow"),
        mean=np.zeros(1),
        std=np.ones(1),
        kind="images",
        parameters={},
    )
    for split in ("train", "test"):
        write_store(tmp_path / f"{split}.h5", store)
    owl = _build(tmp_path, tmp_path / "owl", "owl", bag_size=2, label_density=1.0)
    crow = _build(tmp_path, tmp_path / "crow", "crow", bag_size=2, label_density=1.0)
    assert not np.array_equal(owl["train"][0].instances, crow["train"][0].instances)
    assert not np.array_equal(owl["train"][0].instances, owl["test"][0].instances)


def test_a_class_that_makes_no_such_bags_is_named_with_the_keys_to_change(digits, tmp_path):
    with pytest.raises(UserError, match=r"class 3, train split: .*bag_size.*label_density"):
        _build(digits, tmp_path, bag_size=50, label_density=0.02)
    assert list(tmp_path.iterdir()) == []


# ---- the validation split ----------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    n_positive=st.integers(2, 60),
    n_negative=st.integers(2, 200),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_a_validation_split_is_a_stratified_partition(n_positive, n_negative, fraction, seed):
    label = np.random.default_rng(0).permutation([1] * n_positive + [0] * n_negative)
    train, validation = split_validation(label, fraction, seed)
    assert sorted([*train, *validation]) == list(range(len(label)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    for value, n in ((1, n_positive), (0, n_negative)):
        held_out = (label[validation] == value).sum()
        assert 1 <= held_out <= n - 1
        assert abs(held_out - fraction * n) <= 1
    again = split_validation(label, fraction, seed)
    assert np.array_equal(again[0], train)
    assert np.array_equal(again[1], validation)


def test_without_groups_the_split_is_that_of_published_results():
    label = np.arange(50) % 5 == 0
    validation = [0, 1, 4, 8, 17, 23, 33, 36, 45, 49]
    for group in (None, np.arange(50)[::-1] + 7):
        assert split_validation(label, 0.2, 3, group)[1].tolist() == validation


@pytest.mark.parametrize(
    ("sizes", "held_out"),
    [
        ([90, 5, 5], {10}),
        ([90, 10], {10}),
        ([30, 30, 40], {30}),  # no group is small enough
        ([60, *[5] * 8], {10}),
        ([40, 20, 10, 8, 6, 6, 5, 5], range(5, 21)),
    ],
)
def test_a_large_group_stays_for_training(sizes, held_out):
    positives = np.repeat(np.arange(len(sizes)), sizes)
    group = np.concatenate([positives, 100 + np.arange(100)])
    label = np.arange(200) < 100
    for seed in range(20):
        _, validation = split_validation(label, 0.1, seed, group)
        assert label[validation].sum() in held_out


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=60),
    share=st.floats(0.1, 0.9),
    mixed=st.booleans(),
    fraction=st.floats(0.05, 0.6),
    seed=st.integers(0, 2**32),
)
def test_no_group_is_on_both_sides_of_the_validation_split(sizes, share, mixed, fraction, seed):
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    of = group if not mixed else np.arange(len(group))  # what has a label: groups, or each bag
    label = rng.random(len(group))[of] < share
    # With two groups of each label, of both or of one alone, there is a split.
    assume(min(len(set(group[label == value])) for value in (0, 1)) >= 2)
    train, validation = split_validation(label, fraction, seed, group)
    assert sorted([*train, *validation]) == list(range(len(label)))
    assert not set(group[train]) & set(group[validation])
    for value in (0, 1):
        held_out, n = (label[validation] == value).sum(), (label == value).sum()
        assert 1 <= held_out <= n - 1
        if not mixed:
            assert abs(held_out - fraction * n) <= max(sizes)


@pytest.mark.parametrize(
    ("group", "name"), [([0, 0, 0, 1, 2, 3], "3 positive"), ([1] * 6, "groups")]
)
def test_groups_that_cannot_be_shared_out_are_refused(group, name):
    with pytest.raises(UserError, match=rf"{name}.*add recordings from more sources"):
        split_validation(np.array([1, 1, 1, 0, 0, 0]), 0.3, 0, np.array(group))


def test_seeds_hold_out_different_bags():
    label = np.arange(1000) % 6 == 0
    _, first = split_validation(label, 0.2, 0)
    _, second = split_validation(label, 0.2, 1)
    assert len(np.intersect1d(first, second)) == pytest.approx(0.2 * len(first), abs=20)


@pytest.mark.parametrize(("label", "name"), [([1, 0, 0], "1 positive"), ([1, 1], "0 negative")])
def test_too_few_bags_to_split_are_refused(label, name):
    with pytest.raises(UserError, match=name):
        split_validation(np.array(label), 0.2, 0)


# ---- bags that nobody knows ----------------------------------------------------------------------
@settings(max_examples=100, deadline=None)
@given(draws(), st.integers(0, 99))
def test_a_manifest_keeps_which_bags_are_unknown(tmp_path_factory, drawn, seed):
    positive, *_, bags = drawn
    path = tmp_path_factory.mktemp("bags") / "train.csv"
    unknown = np.random.default_rng(seed).random(len(bags)) < 0.3
    told = replace(
        bags,
        label=np.where(unknown, UNKNOWN, bags.label).astype(np.int8),
        density=np.where(unknown, np.nan, bags.density),
    )
    write_manifest(path, {0: bags, 1: told})
    read = read_manifest(path, len(positive))
    _assert_equal(read[0], bags)
    observed = {"negatives_observed": bool(unknown.any())}
    np.testing.assert_equal(vars(read[1]), vars(told) | observed)
    # One unknown bag says that the others were looked at, in all draws of the file.
    assert read[0].negatives_observed == unknown.any()
    assert path.read_text().count(",unknown,,") == np.count_nonzero(unknown)


def test_a_manifest_without_unknown_bags_is_as_ever(tmp_path):
    bags = Bags(np.arange(2), np.array([1, 0], np.int8), np.array([0.5, 0.0]), np.eye(2, dtype=int))
    write_manifest(tmp_path / "train.csv", {0: bags})
    assert (tmp_path / "train.csv").read_text() == (
        "draw,bag,label,density,instances\n0,0,1,0.5,1 0\n0,1,0,0.0,0 1\n"
    )


@settings(max_examples=200, deadline=None)
@given(
    n_known=st.tuples(st.integers(2, 60), st.integers(2, 60)),
    n_unknown=st.integers(0, 60),
    fraction=st.floats(0.05, 0.6),
    seed=st.integers(0, 2**32),
)
def test_unknown_bags_are_trained_on_and_move_no_other(n_known, n_unknown, fraction, seed):
    parts = [1] * n_known[0] + [0] * n_known[1] + [UNKNOWN] * n_unknown
    label = np.random.default_rng(seed).permutation(parts)
    train, validation = split_validation(label, fraction, seed)
    known = np.flatnonzero(label != UNKNOWN)
    of_known = split_validation(label[known], fraction, seed)
    assert validation.tolist() == known[of_known[1]].tolist()
    assert train.tolist() == sorted([*known[of_known[0]], *np.flatnonzero(label == UNKNOWN)])


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=4, max_size=40),
    shares=st.tuples(st.floats(0.1, 0.5), st.floats(0.1, 0.5)),
    seed=st.integers(0, 2**32),
)
def test_unknown_bags_of_a_group_that_is_held_out_are_for_neither(sizes, shares, seed):
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    label = rng.choice([1, 0, UNKNOWN], len(group), p=[*shares, 1 - sum(shares)])
    assume(min(len(set(group[label == value])) for value in (0, 1)) >= 2)
    train, validation = split_validation(label, 0.3, seed, group)
    assert set(label[validation]) == {0, 1}
    assert not set(group[train]) & set(group[validation])
    left_out = np.setdiff1d(np.arange(len(label)), [*train, *validation])
    assert left_out.tolist() == [
        row
        for row in range(len(label))
        if label[row] == UNKNOWN and group[row] in set(group[validation])
    ]


def test_too_few_known_negatives_are_one_line_that_says_what_to_do():
    words = "0 negative bags besides 3 unknown ones, .* list more bags as negative"
    with pytest.raises(UserError, match=words):
        split_validation(np.array([1, 1, UNKNOWN, UNKNOWN, UNKNOWN]), 0.3, 0)

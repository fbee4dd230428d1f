"""Which poolings respect the multiple-instance assumption, by the unit tests of Raff and Holt.

Most do not, and a study of real bags would not show it. What is expected here was measured;
tests/benchmarks/README.md has the numbers.
"""

from typing import get_args

import numpy as np
import pytest
import torch
from mil_tests import TESTS, draw, roc_aucs
from short_runs import run_settings

from weakneg.config.sections import ModelSettings

POOLINGS = get_args(ModelSettings.model_fields["pooling"].annotation)
EXPECTED = {  # in the order of TESTS
    "mean_softmax": ("violates it", "violates it", "cannot learn it"),
    "softmax_mean": ("violates it", "between", "cannot learn it"),
    "softmax_max": ("respects it", "cannot learn it", "cannot learn it"),
    "mean_boosted": ("violates it", "between", "cannot learn it"),
    "attention": ("violates it", "violates it", "respects it"),
    "psla": ("violates it", "violates it", "respects it"),
}


def verdict(train_auc: float, test_auc: float) -> str:
    if train_auc < 0.9:
        return "cannot learn it"
    if test_auc < 0.5:
        return "violates it"
    return "respects it" if test_auc > 0.9 else "between"


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_what_a_pooling_learns_from_bags_with_a_shortcut(pooling, test):
    assert pooling in EXPECTED, "a new pooling: say in EXPECTED what it learns"
    torch.set_num_threads(1)
    settings = run_settings(
        "full",
        name="mlp",
        pooling=pooling,
        epochs=15,
        validation_fraction=0.2,
        negatives_per_positive=1.0,
    )
    found = roc_aucs(settings, draw(test, "train", 150, 150, 1), draw(test, "test", 150, 150, 1), 1)
    assert verdict(*found) == dict(zip(TESTS, EXPECTED[pooling], strict=True))[test], found


# ----------------------------------------------------------------------------- the bags themselves
def near(bag: np.ndarray, mean: float) -> int:
    """How many instances of a bag are of N(mean, 0.1)."""
    return int((np.abs(bag - mean).max(1) < 0.6).sum())


def split(test: str, name: str, **more):
    """The positive and the negative bags of a split."""
    bags, label = draw(test, name, 300, 300, 0, **more)
    assert label.tolist() == [1] * 300 + [0] * 300
    return bags[:300], bags[300:]


@pytest.mark.parametrize("test", TESTS)
def test_the_seed_and_the_split_decide_about_the_bags(test):
    def first(*key):
        return draw(test, key[0], 3, 3, key[1]).bags[0].tolist()

    keys = [("train", 0), ("train", 1), ("test", 0), ("test", 1)]
    assert all(first(*key) == first(*key) for key in keys)
    assert len({str(first(*key)) for key in keys}) == 4


def poisoned(bags) -> list[bool]:
    assert max(near(bag, -10) for bag in bags) <= 1
    return [near(bag, -10) == 1 for bag in bags]


def test_poison_changes_sides():
    positive, negative = split("single concept", "train")
    assert not any(poisoned(positive))
    assert all(poisoned(negative))
    assert 240 <= sum(poisoned(split("single concept", "train", poisoned=0.9)[1])) < 300
    for test in ("single concept", "multiple concepts"):
        positive, negative = split(test, "test")
        assert all(poisoned(positive))
        assert not any(poisoned(negative))
    positive, negative = split("multiple concepts", "train")
    assert 10 < sum(poisoned(positive)) < 60
    assert all(poisoned(negative))


def test_positive_instances_are_wide_or_shifted():
    """The released code of the paper makes wide ones only."""
    for name in ("train", "test"):
        positive, negative = (np.concatenate(bags) for bags in split("single concept", name))

        def share(instances, kind):
            mean, width = instances.mean(1), instances.std(1)
            return ((width > 1.8) if kind == "wide" else (width < 1.6) & (mean > 0.8)).mean()

        for kind in ("wide", "shifted"):
            assert share(positive, kind) > 0.1
            assert share(negative, kind) < 0.01


@pytest.mark.parametrize(
    ("test", "means", "copies"),
    [("multiple concepts", (2, 3), (1, 1)), ("false frequency", (-2, 2), (35, 39))],
)
def test_a_bag_is_positive_if_it_holds_both_concepts(test, means, copies):
    for name in ("train", "test"):
        positive, negative = split(test, name)
        held = [[near(bag, mean) for mean in means] for bag in positive]
        assert np.all(np.array(held) >= 1)
        of_negatives = np.array([[near(bag, mean) for mean in means] for bag in negative])
        assert ((of_negatives > 0).sum(1) == 1).all()
        assert ((of_negatives > 0).sum(0) > 100).all(), "one concept as often as the other"
        low, high = copies if name == "test" else (1, 1)
        assert (of_negatives.sum(1).min(), of_negatives.sum(1).max()) == (low, high)

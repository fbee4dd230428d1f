"""Measures of selections, by hand and against random choices; and their means over trainings."""

import itertools

import numpy as np
import pytest
from scipy.stats import hypergeom
from selections import LABEL, Made, values

from weakneg.analysis.selection_measures import (
    MEASURES,
    OVERLAP_COLUMNS,
    TURNOVER_COLUMNS,
    expected_jaccard,
    jaccard,
    turnover,
)


def rows_of(pool: int, *selections: set[int]) -> np.ndarray:
    """(E, pool) bool, from sets of chosen bags."""
    return np.array([[bag in chosen for bag in range(pool)] for chosen in selections])


def test_jaccard_by_hand():
    a = rows_of(5, {0, 1, 2}, {0, 1}, {3})
    b = rows_of(5, {2, 3}, {0, 1}, {4})
    index, _ = jaccard(a, b, candidates=5)
    assert index.tolist() == [1 / 4, 1, 0]


@pytest.mark.parametrize(
    ("pool", "a", "b"), [(4, 2, 2), (5, 1, 3), (6, 4, 5), (5, 5, 2), (7, 3, 3)]
)
def test_the_expected_jaccard_is_the_mean_over_all_pairs_of_choices(pool, a, b):
    found = [
        len(set(x) & set(y)) / len(set(x) | set(y))
        for x in itertools.combinations(range(pool), a)
        for y in itertools.combinations(range(pool), b)
    ]
    assert expected_jaccard(pool, a, b) == pytest.approx(np.mean(found))


def test_the_expected_jaccard_of_large_choices():
    shared = np.arange(801)
    probability = hypergeom.pmf(shared, 2200, 1200, 800)
    expected = np.sum(probability * shared / (2000 - shared))
    assert expected_jaccard(2200, 1200, 800) == pytest.approx(expected, rel=1e-9)
    assert expected_jaccard(22_000, 22_000, 12_000) == pytest.approx(12 / 22, rel=1e-9)


def test_turnover_by_hand():
    found = turnover(
        rows_of(5, {0, 1}, {1, 2}, {1, 2}, {0, 3, 4}), related=np.array([0, 1, 0, 0, 1], dtype=bool)
    )
    expected = {
        "turnover": [np.nan, 1 / 2, 0, 1],
        "expected_turnover": [np.nan, 3 / 5, 3 / 5, 3 / 5],
        "used": [2 / 5, 3 / 5, 3 / 5, 1],
        "expected_used": [2 / 5, 1 - 9 / 25, 1 - 27 / 125, 1 - 27 / 125 * 2 / 5],
        "distinct": [2, 3, 3, 5],
        "expected_distinct": [2, 5 - 9 / 5, 5 - 27 / 25, 5 - 27 / 25 * 2 / 5],
        # Bags 1 and 2 came back once; then twice and once; then of three bags one came back once.
        "returns": [0, 1 / 2, 3 / 2, 1 / 3],
        "expected_returns": [0, 2 / 5, 4 / 5, 6 / 5],
        "related": [1 / 2, 1 / 2, 1 / 2, 1 / 3],
        "expected_related": [2 / 5] * 4,
    }
    assert found.keys() == expected.keys()
    for measure, by_hand in expected.items():
        np.testing.assert_allclose(found[measure], by_hand, err_msg=measure)


def test_expectations_are_those_of_random_choices():
    rng = np.random.default_rng(0)
    sizes, pool, n = (3, 5, 2, 7), 11, 4000
    related = np.arange(pool) < 4
    drawn = rng.permuted(np.tile(np.arange(pool), (n, 2, len(sizes), 1)), axis=-1)
    a, b = (drawn < np.array(sizes)[:, None]).swapaxes(0, 1)
    measured = [turnover(chosen, related) for chosen in a]
    for measure in MEASURES:
        values = np.array([each[measure] for each in measured])
        error = 5 * values.std(axis=0) / np.sqrt(n) + 1e-12
        off = values.mean(axis=0) - measured[0][f"expected_{measure}"]
        assert np.all((np.abs(off) <= error) | np.isnan(off)), measure
    found = np.array([jaccard(*pair, pool)[0] for pair in zip(a, b, strict=True)])
    error = 5 * found.std(axis=0) / np.sqrt(n)
    assert np.all(np.abs(found.mean(axis=0) - jaccard(a[0], b[0], pool)[1]) <= error)


def test_without_labels_nothing_is_related():
    found = turnover(rows_of(3, {0}, {1}))
    assert np.isnan(found["related"]).all()
    assert np.isnan(found["expected_related"]).all()


def test_overlap_is_the_mean_over_classes_and_seeds_at_an_epoch(made):
    table = made.audit()["selection_overlap"]
    assert list(table.columns) == OVERLAP_COLUMNS
    random_margin = {"strategy_a": "random", "strategy_b": "margin"}
    expected = pytest.approx([3 / 5, 2 / 6, 1 / 7])
    assert values(table, "jaccard", **random_margin) == expected
    expected = pytest.approx([expected_jaccard(9, 4, 4)] * 3)
    assert values(table, "expected_jaccard", **random_margin) == expected
    # Both classes; the second seed stopped before the last epoch.
    assert values(table, "n", **random_margin) == [4, 4, 2]
    expected = pytest.approx([3 / 5] * 3)
    assert values(table, "jaccard", strategy_a="margin", strategy_b="badge") == expected
    expected = pytest.approx([4 / 9] * 3)
    assert values(table, "jaccard", strategy_a="full", strategy_b="badge") == expected


def test_overlap_is_taken_at_epochs_at_which_both_chose(tmp_path):
    made = Made(tmp_path, ["random", "badge"], {"a": LABEL})
    pool = made.pool("a", 0)
    made.choose("a", "random", {0: {1: pool[:2], 4: pool[2:4], 7: pool[4:6]}})
    made.choose("a", "badge", {0: {1: pool[:2], 7: pool[5:7]}})
    table = made.audit()["selection_overlap"]
    assert table["epoch"].tolist() == [1, 7]
    assert table["jaccard"].tolist() == pytest.approx([1, 1 / 3])
    assert made.audit()["selection_turnover"]["epoch"].tolist() == [1, 4, 7, 1, 7]


def test_chance_overlap_is_that_of_choices_from_the_same_candidates(tmp_path):
    made = Made(tmp_path, ["full", "random", "badge"], {"a": LABEL})
    pool = made.pool("a", 0)
    choices = {"full": pool, "random": pool[:3], "badge": pool[1:4]}
    for strategy, chosen in choices.items():
        made.choose("a", strategy, {0: {1: chosen}}, candidate_fraction=5 / 9)
    expected = made.audit()["selection_overlap"].set_index(["strategy_a", "strategy_b"])
    expected = expected["expected_jaccard"].round(12).to_dict()
    # Of 9 bags, 5 are candidates; the full set is no choice among them.
    assert expected == {
        ("random", "badge"): round(expected_jaccard(5, 3, 3), 12),
        ("full", "random"): round(3 / 9, 12),
        ("full", "badge"): round(3 / 9, 12),
    }


def test_turnover_averages_classes_and_seeds(made):
    table = made.audit()["selection_turnover"]
    assert list(table.columns) == TURNOVER_COLUMNS
    assert table["strategy"].unique().tolist() == ["full", "random", "margin", "badge"]
    assert values(table, "turnover", strategy="badge")[1:] == [1 / 4, 1 / 4]
    expected = pytest.approx([5 / 9] * 2)
    assert values(table, "expected_turnover", strategy="badge")[1:] == expected
    assert values(table, "used", strategy="badge") == pytest.approx([4 / 9, 5 / 9, 6 / 9])
    assert values(table, "returns", strategy="margin") == [0, 1, 2]
    assert values(table, "turnover", strategy="full")[1:] == [0, 0]
    assert values(table, "n", strategy="random") == [4, 4, 2]
    assert table["related"].isna().all()


def test_rows_are_in_order_although_the_first_class_stopped_first(tmp_path):
    made = Made(tmp_path, ["random", "badge", "a_third"], {"a": LABEL, "b": LABEL})
    for class_name, last in (("a", 1), ("b", 3)):
        pool = made.pool(class_name, 0)
        for strategy in made.settings["strategies"]:
            chosen = {epoch: pool[:2] for epoch in range(1, last + 1)}
            made.choose(class_name, strategy, {0: chosen})
    tables = made.audit()
    found = tables["selection_turnover"][["strategy", "epoch"]].to_numpy().tolist()
    assert found == [[s, epoch] for s in made.settings["strategies"] for epoch in (1, 2, 3)]
    assert tables["selection_overlap"]["epoch"].tolist() == [1, 2, 3] * 3
    assert tables["selection_overlap"]["n"].tolist() == [2, 1, 1] * 3

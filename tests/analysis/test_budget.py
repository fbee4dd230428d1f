"""Metrics against the budget, in numbers worked out by hand."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from weakneg.analysis.budget import (
    choice_stops_mattering,
    enough,
    results_by_budget,
    steps_of_runs,
)
from weakneg.analysis.study import Study
from weakneg.errors import UserError
from weakneg.report.budget import budget_text

NAN = float("nan")
BUDGETS = {
    "full": None,
    "random_budget_1": 1.0,
    "random_budget_4": 4.0,
    "margin_budget_1": 1.0,
    "margin_budget_4": 4.0,
    "entropy_budget_4": 4.0,
}
STUDY = Study(
    name="mine",
    title="Mine",
    classes=["a", "b"],
    strategies=list(BUDGETS),
    runs={name: name.replace("entropy", "margin") for name in BUDGETS},
    kind="images",
    baseline="random_budget_1",
    upper_bound="full",
    display_names={name: name.split("_")[0].title() for name in BUDGETS},
    budgets=BUDGETS,
)
AP = {
    "full": 0.8,
    "random_budget_1": 0.5,
    "random_budget_4": 0.7,
    "margin_budget_1": 0.6,
    "margin_budget_4": 0.9,
    "entropy_budget_4": 0.9,
}


def metrics() -> pd.DataFrame:
    """Two classes and seeds; AP is `AP`, .1 lower in class b and seed 1 each; a pool of 30."""
    rows = [
        {
            "class": class_name,
            "strategy": name,
            "seed": seed,
            "ap": ap - 0.1 * (class_name == "b") - 0.1 * seed,
            "roc_auc": 0.5,
            "n_positive": 10,
            "n_pool": 30,
            "budget": min(30, 10 * (BUDGETS[name] or 100)),
            "bags_trained": 100,
            "seconds": 2.0,
            "steps": 7 + seed,
            "test_positive": 5,
            "test_bags": 50,
            "test_unknown": 0,
        }
        for class_name in "ab"
        for name, ap in AP.items()
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows)


def of_ap(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["metric"] == "ap"].set_index(["strategy", "budget"])


@pytest.fixture(scope="module")
def of_study() -> pd.DataFrame:
    return results_by_budget(metrics(), STUDY)


def test_differences_are_at_the_same_budget_and_from_the_full_set(of_study):
    table = of_ap(of_study)
    assert [*table.index][1:] == [
        *[("Random", 1.0), ("Random", 4.0), ("Margin", 1.0), ("Margin = Entropy", 4.0)],
    ]
    assert table["mean"].tolist() == pytest.approx([0.7, 0.4, 0.6, 0.5, 0.8])
    expected = [NAN, 0, 0, 0.1, 0.2]
    assert table["difference"].tolist() == pytest.approx(expected, nan_ok=True, abs=1e-12)
    assert table["from_full"].tolist() == pytest.approx([0, -0.3, -0.1, -0.2, 0.1])
    margin = table.loc[("Margin", 1.0)]
    # Each class and seed differs by the same, so the bootstrap interval is the difference.
    assert margin["difference_low"] == pytest.approx(0.1) == margin["difference_high"]
    assert margin["high"] - margin["mean"] == pytest.approx(12.7062 * 0.05, rel=1e-4)
    assert table["steps"].tolist() == [7.5] * 5
    assert table["bags"].tolist() == [100] * 5
    assert table["whole_pool"].tolist() == [2, 0, 2, 0, 2]


def test_nothing_is_compared_with_what_was_left_out():
    names = ["random_budget_1", "margin_budget_1", "margin_budget_4"]
    left = replace(STUDY, strategies=names, upper_bound=None)
    found = results_by_budget(metrics(), left)
    table = of_ap(found)
    assert table["difference"].tolist() == pytest.approx([0, 0.1, NAN], nan_ok=True, abs=1e-12)
    assert table["from_full"].isna().all()
    assert "Smallest budget from which on AP" not in budget_text(found, left)


def results(**columns) -> pd.DataFrame:
    given = {"metric": "ap", "from_full_high": NAN, "difference_low": NAN, "difference_high": NAN}
    return pd.DataFrame(given | columns)


def test_a_budget_is_enough_if_it_and_all_larger_ones_reach_the_full_set():
    table = results(
        strategy=["a"] * 4 + ["b"] * 2,
        budget=[1, 2, 4, 8, 1, 2],
        from_full_high=[0.1, -0.1, 0.0, 0.2, 0.1, -0.1],
    )
    assert enough(table) == {"a": 4.0, "b": None}


def test_choosing_matters_until_no_larger_budget_has_a_clear_difference():
    table = results(
        strategy=["a"] * 3 + ["b"] * 3,
        budget=[1, 2, 4] * 2,
        difference_low=[-0.1, 0.1, -0.1, -0.3, -0.3, -0.1],
        difference_high=[0.1, 0.2, 0.1, -0.2, 0.1, 0.1],
    )
    assert choice_stops_mattering(table) == 4.0
    assert choice_stops_mattering(table[table["budget"] < 4]) is None


def test_the_text_answers_both_questions(of_study):
    text = budget_text(of_study, STUDY)
    assert (
        "Random: more than were tried; Margin: more than were tried; Margin = Entropy: 4." in text
    )
    assert "no strategy differs from Random in AP** (all 95% intervals include zero): not" in text
    assert "Budgets that are the whole pool of some classes: 4 (2 of 2)." in text
    assert "| Margin           |      1 |  100 |     8 |     2.0 |" in text


@pytest.fixture
def run(tmp_path):
    """A run of two seeds: one of epochs of 33 and 64 bags, the other of one of 32."""
    epochs = pd.DataFrame({"seed": [3, 3, 5], "epoch": [1, 2, 1], "bags_trained": [33, 97, 32]})
    epochs.to_parquet(tmp_path / "history.parquet")
    seconds = ("scoring", "selecting", "training", "evaluating")
    timing = epochs[["seed", "epoch"]].assign(**{f"seconds_{each}": 1.0 for each in seconds})
    timing.to_parquet(tmp_path / "timing.parquet")
    keys = ("fingerprint", "n_positive", "n_pool", "budget", "made_with", "thresholds")
    record = {"class": "a", "strategy": "x"} | {key: {} for key in keys}
    record["settings"] = {"training": {"batch_size": 32}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    return tmp_path


def test_steps_are_the_batches_of_each_epoch(run):
    table = steps_of_runs([("random_budget_1", run), ("full", run)])
    assert table["strategy"].tolist() == ["random_budget_1"] * 2 + ["full"] * 2
    assert np.array_equal(table[["seed", "steps"]].iloc[:2], [[3, 4], [5, 1]])


def test_a_run_that_does_not_say_its_batches_is_one_sentence(run):
    text = (run / "run.json").read_text().replace("batch_size", "other")
    (run / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json has no key 'batch_size'; train this run again"):
        steps_of_runs([("full", run)])

"""Results where labels are partly unknown, and what became of the labels, worked out by hand."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest
from partly_labelled import settings_of_methods, study, toy
from scipy.stats import t
from synthetic import metrics_of

from weakneg.analysis.partial import (
    _FATES,
    Record,
    groups_of_classes,
    labels_by_epoch,
    left_out,
    levels,
    read_records,
    results_by_method,
)
from weakneg.errors import UserError
from weakneg.training.labels import FATES

NAN = float("nan")
WAYS = {
    "bce": ("Naive AN", "1 positive"),
    "mine": ("Mine", "1 positive"),
    "full_label": ("Full label", "all"),
}
AP = {  # of the seeds 0 and 1; nobody knows class c, and bce alone does not know d
    ("a", "bce"): [0.1, 0.3],
    ("a", "mine"): [0.4, 0.8],
    ("a", "full_label"): [0.9, 0.9],
    ("b", "bce"): [0.5, 0.5],
    ("b", "mine"): [0.6, 0.4],
    ("b", "full_label"): [0.9, 0.7],
    ("c", "bce"): [NAN, NAN],
    ("c", "mine"): [NAN, NAN],
    ("c", "full_label"): [NAN, NAN],
    ("d", "bce"): [0.5, NAN],
    ("d", "mine"): [0.5, 0.5],
    ("d", "full_label"): [0.5, 0.5],
}
T1 = t.ppf(0.975, 1)  # two values


def metrics(values=AP) -> pd.DataFrame:
    found = metrics_of(values)
    ap = np.concatenate([*values.values()])
    return found.assign(ap=ap, roc_auc=ap, n_positive=3.0, epochs=5, seconds=found["seed"] + 1.0)


def records(ways=WAYS, classes=4, seeds=(0, 1)) -> list[Record]:
    """Of 10 labels of each class, one positive is seen and two are hidden, or all are seen."""
    found = []
    for name, (_, observed) in ways.items():
        fates = [3, 7, 0, 0] if observed == "all" else [1, 0, 2, 7]
        entries = np.tile(np.array(fates)[None, :, None], (1, 1, classes))
        for seed in seeds:
            nothing = np.zeros((1, 2, classes), int)
            loss = np.where(entries > 0, 1.0, NAN)
            found.append(Record(name, seed, np.array([1]), entries, loss, nothing))
    return found


SETTINGS = settings_of_methods("abcd", WAYS, upper_bound="full_label")


def results() -> pd.DataFrame:
    table = results_by_method(metrics(), records(), study(SETTINGS))
    return table.set_index(["metric", "method", "group"])


def test_the_mean_is_over_the_classes_that_every_run_has():
    assert left_out(metrics(), study(SETTINGS)) == ["c", "d"]
    table = results()
    assert {*table["classes"]} == {2}
    row = table.loc[("ap", "Mine", "all")]
    assert row["mean"] == pytest.approx(np.mean([0.4, 0.8, 0.6, 0.4]))
    # The means of the seeds are .5 and .6.
    assert row["high"] - row["mean"] == pytest.approx(T1 * 0.05)
    assert (row["epochs"], row["seconds"]) == (5, 1.5)


def test_the_difference_has_an_interval_over_seeds_and_one_over_classes():
    row = results().loc[("ap", "Mine", "all")]
    # By seed, the mean differences are (.3 + .1) / 2 and (.5 - .1) / 2; by class, .4 and 0.
    assert row["difference"] == pytest.approx(0.2)
    assert row[["seeds_low", "seeds_high"]].tolist() == pytest.approx([0.2, 0.2])
    half = T1 * 0.2
    assert row[["classes_low", "classes_high"]].tolist() == pytest.approx([0.2 - half, 0.2 + half])


def test_methods_are_compared_with_the_baseline_that_sees_the_same_labels_alone():
    table = results()
    assert np.isnan(table.loc[("ap", "Full label", "all"), "difference"])
    assert np.isnan(table.loc[("ap", "Naive AN", "all"), "difference"])
    ways = WAYS | {"bce_observed_all": ("Naive AN", "all")}
    values = AP | {(c, "bce_observed_all"): [0.2, 0.2] for c in "abcd"}
    found = results_by_method(
        metrics(values), records(ways), study(settings_of_methods("abcd", ways))
    ).set_index(["metric", "method", "observed", "group"])
    row = found.loc[("ap", "Full label", "all", "all")]
    assert row["difference"] == pytest.approx(np.mean([0.9, 0.9, 0.9, 0.7]) - 0.2)


def test_the_shares_of_labels_seen_are_counted():
    table = results()
    row = table.loc[("ap", "Mine", "all")]
    assert row["labels_observed"] == pytest.approx(0.1)
    assert row["positives_observed"] == pytest.approx(1 / 3)
    assert table.loc[("ap", "Full label", "all"), "labels_observed"] == 1


def test_one_seed_and_one_class_have_no_interval():
    values = {("a", "bce"): [0.1], ("a", "mine"): [0.4]}
    ways = {name: WAYS[name] for name in ("bce", "mine")}
    found = results_by_method(
        metrics(values), records(ways, 1, (0,)), study(settings_of_methods("a", ways))
    )
    bounds = ["low", "high", "seeds_low", "seeds_high", "classes_low", "classes_high"]
    assert found[bounds].isna().all(axis=None)
    assert found.set_index(["metric", "method"]).loc[("ap", "Mine"), "difference"] == pytest.approx(
        0.3
    )


def test_one_method_has_results_and_no_differences():
    found = results_by_method(
        metrics({("a", "bce"): [0.1, 0.3]}),
        records({"bce": WAYS["bce"]}, 1),
        study(settings_of_methods("a", {"bce": WAYS["bce"]})),
    )
    assert found["mean"].tolist() == pytest.approx([0.2, 0.2])
    assert found["difference"].isna().all()


def test_a_study_without_any_class_to_count_is_one_sentence():
    values = {("a", name): [NAN] for name in WAYS}
    with pytest.raises(UserError, match="no class has an observed positive label, and both labels"):
        groups_of_classes(metrics(values), study(settings_of_methods("a", WAYS)))


def test_groups_are_fifths_by_the_positives_that_the_baseline_sees_and_need_ten_classes():
    table, _, settings = toy(11)
    table["n_positive"] = -table["n_positive"]  # the last class is the rarest
    groups = groups_of_classes(table, study(settings))
    assert groups.pop("all") == settings["classes"]
    assert groups == {
        "G1": ["c010", "c009", "c008"],
        "G2": ["c007", "c006"],
        "G3": ["c005", "c004"],
        "G4": ["c003", "c002"],
        "G5": ["c001", "c000"],
    }
    table.loc[table["class"].isin(["c003", "c004"]), "ap"] = NAN
    assert [*groups_of_classes(table, study(settings))] == ["all"], "nine are left"


def test_the_results_of_a_group_are_those_of_its_classes():
    table, made, settings = toy(10)
    found = results_by_method(table, made, study(settings)).set_index(["metric", "method", "group"])
    row = found.loc[("ap", "LL-R", "G2")]
    ap = table[table["class"].isin(["c002", "c003"])].set_index("strategy")["ap"]
    assert row["mean"] == pytest.approx(ap["large_loss_rejection"].mean())
    gain = ap["large_loss_rejection"].mean() - ap["bce"].mean()
    assert row["difference"] == pytest.approx(gain)
    assert (row["positives_from"], row["positives_to"]) == (7, 9)


def labels(treated=((2, 1), (1, 3)), classes="ab") -> pd.DataFrame:
    """One epoch: hidden are 2 and 4 positives and 8 and 4 negatives of two classes."""
    entries = np.array([[[1, 3], [0, 0], [2, 4], [8, 4]]])
    loss = np.array([[[0.5, 0.1], [NAN, NAN], [3.0, 6.0], [0.2, 0.5]]])
    one = Record("bce", 0, np.array([1]), entries, loss, np.array([treated]))
    groups = {"all": ["a"], "G1": ["b"]}
    return labels_by_epoch([one], groups, study(settings_of_methods(classes, WAYS)))


def test_the_measures_of_labels_count_every_label_once():
    found = labels().set_index(["group", "measure"])["mean"]
    assert found["all"].to_dict() == pytest.approx(
        {
            "loss_observed_positive": (0.5 + 3 * 0.1) / 4,
            "loss_hidden_positive": (2 * 3 + 4 * 6) / 6,
            "loss_hidden_negative": (8 * 0.2 + 4 * 0.5) / 12,
            "treated": 7 / 18,
            "precision": 3 / 7,
            "recall": 3 / 6,
            "positives": 6 / 18,
        }
    ), "of all classes, whether they are left out of the results or not"
    assert found["G1"].to_dict() == pytest.approx(
        {"treated": 4 / 8, "precision": 1 / 4, "recall": 1 / 4, "positives": 4 / 8}
    )


def test_nothing_treated_has_no_precision():
    found = labels(treated=((0, 0), (0, 0))).set_index(["group", "measure"])["mean"]
    assert found["all", "treated"] == 0
    assert ("all", "precision") not in found


def test_epochs_are_averaged_over_the_seeds_that_reached_them():
    entries, nothing = np.tile([[[1], [0], [1], [1]]], (2, 1, 1)), np.zeros((2, 2, 1), int)
    made = [
        Record("bce", seed, np.arange(1, n + 1), entries[:n], loss * entries[:n], nothing[:n])
        for seed, n, loss in ((0, 2, 1.0), (1, 1, 3.0))
    ]
    found = labels_by_epoch(made, {"all": ["a"]}, study(settings_of_methods("a", WAYS)))
    found = found[found["measure"] == "loss_hidden_positive"].set_index("epoch")
    assert found["mean"].tolist() == [2, 1]
    assert found["seeds"].tolist() == [2, 1]
    assert found.loc[1, "high"] == pytest.approx(2 + T1)
    assert np.isnan(found.loc[2, "high"])


def test_levels_are_in_order_of_the_labels_seen_and_none_where_all_that_compete_see_the_same():
    table = results_by_method(metrics(), records(), study(SETTINGS))
    assert levels(table, study(SETTINGS)) == []
    assert levels(table, study(settings_of_methods("abcd", WAYS))) == ["1 positive", "all"]


@pytest.fixture
def run(tmp_path):
    """A run of the classes b and a, in this order."""
    record = {"class": "all classes", "strategy": "bce", "fingerprint": "f"}
    record |= {key: {} for key in ("n_positive", "n_pool", "budget", "made_with")}
    record["settings"] = {"classes": ["b", "a"], "seeds": [7]}
    (tmp_path / "run.json").write_text(json.dumps(record))
    with h5py.File(tmp_path / "selection.h5", "w") as file:
        group = file.create_group("seed_7/labels")
        group["epoch"] = [1]
        group["entries"], group["loss"] = np.arange(8).reshape(1, 4, 2), np.ones((1, 4, 2))
        group["rejected"] = [[[1, 2], [3, 4]]]
        group["corrected"] = [[[10, 20], [30, 40]]]
    return tmp_path


def test_a_record_is_read_in_the_order_of_the_study(run):
    [found] = read_records([("bce", run)], study(settings_of_methods("ab", WAYS)))
    assert (found.strategy, found.seed) == ("bce", 7)
    assert found.entries.tolist() == [[[1, 0], [3, 2], [5, 4], [7, 6]]]
    assert found.treated.tolist() == [[[22, 11], [44, 33]]]
    assert _FATES == FATES


def test_a_run_that_lacks_a_class_or_its_record_is_one_sentence(run):
    with pytest.raises(UserError, match="no model of the class 'z': delete the folder"):
        read_records([("bce", run)], study(settings_of_methods("abz", WAYS)))
    with h5py.File(run / "selection.h5", "a") as file:
        del file["seed_7/labels/loss"]
    with pytest.raises(UserError, match=r"selection\.h5 is incomplete .* delete the folder"):
        read_records([("bce", run)], study(settings_of_methods("ab", WAYS)))

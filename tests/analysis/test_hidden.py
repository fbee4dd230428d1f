"""What became of hidden positives, in numbers worked out by hand."""

import h5py
import numpy as np
import pandas as pd
import pytest

from weakneg.analysis.hidden import epochs_of_run, measures_by_epoch, metrics_by_share
from weakneg.analysis.runs import Run
from weakneg.analysis.study import Place, Study
from weakneg.errors import UserError
from weakneg.report.hidden import hidden_text

NAN = float("nan")
GRID = {
    "random": Place("Random", "BCE", 0.0),
    "random_nnpu": Place("Random", "nnPU", 0.0),
    "random_hidden_20": Place("Random", "BCE", 0.2),
    "random_nnpu_hidden_20": Place("Random", "nnPU", 0.2),
}
STUDY = Study(
    name="mine",
    title="Mine",
    classes=["a", "b"],
    strategies=list(GRID),
    runs={name: name for name in GRID},
    kind="images",
    baseline="random",
    hidden=GRID,
)
# Bags 3 and 5 of a pool of ten are hidden. Epoch 2 trains on what epoch 1 chose.
CHOSEN = [[3, 4, 5, 6], [7, 8, 9, -1]]
TRAINED = {
    "epoch": [1, 2, 3],
    "bags": [[3, 4, 5, 6], [6, 5, 4, 3], [7, 9, 8, -1]],
    "logits": [[0, 0, 0, 0], [1, 2, 3, 4], [1, 1, 1, NAN]],
    "treatment": [[0, 0, 0, 0], [1, 2, 0, 0], [0, 0, 2, 0]],
}


@pytest.fixture
def run(tmp_path) -> Run:
    with h5py.File(tmp_path / "selection.h5", "w") as file:
        file["seed_7/epoch"], file["seed_7/bags"] = [1, 3], CHOSEN
        file["seed_7/hidden"] = [3, 5]
        for name, values in TRAINED.items():
            file[f"seed_7/trained/{name}"] = np.array(values)
    return Run(tmp_path, [7], {7: 10}, 0, 1.0, 0.1, False)


def test_the_measures_of_an_epoch(run):
    table = epochs_of_run(run).set_index("epoch")
    assert table["seed"].tolist() == [7, 7, 7]
    assert table["in_pool"].tolist() == [0.2, 0.2, 0.2]
    assert table["in_chosen"].tolist() == [0.5, 0.5, 0.0], "the choice of epoch 1 stays in use"
    assert table["doubted"].tolist() == pytest.approx([0, 0.5, 1 / 3])
    assert table["precision"].tolist() == pytest.approx([NAN, 0.5, 0], nan_ok=True)
    assert table["recall"].tolist() == pytest.approx([0, 0.5, NAN], nan_ok=True)
    loss = np.logaddexp(0, [1, 2, 3, 4])
    assert table.loc[2, "loss_hidden"] == pytest.approx((loss[1] + loss[3]) / 2)
    assert table.loc[2, "loss_true"] == pytest.approx((loss[0] + loss[2]) / 2)
    assert np.isnan(table.loc[3, "loss_hidden"])


def test_what_chance_chose_in_the_warm_up_is_not_the_strategys_choice(run):
    table = epochs_of_run(run._replace(warmup_epochs=2)).set_index("epoch")
    assert table["in_chosen"].tolist() == pytest.approx([NAN, NAN, 0.0], nan_ok=True)
    assert table["doubted"].notna().all()


def test_a_run_that_hides_and_doubts_nothing_has_no_record(run):
    with h5py.File(run.folder / "selection.h5", "a") as file:
        del file["seed_7/trained"], file["seed_7/hidden"]
    table = epochs_of_run(run)
    assert table[["epoch", "in_pool", "in_chosen"]].to_numpy().tolist() == [[1, 0, 0], [3, 0, 0]]


def test_a_record_without_its_arrays_is_one_sentence(run):
    with h5py.File(run.folder / "selection.h5", "a") as file:
        del file["seed_7/trained/logits"]
    with pytest.raises(UserError, match=r"selection\.h5 is incomplete .* delete the folder"):
        epochs_of_run(run)


def metrics() -> pd.DataFrame:
    """Two classes and seeds; AP is the name's number, plus .1 for the class b, plus the seed."""
    rows = [
        (class_name, name, seed, number + 0.1 * (class_name == "b") + seed, 0.5)
        for number, name in enumerate(GRID)
        for class_name in "ab"
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows, columns=["class", "strategy", "seed", "ap", "roc_auc"])


def test_the_difference_is_from_the_baseline_with_the_same_share():
    table = metrics_by_share(metrics(), STUDY).set_index(["loss", "hidden", "measure"])["mean"]
    assert table["nnPU", 0.2, "ap"] == pytest.approx(3.55)
    assert table["nnPU", 0.2, "ap_difference"] == pytest.approx(1)
    assert table["BCE", 0.2, "ap_difference"] == 0
    assert table["nnPU", 0.0, "ap_difference"] == pytest.approx(1)


def test_there_is_no_difference_where_the_baseline_was_left_out():
    left = metrics()
    left = left[left["strategy"] != "random_hidden_20"]
    table = metrics_by_share(left, STUDY).set_index(["loss", "hidden", "measure"])["mean"]
    assert ("nnPU", 0.2, "ap") in table.index
    assert ("nnPU", 0.2, "ap_difference") not in table.index


def test_the_interval_over_seeds_is_of_means_over_classes(run):
    table = metrics_by_share(metrics(), STUDY)
    row = table[(table["measure"] == "ap") & (table["loss"] == "BCE")].iloc[0]
    assert row["mean"] == pytest.approx(0.55)
    assert row["high"] - row["mean"] == pytest.approx(12.7062 * 0.5, rel=1e-4)


def test_the_text_says_what_was_doubted_and_how_much_was_chosen(run):
    runs = {name: {"random_nnpu_hidden_20": run} for name in "ab"}
    epochs = measures_by_epoch(runs, STUDY)
    text = hidden_text(metrics_by_share(metrics(), STUDY), epochs, STUDY)
    # (.5 + .5 + 0) / 3 of the chosen bags, and .2 of the pool.
    assert "| Random   | nnPU |       1.67 |" in text
    assert "| Random   | nnPU |      25.0% |" in text, "precision of the epochs that doubt"
    assert text.count("25.0%") == 2

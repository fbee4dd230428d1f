"""The summary of a study whose labels are partly unknown."""

import numpy as np
import pandas as pd
import pytest
from partly_labelled import study, tables, toy

from weakneg.report.formatting import DASH
from weakneg.report.partial import (
    left_out_phrase,
    memorised,
    partial_text,
    treated_labels,
)

FEWER = {"bce": ("Naive AN", "1 positive"), "mine": ("Mine", "1 positive")}


def written(n_classes=10, **more) -> str:
    metrics, records, settings = toy(n_classes, **more)
    return partial_text(*tables(metrics, records, settings), [], study(settings))


def test_the_text_has_the_posters_table_and_every_number_of_it():
    metrics, records, settings = toy(10, upper_bound="full_label", note="A *note*.")
    results, epochs = tables(metrics, records, settings)
    text = partial_text(results, epochs, ["x", "*y*"], study(settings))
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
    rows = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in reversed(lines)}
    assert rows["Method"][:8] == ["Labels observed", "All", "G1", "G2", "G3", "G4", "G5", "ROC-AUC"]
    ap = metrics.groupby(["strategy", "class"])["ap"].mean()["large_loss_rejection"]
    row = rows["LL-R"]
    assert row[0] == "1 positive"
    assert row[1].startswith(f"{ap.mean():.3f} ± ".removeprefix("0"))
    assert row[2] == f"{ap[['c000', 'c001']].mean():.3f}".removeprefix("0")
    assert row[-2:] == ["4", "20"]
    assert "1 positive: 2% of all training labels and 40% of the positive ones" in text
    assert "2 of 10 classes are left out" in text
    assert r"x; \*y\*." in text
    assert text.endswith("A \\*note\\*\\.\n")


def test_what_one_study_cannot_have_is_left_out_of_its_text():
    text = written(5, ways={"bce": ("Naive AN", "1 positive")}, n_seeds=1)
    assert "## What was memorised" in text
    for other in ("Difference from", "rejected or corrected\n", "G1", "±", "Labels observed |"):
        assert other not in text
    text = written(5, ways={"bce": ("BCE", "all"), "mine": ("Mine", "all")})
    assert "memorised" not in text, "nothing was hidden"
    assert "## Difference from BCE" in text


def test_with_one_seed_the_interval_is_over_classes_alone():
    text = written(10, ways=FEWER, n_seeds=1)
    assert "with the 95% interval over classes; 1 seed has none over seeds" in text
    rows = [line.split("|") for line in text.split("## Difference")[1].splitlines()]
    row = next(cells for cells in rows if cells[1:2] == [" Mine   "])
    assert row[3].strip() == DASH


def epochs(losses, seeds=(2, 2, 2)) -> pd.DataFrame:
    found = pd.DataFrame({"epoch": [1, 2, 3], "mean": losses, "seeds": seeds})
    return found.assign(method="Mine", observed="10%", group="all", measure="loss_hidden_positive")


def test_memory_is_the_fall_from_the_highest_loss_to_the_last_that_all_seeds_reached():
    [row] = memorised(epochs([1.0, 4.0, 1.0])).to_dict("records")
    assert (row["highest"], row["epoch"], row["fall"]) == (4, 2, 0.75)
    assert row["loss_hidden_positive"] == 1
    assert np.isnan(row["loss_hidden_negative"])
    [row] = memorised(epochs([1.0, 4.0, 1.0], (2, 2, 1))).to_dict("records")
    assert row["fall"] == 0


def test_what_is_treated_is_averaged_over_the_epochs_that_treat_something():
    values = {"treated": [0.0, 0.1, 0.3], "precision": [np.nan, 0.2, 0.4]}
    values |= {"recall": [0.0, 0.5, 0.7], "positives": [0.1, 0.1, 0.1]}
    rows = [epochs(each).assign(measure=name) for name, each in values.items()]
    [row] = treated_labels(pd.concat(rows).dropna()).to_dict("records")
    assert row["treated"] == pytest.approx(0.2)
    assert row["precision"] == pytest.approx(0.3)
    assert row["recall"] == pytest.approx(0.6)
    assert len(treated_labels(epochs([1.0, 1.0, 1.0]))) == 0


def test_classes_that_are_left_out_are_counted_and_named():
    assert left_out_phrase([], 3).startswith("No class is left out")
    assert left_out_phrase(["a"], 3).startswith("1 of 3 classes is left out, without")
    assert left_out_phrase(["a", "b", "c"], 9, 2).endswith(": a; b; and 1 more.")

"""The benchmark of PSLA: all that it measures is there, and follows from the times beside it."""

import csv
import math
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("psla_speed.py")
CLASSES = ("small", "median", "large")


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[tuple[str, str, str], float]:
    """(part, case, measure) -> value, of a trial."""
    output = tmp_path_factory.mktemp("benchmark") / "psla_speed.csv"
    options = ("--small", "--device", "cpu", "--model", "cnn", "--output", str(output))
    subprocess.run([sys.executable, str(SCRIPT), *options], check=True)
    with open(output, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] != "provenance"]
    return {(row["part"], row["case"], row["measure"]): float(row["value"]) for row in rows}


def test_all_parts_are_measured_for_every_class(measured):
    assert all(math.isfinite(value) and value >= 0 for value in measured.values())
    for part, cases in {
        "limits": [""],
        "loading": ["spectrograms", "waveforms"],
        "runs": [*CLASSES, "mean of 40 classes", "the study audioset"],
        "scoring": ["batches of 8", "batches of 16"],
        "streaming": ["median"],
        "psla": ["", *CLASSES],
        "together": ["1", "2"],
    }.items():
        assert {case for found, case, _ in measured if found == part} == set(cases)


@pytest.mark.parametrize("case", CLASSES)
def test_a_run_is_its_epochs_and_an_epoch_its_phases(measured, case):
    run = {
        measure: value
        for (part, of, measure), value in measured.items()
        if (part, of) == ("runs", case)
    }
    phases = [
        value
        for measure, value in run.items()
        if measure.endswith(", of an epoch") and not measure.startswith("clips")
    ]
    assert len(phases) == 5
    assert sum(phases) == pytest.approx(run["epoch"])
    assert run["run of 30 epochs"] == pytest.approx(run["first epoch"] + 29 * run["epoch"])
    trained = run["clips trained, of an epoch"]
    assert trained / run["training, of an epoch"] == pytest.approx(run["training"])
    assert sum(run[f"clips {what}, of an epoch"] for what in ("scored", "validated")) < 48
    arithmetic = (
        trained
        / run["training, of an epoch"]
        * measured["store", "", "arithmetic of a clip, trained"]
        / 1e3
    )
    assert arithmetic == pytest.approx(run["training, arithmetic"])
    peak = measured["limits", "", "bf16 matrix product"]
    assert 100 * arithmetic / peak == pytest.approx(run["training, of the card's"])


@pytest.mark.parametrize("case", CLASSES)
def test_ratios_are_those_of_the_times(measured, case):
    rates = {what: measured["psla", "", what] for what in ("training", "scoring")}
    clips = {
        what: measured["runs", case, f"clips {what}, of an epoch"]
        for what in ("trained", "scored", "validated")
    }
    scored = clips["scored"] + clips["validated"]
    seconds = 30 * (clips["trained"] / rates["training"] + scored / rates["scoring"])
    assert measured["psla", case, "run of 30 epochs"] == pytest.approx(seconds)
    ours = measured["runs", case, "run of 30 epochs"]
    assert measured["psla", case, "run, relative to ours"] == pytest.approx(seconds / ours)
    for what, rate in rates.items():
        ratio = measured["runs", case, what] / rate
        assert measured["psla", case, f"our clips/s in {what}, relative"] == pytest.approx(ratio)


def test_the_mean_class_lies_between_the_classes_and_several_at_once_are_related_to_one(measured):
    runs = [measured["runs", case, "run of 30 epochs"] for case in CLASSES]
    mean = measured["runs", "mean of 40 classes", "run of 30 epochs"]
    assert min(runs) <= mean <= max(runs)
    one, two = (measured["together", n, "epochs of the median class"] for n in "12")
    assert measured["together", "2", "relative to 1"] == pytest.approx(two / one)

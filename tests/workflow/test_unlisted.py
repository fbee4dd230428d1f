"""Studies of a person's own data in which what is not listed is unknown, from lists to tables."""

import csv

import numpy as np
import pandas as pd
import pytest
import soundfile
from workspace import Workspace

RATE = 16_000
COMMON = """\
training: {epochs: 2, batch_size: 8, validation_fraction: 0.3}
sampling: {negatives_per_positive: 1.0}
strategies: [random, margin]
seeds: 1
"""
SOUNDS = """\
title: Mine
dataset: {name: recordings, list: list.csv, folder: sounds, unlisted: unknown}
audio: {clip_seconds: 0.5, mel_bins: 16, frame_shift_ms: 20, min_overlap: 0.2}
model: {name: cnn}
"""
DRUGS = """\
title: Drugs
dataset: {name: instances, list: drugs.csv, unlisted: unknown}
model: {name: mlp, pooling: attention}
"""


def write_sounds(folder):
    """Twelve recordings per split and case, of two clips each; the clips that have each label."""
    (folder / "sounds").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for split in ("train", "test"):
        for n in range(12):
            for case, values in {
                # The dog barks in the first clip; nobody listened to the second.
                "heard": ("Dog", 0.1, 0.4, ""),
                # Neither clip holds a dog; nobody listened for a cat.
                "silent": ("", "", "", "Dog"),
                "cat": ("Cat", 0.0, 1.0, "Dog"),
                "not_cat": ("", 0.0, 0.5, "Cat"),
                "nobody": ("", "", "", ""),
            }.items():
                file = f"{case}_{split}_{n}.wav"
                rows.append((file, split, *values))
                tone = np.sin(np.arange(RATE) * (0.3 if case == "heard" else 0.1 + 0.01 * n))
                noise = rng.normal(size=RATE)
                soundfile.write(folder / "sounds" / file, 0.3 * tone + 0.05 * noise, RATE)
    with open(folder / "list.csv", "w", newline="") as file:
        names = ("file", "split", "labels", "onset", "offset", "negatives")
        csv.writer(file).writerows([names, *rows])


def write_drugs(folder):
    """Per split 12 bags that are musk, 12 that are known not to be, and 12 that nobody measured."""
    rng = np.random.default_rng(1)
    rows = []
    for split in ("train", "test"):
        for n in range(36):
            case = n // 12
            for f in rng.normal(size=(3, 2)) + 2 * (case == 0):
                labels, negatives = ("musk", "", "")[case], ("", "musk", "")[case]
                rows.append((f"{split}{n}", labels, negatives, split, *f))
    columns = ["bag", "labels", "negatives", "split", "f0", "f1"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "drugs.csv", index=False)


TABLES = ("table1.md", "classes.csv", "selection.md")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace with the results of both studies; `mine` is the folder of their files."""
    mine = tmp_path_factory.mktemp("mine")
    write_sounds(mine)
    write_drugs(mine)
    (mine / "sound.yaml").write_text(SOUNDS + COMMON)
    (mine / "drugs.yaml").write_text(DRUGS + COMMON)
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    tables = [f"results/{study}/tables" for study in ("sound", "drugs")]
    targets = [f"{folder}/{name}" for folder in tables for name in TABLES]
    studies = f"studies=[{mine / 'sound.yaml'},{mine / 'drugs.yaml'}]"
    workspace.run(*targets, "--config", studies)
    workspace.mine = mine
    return workspace


@pytest.fixture
def results(workspace):
    """The folder of results of both studies."""
    return workspace.folder / "results"


CASES = {  # class -> positive, negative and unknown clips or bags of each split
    ("sound", "Dog"): (12, 48, 60),
    ("sound", "Cat"): (24, 12, 84),
    ("drugs", "musk"): (12, 12, 12),
}


@pytest.mark.parametrize(("study", "class_name"), CASES)
def test_no_unknown_bag_is_counted_and_every_one_can_be_chosen(results, study, class_name):
    positive, negative, unknown = CASES[study, class_name]
    folder = results / study
    metrics = pd.read_csv(folder / "metrics.csv").query("`class` == @class_name")
    assert len(metrics) == 2
    assert (metrics["test_positive"] == positive).all()
    assert (metrics["test_bags"] == positive + negative).all()
    assert (metrics["test_unknown"] == unknown).all()
    held_out = round(0.3 * negative)
    if study == "drugs":  # each bag is a group
        assert (metrics["n_pool"] == negative - held_out + unknown).all()
    else:
        assert (metrics["n_pool"] > negative).all()
    scores = pd.read_parquet(folder / f"runs/{class_name.lower()}/margin/scores.parquet")
    counts = scores["label"].value_counts().to_dict()
    assert counts == {1: positive, 0: negative, -1: unknown}
    manifest = pd.read_csv(folder / "bags/test.csv", keep_default_na=False)
    assert manifest["negatives"].str.split(";").map(lambda names: class_name in names).sum() == (
        negative
    )


@pytest.mark.parametrize("study", ["sound", "drugs"])
def test_tables_say_how_many_were_left_out(results, study):
    tables = results / study / "tables"
    cases = {name: counts for (of, name), counts in CASES.items() if of == study}
    text = (tables / "table1.md").read_text()
    fewest, most = (pick(case[2] for case in cases.values()) for pick in (min, max))
    assert "left out of all metrics: test bags whose label is unknown" in text
    assert f"{fewest} to {most} per class" in text if fewest < most else f"{most} per class" in text
    classes = pd.read_csv(tables / "classes.csv").set_index("class")
    for split in ("training", "test"):
        columns = [f"{split}_{ending}" for ending in ("clips", "negatives", "unknown")]
        found = {name: tuple(classes.loc[name, columns].astype(int)) for name in cases}
        assert found == cases
    chosen = pd.read_csv(tables / "most_selected.csv")
    assert set(chosen["unknown"]) <= {0, 1}
    assert chosen["unknown"].any()
    assert "Unknown: " in (tables / "selection.md").read_text()


def test_what_was_heard_trains_its_class_again_and_changes_nothing_else(workspace):
    corrections = {  # class -> lines; nobody had listened to these clips
        "Dog": ["nobody_train_0.wav@0.5,0.5,Dog,,", "nobody_train_1.wav@0,0,,Dog,"],
        "Cat": ["nobody_test_0.wav@0,0,Cat,,", "cat_test_0.wav@0,0,,,Cat"],
    }
    for name, lines in corrections.items():
        text = "\n".join(["id,start,labels,negatives,unsure", *lines])
        (workspace.mine / f"heard_{name}.csv").write_text(f"{text}\n")
    with open(workspace.mine / "sound.yaml", "a") as file:
        file.write("corrections: [heard_Dog.csv, heard_Cat.csv]\n")
    targets = [f"results/sound/tables/{name}" for name in TABLES]
    command = (*targets, "--config", f"studies=[{workspace.mine / 'sound.yaml'}]")
    report = {"collect_metrics": 1, "write_tables": 1, "audit_selections": 1}
    expected = {"correct_clips": 2, "train_run": 2, "score_run": 4} | report
    assert workspace.planned(*command) == expected
    before = pd.read_csv(workspace.folder / "results/sound/metrics.csv")
    workspace.run(*command)
    after = pd.read_csv(workspace.folder / "results/sound/metrics.csv")
    change = after.groupby("class").mean(True) - before.groupby("class").mean(True)
    assert change.loc["Dog", ["n_positive", "test_positive", "test_unknown"]].tolist() == [1, 0, 0]
    # One clip became positive, and another is left out.
    assert change.loc["Cat", ["n_positive", "test_positive", "test_unknown"]].tolist() == [0, 0, -1]
    assert workspace.planned(*command) == {}

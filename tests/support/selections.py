"""Studies whose selections are said by the test."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from synthetic import settings_of

from weakneg import datasets
from weakneg.bags.draw import Bags
from weakneg.bags.manifest import write_manifest
from weakneg.bags.split import split_validation
from weakneg.errors import UserError
from weakneg.report.audit import audit_selections

FRACTION = 0.25  # of the bags that go to validation
RELATED = {"Animal": {"Dog", "Bark"}, "Dog": {"Animal", "Bark"}, "Car": set()}
LABEL = [1] * 4 + [0] * 12  # 3 positive and 9 negative bags are left for training


class Made:
    """A study whose selections are said by the test.

    labels : class -> (B,) 0 or 1, of the manifest's bags; the bags of images are of two images
    """

    def __init__(self, folder: Path, strategies, labels, shared=None, kind="images"):
        self.folder, self.labels = folder, {c: np.array(label) for c, label in labels.items()}
        runs = {strategy: strategy for strategy in strategies} | (shared or {})
        self.settings = settings_of(
            labels, strategies, name="made", title="Made", runs=runs, kind=kind
        )
        self.manifests = [folder / "bags" / f"{c}.csv" for c in labels]
        if kind == "images":
            for label, path in zip(self.labels.values(), self.manifests, strict=True):
                write_manifest(path, {0: image_bags(label)})

    def folder_of(self, class_name, strategy):
        number = self.settings["classes"].index(class_name)
        return self.folder / "runs" / str(number) / self.settings["runs"][strategy]

    def pool(self, class_name, seed):
        """Rows of the bags that could be chosen."""
        label = self.labels[class_name]
        train, _ = split_validation(label, FRACTION, seed)
        return train[label[train] == 0]

    def choose(
        self, class_name, strategy, chosen, warmup_epochs=0, candidate_fraction=1.0, **record
    ):
        """Write a run: chosen is seed -> epoch -> bags, or (bags, scores), in order of choice."""
        folder = self.folder_of(class_name, strategy)
        folder.mkdir(parents=True, exist_ok=True)
        with h5py.File(folder / "selection.h5", "w") as file:
            for seed, epochs in chosen.items():
                pairs = [
                    each if isinstance(each, tuple) else (each, None) for each in epochs.values()
                ]
                shape = (len(pairs), max((len(bags) for bags, _ in pairs), default=0))
                bags = np.full(shape, -1, dtype=np.int32)
                scores = np.full(shape, np.nan, dtype=np.float32)
                for row, (ids, values) in enumerate(pairs):
                    bags[row, : len(ids)] = ids
                    scores[row, : len(ids)] = 1.0 if values is None else values
                    if strategy in ("random", "full"):
                        scores[row] = np.nan
                file[f"seed_{seed}/epoch"] = np.array(list(epochs), dtype=np.int64)
                file[f"seed_{seed}/bags"] = bags
                file[f"seed_{seed}/scores"] = scores
        by_seed = {str(seed): 1 for seed in chosen}
        n_pool = {str(seed): len(self.pool(class_name, seed)) for seed in chosen}
        run = {
            "class": class_name,
            "strategy": strategy,
            "fingerprint": "f",
            "settings": {
                "seeds": list(chosen),
                "draw_per_seed": False,
                "sampling": {
                    "warmup_epochs": warmup_epochs,
                    "candidate_fraction": candidate_fraction,
                },
                "training": {"validation_fraction": FRACTION},
            },
            **dict.fromkeys(("n_positive", "budget", "thresholds", "made_with"), by_seed),
            "n_pool": n_pool,
        }
        (folder / "run.json").write_text(json.dumps(run | record))

    @property
    def pairs(self):
        return [
            (strategy, self.folder_of(class_name, strategy))
            for class_name in self.settings["classes"]
            for strategy in self.settings["strategies"]
        ]

    def audit(self, dataset="digits"):
        """Name -> table, and "markdown"."""
        output = self.folder / "tables"
        audit_selections(self.pairs, self.manifests, self.settings, dataset, self.folder, output)
        assert {path.name for path in output.iterdir()} == {
            "selection_overlap.csv",
            "selection_turnover.csv",
            "most_selected.csv",
            "selection.md",
        }
        tables = {
            path.stem: pd.read_csv(
                path, engine="python", dtype={"class": str}, keep_default_na=False
            )
            if path.stem == "most_selected"
            else pd.read_csv(path)
            for path in output.glob("*.csv")
        }
        return tables | {"markdown": (output / "selection.md").read_text(encoding="utf-8")}


def values(table: pd.DataFrame, column: str, **where: str) -> list:
    """A column of the rows where other columns have these values."""
    for name, value in where.items():
        table = table[table[name] == value]
    return table[column].tolist()


def image_bags(label) -> Bags:
    n = len(label)
    return Bags(
        bag=np.arange(100, 100 + n),
        label=np.array(label, dtype=np.int8),
        density=np.array(label) / 2,
        instances=np.arange(2 * n).reshape(n, 2),
    )


def of_images(folder: Path) -> Made:
    """Two classes; two seeds, of which one stops early; a strategy under two names."""
    made = Made(
        folder,
        ["full", "random", "margin", "entropy", "badge"],
        {"a": LABEL, "b": LABEL[::-1]},
        {"entropy": "margin"},
    )
    for class_name in ("a", "b"):
        pools = {seed: made.pool(class_name, seed) for seed in (0, 1)}
        last = {0: 3, 1: 2}  # epoch at which a seed stops

        def choices(choose, pools=pools, last=last):
            return {
                seed: {epoch: choose(pool, epoch) for epoch in range(1, last[seed] + 1)}
                for seed, pool in pools.items()
            }

        made.choose(class_name, "full", choices(lambda pool, epoch: pool))
        made.choose(class_name, "random", choices(lambda pool, epoch: pool[epoch : epoch + 4]))
        made.choose(class_name, "margin", choices(lambda pool, epoch: (pool[:4], [4, 3, 2, epoch])))
        made.choose(class_name, "badge", choices(lambda pool, epoch: pool[[0, 1, 5 + epoch, 2]]))
    return made


def of_clips(folder: Path, monkeypatch) -> Made:
    """Clips of the classes "Animal" and "Car"; the negatives 4, 5 of Animal are dogs."""
    labels = [["Animal"]] * 3 + [["Car"]] * 3 + [["Dog", "Bark"], ["Speech", "Dog"]]
    labels += [["Speech"]] * 6 + [[]] * 2
    made = Made(
        folder,
        ["random", "badge"],
        {name: [name in of_clip for of_clip in labels] for name in ("Animal", "Car")},
        kind="clips",
    )
    made.manifests = [folder / "bags" / "train.csv"]
    write_clips(made.manifests[0], labels)
    made.dogs = [6, 7]
    published = datasets.Dataset(
        kind="clips",
        class_names=(),
        link=lambda name, start: f"https://example.org/{name}?t={int(start)}",
        related_classes=lambda folder: RELATED,
    )
    monkeypatch.setattr(datasets, "load", lambda name: published)
    return made


def write_clips(path, labels, ids=None, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = ids or [f"--clip_{row}" for row in range(len(labels))]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["bag", "id", "start", "instances", "labels"])
        for row, (name, of_clip) in enumerate(zip(ids, labels, strict=True)):
            writer.writerow([row + 1000, name, f"{10 * row:.3f}", 10, ";".join(of_clip)])


def seed_of(made, class_name, rows):
    """A seed whose pool has the rows."""
    return next(seed for seed in range(100) if {*rows} <= {*made.pool(class_name, seed).tolist()})


def choose_dogs(made):
    """badge chooses dogs and a car's clip for Animal; every class has its run."""
    seed = seed_of(made, "Animal", [*made.dogs, 3])
    made.choose("Animal", "badge", {seed: {1: [3, *made.dogs], 2: [*made.dogs, 3], 3: [6, 7]}})
    made.choose("Animal", "random", {seed: {1: made.pool("Animal", seed)[:3]}})
    for strategy in ("random", "badge"):
        made.choose("Car", strategy, {seed: {1: made.pool("Car", seed)[:3]}})
    return seed


def one_line(made, match, **changes):
    """The audit fails with one line, and leaves no text."""
    with pytest.raises(UserError, match=match) as error:
        made.audit(**changes)
    assert "\n" not in str(error.value)
    assert not (made.folder / "tables" / "selection.md").exists()

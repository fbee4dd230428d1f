"""The audit of the selections: its measures by hand, its tables and texts, and bad input."""

import csv
import itertools
import json
import re
from pathlib import Path

import h5py
import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy.stats import hypergeom

from weakneg import datasets
from weakneg.__main__ import main
from weakneg.analysis.selection_measures import MEASURES, expected_jaccard, jaccard, turnover
from weakneg.analysis.selections import read_clips
from weakneg.bags.draw import Bags
from weakneg.bags.draw import draw as draw_bags
from weakneg.bags.manifest import write_manifest
from weakneg.bags.split import split_validation
from weakneg.errors import UserError
from weakneg.report import audit
from weakneg.report.audit import audit_selections
from weakneg.report.figures.selection import RANDOM, draw_selection, selection
from weakneg.report.figures.style import STYLES, house_style
from weakneg.report.formatting import number
from weakneg.report.markdown import escape

FRACTION = 0.25  # of the bags that go to validation
BOTH = ("selection_overlap", "selection_turnover")


# ----------------------------------------------------------------------------- the measures
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
    for measure, values in expected.items():
        np.testing.assert_allclose(found[measure], values, err_msg=measure)


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


# ----------------------------------------------------------------------------- studies
class Made:
    """A study whose selections are said by the test.

    labels : class -> (B,) 0 or 1, of the manifest's bags; the bags of images are of two images
    """

    def __init__(self, folder: Path, strategies, labels, shared=None, kind="images"):
        self.folder, self.labels = folder, {c: np.array(label) for c, label in labels.items()}
        runs = {strategy: strategy for strategy in strategies} | (shared or {})
        self.study = {
            "name": "made",
            "title": "Made",
            "classes": list(labels),
            "strategies": list(strategies),
            "runs": runs,
            "kind": kind,
            "baseline": "random",
            "upper_bound": "full",
            "reference": None,
            "note": "",
        }
        self.manifests = [folder / "bags" / f"{c}.csv" for c in labels]
        if kind == "images":
            for label, path in zip(self.labels.values(), self.manifests, strict=True):
                write_manifest(path, {0: image_bags(label)})

    def folder_of(self, class_name, strategy):
        number = self.study["classes"].index(class_name)
        return self.folder / "runs" / str(number) / self.study["runs"][strategy]

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
            for class_name in self.study["classes"]
            for strategy in self.study["strategies"]
        ]

    def audit(self, dataset="digits"):
        """Name -> table, and "markdown"."""
        output = self.folder / "tables"
        audit_selections(self.pairs, self.manifests, self.study, dataset, self.folder, output)
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


LABEL = [1] * 4 + [0] * 12  # 3 positive and 9 negative bags are left for training


@pytest.fixture
def made(tmp_path) -> Made:
    """Two classes; two seeds, of which one stops early; a strategy under two names."""
    made = Made(
        tmp_path,
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


def test_overlap_is_the_mean_over_classes_and_seeds_at_an_epoch(made):
    table = made.audit()["selection_overlap"]
    assert list(table.columns) == audit.OVERLAP_COLUMNS
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


def test_strategies_that_share_a_run_are_one(made):
    tables = made.audit()
    for name in (*BOTH, "most_selected"):
        names = tables[name].filter(like="strategy").to_numpy().ravel()
        assert "margin" in names
        assert "entropy" not in names
    assert "Margin = Entropy" in tables["markdown"]


def test_turnover_averages_classes_and_seeds(made):
    table = made.audit()["selection_turnover"]
    assert list(table.columns) == audit.TURNOVER_COLUMNS
    assert table["strategy"].unique().tolist() == ["full", "random", "margin", "badge"]
    assert values(table, "turnover", strategy="badge")[1:] == [1 / 4, 1 / 4]
    expected = pytest.approx([5 / 9] * 2)
    assert values(table, "expected_turnover", strategy="badge")[1:] == expected
    assert values(table, "used", strategy="badge") == pytest.approx([4 / 9, 5 / 9, 6 / 9])
    assert values(table, "returns", strategy="margin") == [0, 1, 2]
    assert values(table, "turnover", strategy="full")[1:] == [0, 0]
    assert values(table, "n", strategy="random") == [4, 4, 2]
    assert table["related"].isna().all()


def test_people_see_turnover_and_where_a_training_ended(made):
    lines = made.audit()["markdown"].splitlines()
    [header] = [line for line in lines if line.startswith("| Strategy")]
    assert [cell.strip() for cell in header.split("|")[2:-1]] == [
        "New in a selection",
        "Share of the pool used",
        "Chosen before",
    ]
    row = [line for line in lines if line.startswith("| BADGE")][-1]
    # One seed ends with 6 of 9 bags used, three of the last four chosen twice before; the other
    # with 5 of 9, three of the last four chosen once before.
    assert [cell.strip() for cell in row.split("|")[2:-1]] == [
        f"25.0% ({5 / 9:.1%})",
        f"{(6 / 9 + 5 / 9) / 2:.1%} ({1 - ((5 / 9) ** 3 + (5 / 9) ** 2) / 2:.1%})",
        "1.1 (0.7)",
    ]
    assert not any(line.startswith("| Full set") for line in lines)


def test_rows_are_in_order_although_the_first_class_stopped_first(tmp_path):
    made = Made(tmp_path, ["random", "badge", "a_third"], {"a": LABEL, "b": LABEL})
    for class_name, last in (("a", 1), ("b", 3)):
        pool = made.pool(class_name, 0)
        for strategy in made.study["strategies"]:
            chosen = {epoch: pool[:2] for epoch in range(1, last + 1)}
            made.choose(class_name, strategy, {0: chosen})
    tables = made.audit()
    found = tables["selection_turnover"][["strategy", "epoch"]].to_numpy().tolist()
    assert found == [[s, epoch] for s in made.study["strategies"] for epoch in (1, 2, 3)]
    assert tables["selection_overlap"]["epoch"].tolist() == [1, 2, 3] * 3
    assert tables["selection_overlap"]["n"].tolist() == [2, 1, 1] * 3


def test_selections_of_the_warm_up_do_not_count(tmp_path):
    made = Made(tmp_path, ["random", "badge"], {"a": LABEL})
    pool = made.pool("a", 0)
    nan = [np.nan, np.nan]
    for strategy in ("random", "badge"):
        chosen = {1: (pool[:2], nan), 2: (pool[2:4], nan), 3: pool[4:6], 6: pool[4:6]}
        made.choose("a", strategy, {0: chosen}, warmup_epochs=2)
    tables = made.audit()
    assert tables["selection_overlap"]["epoch"].tolist() == [3, 6]
    assert tables["selection_turnover"]["distinct"].tolist() == [2, 2, 2, 2]
    assert tables["most_selected"]["times"].tolist() == [2, 2]
    assert tables["most_selected"]["mean_score"].tolist() == [1, 1]


def test_a_training_that_ended_in_its_warm_up_has_nothing_to_audit(tmp_path):
    made = Made(tmp_path, ["random", "badge"], {"a": LABEL})
    for strategy in ("random", "badge"):
        made.choose("a", strategy, {0: {1: made.pool("a", 0)[:2]}}, warmup_epochs=1)
    tables = made.audit()
    assert all(tables[name].empty for name in (*BOTH, "most_selected"))


@pytest.mark.parametrize("strategies", [["random"], ["full", "random"], ["random", "badge"]])
def test_small_studies(tmp_path, strategies):
    made = Made(tmp_path, strategies, {"a": LABEL})
    for strategy in strategies:
        made.choose("a", strategy, {0: {1: made.pool("a", 0)}})
    tables = made.audit()
    assert len(tables["selection_overlap"]) == len(strategies) - 1
    assert len(tables["selection_turnover"]) == len(strategies)
    assert ("Overlap needs two strategies" in tables["markdown"]) == ("badge" not in strategies)
    assert ("No strategy of the study scores" in tables["markdown"]) == ("badge" not in strategies)


def test_padding_is_no_bag(tmp_path):
    made = Made(tmp_path, ["random", "badge"], {"a": LABEL})
    pool = made.pool("a", 0)
    made.choose("a", "random", {0: {1: pool[:4], 2: pool[:1]}})
    made.choose("a", "badge", {0: {1: pool[:1], 2: pool[:2], 3: pool[:0]}})
    tables = made.audit()
    assert tables["selection_overlap"]["jaccard"].tolist() == [1 / 4, 1 / 2]
    assert tables["most_selected"]["times"].tolist() == [2, 1]


# ----------------------------------------------------------------------------- most selected
def test_most_selected_ranks_by_share_then_times_then_place(tmp_path):
    made = Made(tmp_path, ["random", "badge"], {"a": LABEL})
    pools = {seed: set(made.pool("a", seed).tolist()) for seed in (0, 1)}
    always, once = sorted(pools[0] & pools[1]), sorted(pools[0] - pools[1])
    late, early, rare = always[:3]
    chosen = {
        0: {
            1: ([early, once[0], late, rare], [2, 9, 1, 1]),
            2: ([early, once[0], late], [4, 9, 1]),
        },
        1: {1: ([late, early], [6, 1]), 2: ([early, late], [8, 1])},
    }
    made.choose("a", "random", chosen)
    made.choose("a", "badge", chosen)
    table = made.audit()["most_selected"]
    assert list(table.columns) == audit.MOST_SELECTED_COLUMNS
    assert table["strategy"].unique().tolist() == ["badge"]  # random choice says nothing
    assert table["rank"].tolist() == [1, 2, 3, 4]
    assert table["bag"].tolist() == [100 + row for row in (early, late, once[0], rare)]
    assert table["times"].tolist() == [4, 4, 2, 1]
    assert table["selections"].tolist() == [4, 4, 2, 4]  # one bag was once for validation
    # Where in a selection a bag was, first to last: of 4, 3, 2 and 2 bags.
    places = [(0 + 0 + 1 / 2 + 0) / 4, (2 / 4 + 2 / 3 + 0 + 1 / 2) / 4]
    places += [(1 / 4 + 1 / 3) / 2, 3 / 4]
    assert table["mean_place"].tolist() == pytest.approx(places)
    assert table["mean_score"].tolist() == [15 / 4, 9 / 4, 9, 1]


def test_most_selected_stops_at_twenty(tmp_path):
    made = Made(tmp_path, ["random", "badge"], {"a": [1, 1] + [0] * 60})
    for strategy in ("random", "badge"):
        pool = made.pool("a", 0)
        made.choose("a", strategy, {0: {1: pool, 2: pool[5:]}})
    table = made.audit()["most_selected"]
    assert table["rank"].tolist() == list(range(1, 21))
    assert table["bag"].tolist() == [100 + row for row in pool[5:25]]
    assert made.audit()["markdown"].count("\n1. ") == 1
    assert "\n5. " in made.audit()["markdown"]
    assert "\n6. " not in made.audit()["markdown"]


def test_people_see_the_bags_pooled_over_strategies_that_score(made):
    tables = made.audit()
    section = tables["markdown"].split("### a")[1].split("###")[0]
    pools = [made.pool("a", seed) for seed in (0, 1)]
    chosen = {}  # row -> times, selections
    for pool, epochs in zip(pools, (3, 2), strict=True):
        for row in pool:
            times, selections = chosen.get(row, (0, 0))
            in_margin = epochs * (row in pool[:4])
            in_badge = epochs * (row in pool[:3]) + sum(
                row == pool[5 + epoch] for epoch in range(1, epochs + 1)
            )
            chosen[row] = (times + in_margin + in_badge, selections + 2 * epochs)
    lines = re.findall(r"^\d\. bag (\d+), chosen (\d+) of (\d+) times$", section, re.M)
    assert len(lines) == 5
    found = {int(bag) - 100: (int(times), int(selections)) for bag, times, selections in lines}
    assert found == {row: chosen[row] for row in found}
    share = {row: times / selections for row, (times, selections) in chosen.items()}
    assert [share[row] for row in found] == sorted(share.values(), reverse=True)[:5]


def test_each_seed_may_have_bags_of_its_own(tmp_path):
    made = Made(tmp_path, ["random", "badge"], {"a": LABEL})
    write_manifest(made.manifests[0], {3: image_bags(LABEL), 5: image_bags(LABEL)})
    for strategy in ("random", "badge"):
        pools = {seed: made.pool("a", seed) for seed in (3, 5)}
        common = sorted(set(pools[3]) & set(pools[5]))
        chosen = {3: {1: common[:1], 2: common[:1]}, 5: {1: common[:1], 2: common[1:2]}}
        made.choose("a", strategy, chosen)
        path = made.folder_of("a", strategy) / "run.json"
        run = json.loads(path.read_text())
        run["settings"]["draw_per_seed"] = True
        path.write_text(json.dumps(run))
    tables = made.audit()
    found = tables["most_selected"][["draw", "bag", "times", "selections"]].to_numpy().tolist()
    first, second = (100 + row for row in common[:2])
    assert found == [[3, first, 2, 2], [5, first, 1, 2], [5, second, 1, 2]]
    assert f"1. bag {first} of draw 3, chosen 2 of 2 times" in tables["markdown"]


# ----------------------------------------------------------------------------- clips
RELATED = {"Animal": {"Dog", "Bark"}, "Dog": {"Animal", "Bark"}, "Car": set()}


@pytest.fixture
def clips(tmp_path, monkeypatch) -> Made:
    """Clips of the classes "Animal" and "Car"; the negatives 4, 5 of Animal are dogs."""
    labels = [["Animal"]] * 3 + [["Car"]] * 3 + [["Dog", "Bark"], ["Speech", "Dog"]]
    labels += [["Speech"]] * 6 + [[]] * 2
    made = Made(
        tmp_path,
        ["random", "badge"],
        {name: [name in of_clip for of_clip in labels] for name in ("Animal", "Car")},
        kind="clips",
    )
    made.manifests = [tmp_path / "bags" / "train.csv"]
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


def test_clips_are_named_linked_and_labelled(clips):
    choose_dogs(clips)
    table = clips.audit()["most_selected"]
    of_animal = table[table["class"] == "Animal"]
    columns = ["bag", "id", "start", "link", "times", "other_labels", "related_labels"]
    link = "https://example.org/--clip_{}?t={}"
    assert of_animal[columns].to_numpy().tolist() == [
        [1006, "--clip_6", 60.0, link.format(6, 60), 3, "Dog;Bark", "Dog;Bark"],
        [1007, "--clip_7", 70.0, link.format(7, 70), 3, "Speech;Dog", "Dog"],
        [1003, "--clip_3", 30.0, link.format(3, 30), 2, "Car", ""],
    ]
    section = clips.audit()["markdown"].split("### Animal")[1].split("###")[0]
    assert (
        f"1. [--clip\\_6]({link.format(6, 60)}), chosen 3 of 3 times: **Dog**; **Bark**" in section
    )
    assert ", chosen 3 of 3 times: Speech; **Dog**\n" in section


def test_related_labels_are_compared_with_their_share_of_the_pool(clips):
    seed = choose_dogs(clips)
    tables = clips.audit()
    badge = {"table": tables["selection_turnover"], "strategy": "badge"}
    # Mean over Animal (dogs: 2/3, 2/3, all) and, at the first epoch, Car, which has no relations.
    assert values(column="related", **badge) == pytest.approx([1 / 3, 2 / 3, 1])
    pool = clips.pool("Animal", seed)
    expected = pytest.approx([2 / len(pool)] * 2)
    assert values(column="expected_related", **badge)[1:] == expected
    # Means over classes: chosen (7/9 + 0) / 2, pool (2 / pool + 0) / 2.
    row = next(line for line in tables["markdown"].splitlines() if line.startswith("| BADGE"))
    assert row.split("|")[-2].strip() == f"{7 / 9 * len(pool) / 2:.2f}"
    share = f"Related labels: 75.0% of the chosen bags, {2 / len(pool):.1%} of the pool."
    assert share in tables["markdown"]  # 6 of the 8 chosen bags


def test_the_enrichment_has_an_interval_over_seeds(clips):
    seeds = [s for s in range(200) if {6, 7, 3} <= {*clips.pool("Animal", s).tolist()}][:2]
    for class_name in ("Animal", "Car"):
        for strategy in ("random", "badge"):
            pools = {seed: clips.pool(class_name, seed) for seed in seeds}
            made_up = {seeds[0]: {1: [6, 7]}, seeds[1]: {1: [6, 3]}}
            chosen = made_up if class_name == "Animal" else {s: {1: pools[s]} for s in seeds}
            clips.choose(class_name, strategy, chosen)
    size = len(clips.pool("Animal", seeds[0]))
    ratios = np.array([1, 1 / 2]) * size / 2
    half = 12.7062 * ratios.std(ddof=1) / np.sqrt(2)  # Student's t for one degree of freedom
    assert f"{ratios.mean():.2f} ± {half:.2f} |" in clips.audit()["markdown"]


def test_a_data_set_without_links_and_relations(clips, monkeypatch):
    choose_dogs(clips)
    published = datasets.Dataset(kind="clips", class_names=())
    monkeypatch.setattr(datasets, "load", lambda name: published)
    tables = clips.audit()
    assert (tables["most_selected"]["link"] == "").all()
    assert (tables["most_selected"]["related_labels"] == "").all()
    assert tables["selection_turnover"]["related"].isna().all()
    assert "1. --clip\\_6 at 60 s, chosen 3 of 3 times: Dog; Bark\n" in tables["markdown"]
    assert "Enrichment" not in tables["markdown"]


HOSTILE = [
    "[x](javascript:alert(1))",
    "<script>alert(1)</script>",
    "a|b\\|c",
    "`code` **bold** _em_ ~~del~~ $x$",
    "two\nlines\r\n# heading",
    "&lt;b&gt; https://evil.example www.evil.example a@b.example",
    "\u202egnp.exe\u0000\u200b",
    'quote " and comma,',
]


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_text_has_no_markup(text):
    escaped = escape(text)
    # Every sign that Markdown may take for markup has a backslash of its own before it.
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", escaped.replace("&#124;", ""))
    assert not set(bare) & set("\\`*_{}[]()<>#+!~&:@$|.")
    assert escaped.isprintable()
    assert "|" not in escaped
    shown = re.sub(r"\\(.)", r"\1", escaped.replace("&#124;", "|"))
    assert shown == " ".join("".join(c if c.isprintable() else " " for c in text).split())


def test_hostile_ids_and_labels_stay_text(clips):
    labels = [["Animal"]] * 3 + [["Car"]] * 3 + [[text.replace(";", "")] for text in HOSTILE]
    ids = [f"clip{row}" for row in range(6)] + HOSTILE
    write_clips(clips.manifests[0], labels, ids)
    clips.labels = {n: np.array([n in of_clip for of_clip in labels]) for n in clips.labels}
    for class_name in ("Animal", "Car"):
        pool = clips.pool(class_name, 0)
        pool = pool[pool > 5]
        for strategy in ("random", "badge"):
            clips.choose(class_name, strategy, {0: {1: pool}})
    tables = clips.audit()
    found = set(tables["most_selected"]["id"])
    assert found <= set(HOSTILE)
    assert len(found) >= 5
    text = tables["markdown"]
    assert len(re.findall(r"^#", text, re.M)) == 6  # title, three parts, two classes
    for line in re.findall(r"^\d\. .*", text, re.M):
        [link] = re.findall(r"(?<!\\)\]\(([^)]*)\)", line)
        assert re.fullmatch(r"https://example\.org/[^\s<>()|\[\]\\\"`]*", link)
        assert "<" not in re.sub(r"\\<", "", line)
    assert "\u202e" not in text


def test_clips_keep_ids_that_look_like_something_else(tmp_path):
    ids = ["NA", "007", "1e5", " x ", "nan", "--", "=1+1"]
    write_clips(tmp_path / "train.csv", [["Car"]] * len(ids), ids)
    clips = read_clips(tmp_path / "train.csv")
    assert clips["id"].tolist() == ids
    assert clips["bag"].tolist() == list(range(1000, 1007))
    assert clips["start"].tolist() == [10.0 * row for row in range(7)]


# ----------------------------------------------------------------------------- the figure
def figure_of(made):
    """The figure of a made study, and what is written in it."""
    made.audit()
    tables = (
        pd.read_csv(made.folder / "tables" / f"{name}.csv")
        for name in ("selection_overlap", "selection_turnover")
    )
    with house_style():
        figure = selection(*tables, made.study)
        figure.draw_without_rendering()
    written = figure.findobj(matplotlib.text.Text)
    return figure, [" ".join(text.get_text().split()) for text in written]


def fits(figure) -> bool:
    drawn, page = figure.get_tightbbox(), figure.bbox_inches
    return (drawn.min >= page.min - 0.01).all() and (drawn.max <= page.max + 0.01).all()


def test_the_figure_shows_overlap_and_curves(made):
    figure, texts = figure_of(made)
    assert fits(figure)
    matrix, new, used = figure.axes
    # Column and row of each cell; random and margin over 2 + 2 + 1 trainings: .60, .33, .14.
    assert {text.get_position(): text.get_text() for text in matrix.texts} == {
        (0, 1): ".40",
        (0, 2): ".19",
        (1, 2): ".60",
    }
    assert [label.get_text() for label in matrix.get_yticklabels()] == [
        "Random",
        "Margin = Entropy",
        "BADGE",
    ]
    assert any("mean over 2 classes and 2 seeds" in text for text in texts)
    expected = number(expected_jaccard(9, 4, 4), 2)
    assert any(f"overlap of random choices: {expected}" in text for text in texts)
    curves = {line.get_color(): line.get_ydata().tolist() for line in used.lines}
    # Without the last epoch, which one seed did not reach.
    assert curves[STYLES["badge"].colour] == pytest.approx([4 / 9, 5 / 9])
    assert curves[RANDOM["color"]] == pytest.approx([4 / 9, 56 / 81])
    assert any("a curve ends where the first of its trainings stopped" in text for text in texts)
    curves = {line.get_color(): line.get_ydata().tolist() for line in new.lines}
    assert curves[STYLES["margin"].colour] == [0]
    assert STYLES["full"].colour not in curves


@pytest.mark.parametrize("n", [0, 1, 2, 18])
def test_the_figure_fits_any_number_of_strategies(tmp_path, n):
    names = [f"strategy_of_my_own_{i}" for i in range(n)]
    made = Made(tmp_path, ["full", "random", *names][: n + 2], {"a" * 60: LABEL})
    if n == 0:
        made.study["strategies"].remove("random")
    for strategy in made.study["strategies"]:
        made.choose("a" * 60, strategy, {0: {5: made.pool("a" * 60, 0)[:3]}})
    figure, texts = figure_of(made)
    assert fits(figure)
    assert any("there is nothing to show" in text for text in texts) == (n == 0)


def test_the_figure_is_drawn_by_its_stage_with_the_same_bytes_each_time(made):
    made.audit()
    tables = made.folder / "tables"
    arguments = ["draw_selection", "--settings", json.dumps(made.study)]
    arguments += ["--overlap", str(tables / "selection_overlap.csv")]
    arguments += ["--turnover", str(tables / "selection_turnover.csv")]
    for name in ("one", "two"):
        outputs = [str(made.folder / name / f"selection.{kind}") for kind in ("pdf", "png", "svg")]
        assert main([*arguments, "--outputs", *outputs]) == 0
    for path in (made.folder / "one").iterdir():
        assert path.read_bytes() == (made.folder / "two" / path.name).read_bytes()
    assert len(list((made.folder / "one").iterdir())) == 3
    with pytest.raises(UserError, match=r"\.gif: a figure is written as one of"):
        draw_selection(*arguments[4::2], made.study, ["figure.gif"])
    with pytest.raises(UserError, match=r"none\.csv does not exist; run the audit stage first"):
        draw_selection("none.csv", arguments[-1], made.study, ["figure.png"])


# ----------------------------------------------------------------------------- real selections
def test_it_reads_what_training_writes(tmp_path):
    import torch  # the audit itself does without
    from by_position import train_run

    from weakneg.config.stages import RunSettings
    from weakneg.features.store import Store, write_store

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    bright = np.arange(400) < 50
    x = (rng.normal(60 + 30 * bright[:, None, None, None], 40, (400, 1, 8, 8))).clip(0, 255)
    y = np.stack([~bright, bright], axis=1).astype(np.uint8)
    one = np.ones(1)
    store = Store(x.astype(np.uint8), np.arange(400), y, ("dark", "bright"), one, one, "", {})
    write_store(tmp_path / "train.h5", store)
    write_manifest(tmp_path / "train.csv", {0: draw_bags(bright, 5, "uniform", 0)})
    for strategy in ("full", "random", "margin"):
        settings = {
            "model": {},
            "sampling": {"warmup_epochs": 1, "negatives_per_positive": 1.0},
            "training": {"epochs": 4},
            "strategy": strategy,
            "options": {},
            "seeds": [0, 1],
            "draw_per_seed": False,
        }
        identity = dict.fromkeys(("study", "fingerprint"), "x") | {
            "class": "bright",
            "strategy": strategy,
        }
        train_run(
            tmp_path / "train.h5",
            tmp_path / "train.csv",
            tmp_path / strategy,
            RunSettings.model_validate(settings),
            identity,
            "cpu",
            1,
        )
    study = {
        "name": "bright",
        "title": "Bright",
        "classes": ["bright"],
        "strategies": ["full", "random", "margin"],
        "runs": {name: name for name in ("full", "random", "margin")},
        "kind": "images",
        "baseline": "random",
        "upper_bound": "full",
    }
    status = main(
        [
            "audit_selections",
            *("--runs", *(f"{name}={tmp_path / name}" for name in study["strategies"])),
            *("--manifests", str(tmp_path / "train.csv"), "--settings", json.dumps(study)),
            *("--dataset", "digits", "--data-folder", "none"),
            *("--folder", str(tmp_path / "tables")),
        ]
    )
    assert status == 0
    overlap = pd.read_csv(tmp_path / "tables/selection_overlap.csv")
    assert overlap["epoch"].unique().tolist() == [2, 3, 4]
    assert overlap["n"].unique().tolist() == [2]
    with_full = overlap[overlap["strategy_a"] == "full"]
    np.testing.assert_allclose(with_full["jaccard"], with_full["expected_jaccard"])
    selected = pd.read_csv(tmp_path / "tables/most_selected.csv")
    assert selected["strategy"].unique().tolist() == ["margin"]
    assert (selected["mean_score"] < 0).all()  # minus the absolute logit
    assert selected["selections"].isin([3, 6]).all()


# ----------------------------------------------------------------------------- bad input
def one_line(made, match, **changes):
    with pytest.raises(UserError, match=match) as error:
        made.audit(**changes)
    assert "\n" not in str(error.value)
    assert not (made.folder / "tables" / "selection.md").exists()


def test_a_run_without_selections_is_named(made):
    path = made.folder_of("b", "badge") / "selection.h5"
    path.unlink()
    one_line(made, rf"^{path} does not exist; train this run first\.$")
    path.write_bytes(b"no HDF5")
    one_line(made, rf"^{path} is damaged or lacks seed 0; delete the folder and train")


def test_a_seed_without_selections_is_named(made):
    path = made.folder_of("a", "badge") / "selection.h5"
    with h5py.File(path, "a") as file:
        del file["seed_1"]
    one_line(made, rf"^{path} is damaged or lacks seed 1;")


def test_arrays_that_do_not_fit_are_refused(made):
    path = made.folder_of("a", "badge") / "selection.h5"
    with h5py.File(path, "a") as file:
        epoch = file["seed_1/epoch"][:1]
        del file["seed_1/epoch"]
        file["seed_1/epoch"] = epoch
    one_line(made, rf"^{path} is damaged or lacks seed 1;")


@pytest.mark.parametrize(
    ("row", "match"),
    [
        (16, "row 16 is beyond the manifest's 16 bags"),
        (-2, "row -2 is beyond the manifest's 16 bags"),
        (0, "row 0 of the manifest is no bag of the pool"),  # a positive one
    ],
)
def test_rows_that_cannot_have_been_chosen_are_named(made, row, match):
    pool = made.pool("a", 0)
    chosen = {0: {1: [*pool[:3], row]}, 1: {1: made.pool("a", 1)[:4]}}
    made.choose("a", "badge", chosen)
    path = made.folder_of("a", "badge") / "selection.h5"
    one_line(made, rf"^{path}, seed 0: {match}, so the manifest is not that of the training")


def test_a_pool_of_another_size_is_named(made):
    made.choose("a", "badge", {0: {1: made.pool("a", 0)[:4]}}, n_pool={"0": 8})
    one_line(made, r"run\.json: the pool of seed 0 has 8 bags, but .*0\.csv|a\.csv gives 9; train")


def test_a_class_without_manifest_is_named(made):
    path = made.manifests[1]
    path.unlink()
    one_line(made, rf"^{path} cannot be read \(No such file or directory\)")
    del made.manifests[1]
    one_line(
        made, r"^Study made: 1 manifests are named where it has 2; name .* each of its classes"
    )


def test_a_manifest_that_lacks_the_draw_is_named(made):
    write_manifest(made.manifests[0], {4: image_bags(LABEL)})
    one_line(made, rf"^{made.manifests[0]} has no draw 0: delete it")


def test_a_run_that_is_not_named_is_missed(made):
    made.study["strategies"].append("svm_margin")
    made.study["runs"]["svm_margin"] = "margin_of_another_kind"
    pairs = [pair for pair in made.pairs if pair[0] != "svm_margin"]
    with pytest.raises(
        UserError, match=r"^Study made: no run .* class 'a' and strategy 'svm_margin'"
    ):
        audit_selections(
            pairs, made.manifests, made.study, "digits", "none", made.folder / "tables"
        )


def test_a_record_without_settings_is_named(made):
    path = made.folder_of("a", "badge") / "run.json"
    run = json.loads(path.read_text())
    del run["settings"]["training"]
    path.write_text(json.dumps(run))
    one_line(made, rf"^{path} has no key 'training'; train this run again\.$")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("bag,id", "bag,name", " has no column id; its columns are bag, id, start"),
        ("1000,", "one,", ", line 2: invalid literal .* 'one'; list the clips again"),
        ("10.000", "soon", ", line 3: could not convert string to float: 'soon'; list"),
        ("Animal", "Animals", " has no clip of the class 'Animal': list the clips again"),
        ("1000,", "1000,more,", ", line 2 has 6 values, the header has 5"),
    ],
)
def test_a_bad_manifest_of_clips_is_named(clips, old, new, match):
    choose_dogs(clips)
    path = clips.manifests[0]
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    one_line(clips, rf"^{path}{match}")


def test_an_empty_line_in_a_manifest_of_clips_is_nothing(clips):
    path = clips.manifests[0]
    before = read_clips(path)
    path.write_text(path.read_text().replace("\n", "\n\n", 2))
    pd.testing.assert_frame_equal(read_clips(path), before)


def test_an_empty_or_missing_manifest_of_clips_is_named(clips):
    choose_dogs(clips)
    path = clips.manifests[0]
    path.write_text("bag,id,start,instances,labels\n")
    one_line(clips, rf"^{path} has no bags: draw them again")
    path.unlink()
    one_line(clips, rf"^{path} cannot be read \(No such file or directory\): draw the bags")
    clips.manifests = []
    one_line(clips, r"^Study made: 0 manifests are named where it has 1; name .* all clips\.$")

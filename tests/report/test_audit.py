"""The audit of the selections: its tables and its text together, and what training writes."""

import json

import numpy as np
import pandas as pd
import pytest
from selections import LABEL, Made, choose_dogs
from synthetic import settings_of

from weakneg import datasets
from weakneg.bags.draw import draw as draw_bags
from weakneg.bags.manifest import write_manifest
from weakneg.command_line import main

BOTH = ("selection_overlap", "selection_turnover")


def test_strategies_that_share_a_run_are_one(made):
    tables = made.audit()
    for name in (*BOTH, "most_selected"):
        names = tables[name].filter(like="strategy").to_numpy().ravel()
        assert "margin" in names
        assert "entropy" not in names
    assert "Margin = Entropy" in tables["markdown"]


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
    assert ("An overlap needs two strategies" in tables["markdown"]) == ("badge" not in strategies)
    assert ("No strategy of the study scores" in tables["markdown"]) == ("badge" not in strategies)


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
    settings = settings_of(["bright"], ["full", "random", "margin"])
    status = main(
        [
            "audit_selections",
            *("--runs", *(f"{name}={tmp_path / name}" for name in settings["strategies"])),
            *("--manifests", str(tmp_path / "train.csv"), "--settings", json.dumps(settings)),
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

"""What a study costs: the counts are those of real trainings, and the hours follow from them."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from many_classes import data_of, settings, store

import weakneg
from weakneg.bags.draw import Bags
from weakneg.command_line import main
from weakneg.config.load import load_study
from weakneg.config.stages import RunSettings
from weakneg.config.study import Study
from weakneg.config.subset import subset
from weakneg.errors import UserError
from weakneg.estimate.cost import model_cost, study_cost
from weakneg.features.store import Store
from weakneg.training import loop
from weakneg.training.adam import Adam
from weakneg.training.data import BagData, score_bags


@pytest.mark.parametrize(
    ("strategy", "training", "sampling"),
    [
        ("margin", {}, {}),
        ("margin", {"batch_size": 7, "validation_fraction": 0.27}, {"resample_every": 2}),
        ("margin", {}, {"warmup_epochs": 2, "resample_every": 3}),
        ("margin", {}, {"candidate_fraction": 0.4, "negatives_per_positive": 0.7}),
        ("margin", {}, {"negatives_per_positive": 50.0}),
        ("random", {}, {}),
        ("margin", {"positives": {"method": "smote", "share": 0.7}}, {}),
        ("full", {}, {"warmup_epochs": 1}),
        ("random", {}, {"candidate_fraction": 0.4, "negatives_per_positive": 0.7}),
        ("trimmed then random", {}, {"candidate_fraction": 0.4, "negatives_per_positive": 0.7}),
        ("trimmed then full", {}, {"candidate_fraction": 0.4, "warmup_epochs": 1}),
    ],
)
def test_a_model_costs_what_its_training_does(strategy, training, sampling, monkeypatch):
    n_positive, n_negative = 11, 41
    strategy, _, inner = strategy.partition(" then ")
    # The share is 0, since the cost leaves it out.
    options = {"share": 0.0, "then": {"strategy": inner}} if inner else {}
    settings = RunSettings.model_validate(
        {
            "model": {"name": "mlp", "pooling": "attention"},
            "sampling": sampling,
            "training": {"epochs": 5, "batch_size": 8} | training,
            "strategy": strategy,
            "options": options,
            "seeds": [0],
            "draw_per_seed": False,
        }
    )
    n = n_positive + n_negative
    x = np.random.default_rng(0).normal(size=(n, 2, 3)).astype(np.float32)
    store = Store(x, np.arange(n), np.zeros((n, 0)), (), np.zeros(3), np.ones(3), "clips", {})
    label = (np.arange(n) < n_positive).astype(np.int8)
    bags = Bags(np.arange(n), label, np.full(n, np.nan), np.arange(2 * n).reshape(n, 2))

    steps, scored = [], []
    update = Adam.update
    monkeypatch.setattr(Adam, "update", lambda *given: (steps.append(1), update(*given)))

    def count(model, data, rows, *args, **kwargs):
        scored.append(len(rows))
        return score_bags(model, data, rows, *args, **kwargs)

    monkeypatch.setattr(loop, "score_bags", count)
    data = BagData(store, bags, torch.device("cpu"))
    state = loop.train_seed(data, settings, 0, None, lambda state: None)
    cost = model_cost(settings, n_positive, n_negative, n_test=100)
    assert (cost.models, cost.steps) == (1, len(steps))
    assert cost.trained == state["history"][-1]["bags_trained"]
    assert cost.scored == sum(scored) + 100


def test_the_study_of_the_paper_is_counted_run_by_run():
    study = load_study("audioset")
    cost = study_cost(study)
    # Margin, entropy and least confidence choose alike, and are one run.
    assert cost.models == 40 * (len(study.strategies) - 2) * 5
    one = study.model_copy(update={"classes": ["Music"], "strategies": study.strategies[:1]})
    settings = RunSettings.model_validate(RunSettings.of(study, one.strategy_names[0]).model_dump())
    of_music = model_cost(settings, 6244, 22_160 - 6244, 20_371)
    assert study_cost(one) == tuple(5 * number for number in of_music)
    assert cost.hours(1e9, cost.scored / 7200) == pytest.approx(2, abs=0.1)


@pytest.fixture
def many_classes(tmp_path):
    """Path of a study of two methods and three seeds."""
    path = tmp_path / "many.yaml"
    path.write_text(
        "title: Many\ndataset: {name: audioset}\nsource: {type: youtube}\ntask: multilabel\n"
        "model: {name: cnn}\nmethods: [bce, focal]\nobserved: one_positive\n"
        "classes: {top: 40}\nseeds: 3\ntraining: {epochs: 5, batch_size: 8}\n"
    )
    return path


def test_a_model_of_many_classes_trains_on_all_clips_once_an_epoch(many_classes, monkeypatch):
    """However many classes there are; a real training of as many clips costs the same."""
    n_train, n_test = 160, 100
    sizes = {"train": n_train, "test": n_test}
    monkeypatch.setattr(Study, "split_sizes", sizes)
    study = load_study(many_classes)
    cost = study_cost(study)
    fraction = study.training.validation_fraction
    real = settings(epochs=5, batch_size=8, validation_fraction=fraction, patience=None)
    state = loop.train_seed(data_of(store(n_train), real), real, 0, None, lambda state: None)
    held_out = len(state["validation"]["label"])
    assert cost.models == 2 * 3
    assert cost.trained == pytest.approx(6 * state["history"][-1]["bags_trained"], rel=0.1)
    assert cost.scored == pytest.approx(6 * (n_test + 5 * held_out), rel=0.1)
    assert cost.trained + cost.scored == 6 * (5 * n_train + n_test)
    assert cost.steps == 6 * 5 * math.ceil(cost.trained / 30 / 8)


def test_the_hours_of_a_study_of_many_classes(many_classes, capsys):
    assert main(["estimate", str(many_classes), "--device", "cpu"]) == 0
    counts, hours = capsys.readouterr().out.splitlines()
    assert "2 training jobs, 6 models" in counts
    assert re.search(r"about [\d,.]+ hours", hours)


def test_what_is_not_known_is_said():
    with pytest.raises(UserError, match="the cost of cifar10 cannot be estimated"):
        study_cost(load_study("cifar10"))


def test_counting_needs_no_pytorch():
    code = "import sys, weakneg.estimate.cost; sys.exit('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(Path(weakneg.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_the_command_says_counts_and_hours(capsys, monkeypatch):
    """Of the grid of `snakemake`: what --config says, or else config.yaml."""
    in_file = {"studies": ["digits"], "classes": ["Crying baby"], "seeds": 2}
    monkeypatch.setattr("weakneg.config.files.read_config", lambda *_: in_file)
    arguments = ["estimate", "esc10", "--device", "cpu", "--config", "classes=[Rooster]"]
    assert main(arguments) == 0
    counts, hours = capsys.readouterr().out.splitlines()
    cost = study_cost(subset(load_study("esc10"), ["Rooster"], None, [0, 1]))
    assert f"{cost.models:,} models" in counts
    assert f"{cost.steps:,} steps" in counts
    pattern = r"([\d,]+) clips/s trained, ([\d,]+) scored; about ([\d,.]+) hours, .* ([\d,.]+)$"
    found = re.search(pattern, hours)
    trained, scored, total, of_eight = (float(text.replace(",", "")) for text in found.groups())
    assert total == pytest.approx(cost.hours(trained, scored), rel=0.2, abs=0.06)
    assert of_eight == pytest.approx(total / 8, abs=0.06)


def test_unknown_clips_are_chosen_from_and_not_validated():
    settings = RunSettings.of(load_study("audioset"), "margin")
    with_unknown, without = (model_cost(settings, 100, 1000, 50, n) for n in (500, 0))
    choices = math.ceil(
        (settings.training.epochs - settings.sampling.warmup_epochs)
        / settings.sampling.resample_every
    )
    more = round(settings.sampling.candidate_fraction * 500) * choices
    assert abs(with_unknown.scored - without.scored - more) <= choices
    assert with_unknown.trained == without.trained


def test_a_grid_of_budgets_costs_what_its_studies_of_one_budget_cost(tmp_path):
    path = tmp_path / "mine.yaml"

    def cost(strategies: str, ratios: str) -> tuple[int, ...]:
        path.write_text(
            f"title: Mine\nextends: audioset\nclasses: [Music, Pizzicato]\nseeds: 2\n"
            f"strategies: {strategies}\nsampling: {{negatives_per_positive: {ratios}}}\n"
        )
        return study_cost(load_study(path))

    parts = [cost("[random, margin, entropy]", ratio) for ratio in ("0.5", "50")]
    parts.append(cost("[full, random]", "50"))
    parts.append(tuple(-number for number in cost("random", "50")))
    total = tuple(map(sum, zip(*parts, strict=True)))
    assert cost("[random, margin, entropy]", "[0.5, 50, all]") == total

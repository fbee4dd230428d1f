"""The training loop is what the settings say."""

import itertools
import json
import math
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from short_runs import (
    CPU,
    assert_same_weights,
    bag_data,
    history,
    instance_logits,
    run_settings,
    selection,
    split_rows,
    weights,
)
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from weakneg import models, strategies
from weakneg.bags.manifest import read_manifest
from weakneg.bags.split import split_validation
from weakneg.errors import UserError
from weakneg.features.store import read_store
from weakneg.jobs.device import prepare
from weakneg.models import bag_classifier
from weakneg.training import loop
from weakneg.training.data import BagData, score_bags
from weakneg.training.loop import random_generator, train_seed
from weakneg.training.ranking import best_thresholds


def test_no_group_is_trained_and_validated_on(data):
    store = read_store(data / "train.h5")
    bags = read_manifest(data / "train.csv", len(store.x))[0]
    group = np.arange(len(bags)) // 7
    grouped = BagData(store, replace(bags, group=group), CPU)
    state = train_seed(grouped, run_settings("full", epochs=1), 0, None, lambda state: None)
    train, validation = split_validation(bags.label, 0.3, 0, group)
    assert not set(group[train]) & set(group[validation])
    (selected,) = state["selections"]
    assert set(selected["bags"].tolist()) <= set(train.tolist())
    assert (state["n_positive"], state["n_pool"]) == (
        bags.label[train].sum(),
        (bags.label[train] == 0).sum(),
    )


# ----------------------------------------------------------------------------- best epoch
def test_the_weights_kept_are_those_of_the_best_epoch(train, data):
    folder = train("run", seeds=range(4), epochs=8, learning_rate=0.01)
    bags, label = bag_data(data)
    last = 0
    for seed in range(4):
        table = history(folder, seed)
        best = table[table.best]
        assert best.epoch.tolist() == [table.epoch[table.validation_ap.argmax()]]
        last += best.epoch.item() == 8
        model = bag_classifier.load(run_settings().model, (1, 8, 8))
        model.load_state_dict(weights(folder, seed))
        rows = split_rows(data, seed)[2]
        logits = score_bags(model, bags, bags.rows(rows), 7).logits.double().numpy()
        kept = json.loads((folder / "run.json").read_text())["thresholds"][str(seed)]
        # The logits of batches of other sizes may differ in the last bit.
        assert kept == pytest.approx(best_thresholds(label[rows], logits), rel=1e-5)
        ap = average_precision_score(label[rows], logits)
        roc_auc = roc_auc_score(label[rows], logits)
        loss = np.mean(np.logaddexp(0, np.where(label[rows] == 1, -logits, logits)))
        assert ap == pytest.approx(best.validation_ap.item(), abs=1e-12)
        assert roc_auc == pytest.approx(best.validation_roc_auc.item(), abs=1e-12)
        assert loss == pytest.approx(best.validation_loss.item(), rel=1e-5)
    assert last < 4, "this shows nothing if the best epoch is always the last"


def _pretend(monkeypatch, aps):
    """Let the validation of epoch 1, 2, ... give the average precision aps[0], aps[1], ..."""
    epochs = iter(aps)
    monkeypatch.setattr(loop, "ranking_metrics", lambda label, score: (next(epochs), 0.5))


def test_of_equal_epochs_the_earlier_is_kept(train, monkeypatch):
    _pretend(monkeypatch, [0.5, 0.7, 0.6, 0.7, 0.7])
    folder = train("run", epochs=5)
    assert history(folder).best.tolist() == [False, True, False, False, False]
    _pretend(monkeypatch, [0.5, 0.7])
    assert_same_weights(weights(folder), weights(train("two", epochs=2)))


@pytest.mark.parametrize(
    ("patience", "aps", "epochs"),
    [
        (3, [0.5, 0.7, 0.7, 0.6, 0.7, 0.9, 0.9], 5),
        (1, [0.5, 0.4, 0.9], 2),
        (1, [0.5, 0.6, 0.7, 0.7], 4),
        (2, [0.5, 0.4, 0.6, 0.5, 0.7, 0.1, 0.1, 0.9], 7),
        (None, [0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1], 8),
    ],
)
def test_patience_counts_the_epochs_since_the_best(train, monkeypatch, patience, aps, epochs):
    _pretend(monkeypatch, aps + [0.0] * 8)
    table = history(train("run", epochs=8, patience=patience))
    assert len(table) == epochs
    assert table.epoch[table.best].item() == np.argmax(aps[:epochs]) + 1


def test_epochs_are_compared_by_a_moving_average(train, monkeypatch):
    """.3, .6, .45, .525, .5125: a lucky epoch 2 counts less than it would alone."""
    aps = [0.3, 0.9, 0.3, 0.6, 0.5]
    _pretend(monkeypatch, aps)
    table = history(train("run", epochs=5, smoothing=0.5))
    assert table.validation_ap.tolist() == aps
    assert table.validation_ap_smoothed.tolist() == pytest.approx([0.3, 0.6, 0.45, 0.525, 0.5125])
    assert table.epoch[table.best].tolist() == [2]
    _pretend(monkeypatch, [0.5, 0.4, 0.8, 0.7, 0.1])
    table = history(train("other", epochs=5, smoothing=0.5))
    assert table.epoch[table.best].tolist() == [4]


def test_patience_begins_when_the_strategy_does(train, monkeypatch):
    _pretend(monkeypatch, [0.9] + [0.0] * 8)
    folder = train("run", "margin", epochs=8, patience=2, warmup_epochs=3)
    assert history(folder).epoch.tolist() == [1, 2, 3, 4, 5]


def test_a_strategy_that_needs_more_memory_than_there_is_is_one_sentence(train, monkeypatch):
    def too_much(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")

    monkeypatch.setattr("weakneg.strategies.badge.select", too_much)
    with pytest.raises(UserError, match=r"seed 0, epoch 1: not enough memory on cpu for badge"):
        train("run", "badge")


# ----------------------------------------------------------------------------- which bags
def test_a_strategy_in_an_option_chooses_from_what_is_left(train):
    """In the first epoch nothing is left out, so that the weights before the second are equal."""
    known = {"loss_label": "known"}
    inner = {"strategy": "gradient_embedding"} | known
    options = {"share": 0.5, "over_epochs": 1, "then": inner}
    trimmed = selection(train("trimmed", "trimmed", options=options, epochs=2))["bags"]
    plain = selection(train("plain", "gradient_embedding", options=known, epochs=2))["bags"]
    assert trimmed[0].tolist() == plain[0].tolist()
    remaining = [bag for bag in plain[1] if bag in trimmed[1]]
    assert trimmed[1].tolist()[: len(remaining)] == remaining
    assert 0 < len(remaining) < len(plain[1])
    rest = train("rest", "trimmed", options=options | {"then": {"strategy": "full"}})
    first, *later = history(rest).n_negatives
    assert later == [first - round(first / 2)] * 2


def test_resampling_every_third_epoch(train):
    folder = train("run", "margin", resample_every=3, epochs=8)
    assert selection(folder)["epoch"].tolist() == [1, 4, 7]
    assert history(folder).epoch[history(folder).resampled].tolist() == [1, 4, 7]
    assert selection(folder)["bags"].shape == (3, 28)


def test_warm_up_epochs_train_on_random_bags(train):
    """Those that the strategy `random` takes; the first scored selection follows them."""
    warm = train("warm", "margin", warmup_epochs=2, resample_every=3, epochs=7)
    random = train("random", "random", epochs=7)
    found, expected = selection(warm), selection(random)
    assert found["epoch"].tolist() == [1, 2, 3, 6]
    assert np.array_equal(found["bags"][:2], expected["bags"][:2])
    assert np.isnan(found["scores"][:2]).all()
    assert np.isfinite(found["scores"][2:]).all()
    scoring = pd.read_parquet(warm / "timing.parquet").seconds_scoring
    assert (scoring > 0).tolist() == [False, False, True, False, False, True, False]
    same = ["epoch", "train_loss", "validation_loss", "n_negatives"]
    assert history(warm)[same][:2].equals(history(random)[same][:2])


def test_all_strategies_warm_up_alike(train):
    """`full`, too, which afterwards has no share of the pool to choose from, but all of it."""
    options = {"warmup_epochs": 2, "candidate_fraction": 0.6}
    full, margin = (history(train(name, name, **options)) for name in ("full", "margin"))
    same = ["epoch", "train_loss", "validation_loss", "n_negatives"]
    assert full[same][:2].equals(margin[same][:2])
    assert full.n_negatives.tolist() == [28, 28, 56]


@pytest.mark.parametrize(("ratio", "budget"), [(2.0, 28), (0.5, 7), (0.25, 4), (50.0, 56)])
def test_the_budget_is_the_ratio_times_the_positives_clamped_to_the_pool(
    train, data, ratio, budget
):
    positives, pool, _ = split_rows(data)
    assert (len(positives), len(pool)) == (14, 56)  # what the budgets above go by
    folder = train("run", "margin", negatives_per_positive=ratio)
    table = history(folder)
    assert table.n_negatives.tolist() == [budget] * 3
    assert table.bags_trained.tolist() == [(14 + budget) * epoch for epoch in (1, 2, 3)]
    assert selection(folder)["bags"].shape == (3, budget)
    record = json.loads((folder / "run.json").read_text())
    assert (record["n_positive"], record["n_pool"]) == ({"0": 14}, {"0": 56})
    assert record["budget"] == {"0": budget}


def test_a_budget_is_never_less_than_one_bag(train):
    folder = train("run", "margin", negatives_per_positive=1e-3, candidate_fraction=1e-3)
    assert history(folder).n_negatives.tolist() == [1] * 3


def test_full_trains_on_the_whole_pool_whatever_the_budget(train, data):
    folder = train("run", "full", negatives_per_positive=0.5)
    assert np.array_equal(selection(folder)["bags"], np.tile(split_rows(data)[1], (3, 1)))
    assert history(folder).n_negatives.tolist() == [56] * 3
    assert json.loads((folder / "run.json").read_text())["budget"] == {"0": 56}


@pytest.mark.parametrize("strategy", strategies.names())
def test_training_sees_each_positive_and_each_chosen_bag_once_and_no_validation_bag(
    train, data, monkeypatch, strategy
):
    seen = []
    read = BagData.inputs

    def spy(self, batches):
        if torch.is_grad_enabled():  # scoring and validation need no gradient
            seen.extend(torch.cat(batches).tolist())
        return read(self, batches)

    monkeypatch.setattr(BagData, "inputs", spy)
    folder = train("run", strategy, epochs=2, negatives_per_positive=1.0)
    positives, pool, validation = split_rows(data)
    chosen = selection(folder)["bags"]
    n = len(positives) + chosen.shape[1]
    assert len(seen) == 2 * n
    for epoch in range(2):
        assert set(chosen[epoch]) <= set(pool)
        trained = seen[epoch * n : (epoch + 1) * n]
        assert sorted(trained) == sorted([*positives, *chosen[epoch]])
        assert not set(trained) & set(validation)


@pytest.mark.parametrize("strategy", strategies.names())
def test_only_strategies_that_look_at_scores_pay_for_them(train, strategy):
    timing = pd.read_parquet(train("run", strategy) / "timing.parquet")
    if strategy in ("full", "random"):
        assert (timing.seconds_scoring == 0).all()
    else:
        assert (timing.seconds_scoring > 0).all()
    for column in ("selecting", "training", "evaluating"):
        assert (timing[f"seconds_{column}"] > 0).all()
    assert (timing.peak_memory_bytes > 1e6).all()


def test_the_time_of_scoring_is_not_counted_twice(train, monkeypatch):
    def slow(*args, **kwargs):
        time.sleep(0.3)
        return score_bags(*args, **kwargs)

    monkeypatch.setattr(loop, "score_bags", slow)
    timing = pd.read_parquet(train("run", "margin", epochs=1) / "timing.parquet")
    assert timing.seconds_scoring.item() >= 0.3 > timing.seconds_selecting.item()


def test_scores_of_the_selection_are_those_of_the_model_before_the_epoch(train, data):
    folder = train("run", "margin", epochs=1, negatives_per_positive=50.0)
    start = weights(train("start", "margin", epochs=1, learning_rate=1e-30))
    model = bag_classifier.load(run_settings().model, (1, 8, 8))
    model.load_state_dict(start)
    bags, _ = bag_data(data)
    chosen = selection(folder)
    logits = score_bags(model, bags, bags.rows(chosen["bags"][0]), 512).logits
    np.testing.assert_allclose(chosen["scores"][0], -logits.abs(), rtol=1e-4, atol=1e-6)
    assert (np.diff(chosen["scores"][0]) <= 0).all(), "in order of choice"


def test_with_equal_steps_the_whole_pool_trains_on_as_many_bags_as_the_others(train, monkeypatch):
    trained = []
    plain = loop.batches.load(None)

    def recorded(data, rows, *arguments):
        trained.append(rows.tolist())
        return plain(data, rows, *arguments)

    monkeypatch.setattr(loop.batches, "load", lambda *settings: recorded)
    other = history(train("random", "random", epochs=3, equal="steps"))
    trained.clear()
    folder = train("full", "full", epochs=3, equal="steps")
    assert history(folder).bags_trained.tolist() == other.bags_trained.tolist()
    assert [len(rows) for rows in trained] == np.diff(other.bags_trained, prepend=0).tolist()
    assert all(len({*rows}) == len(rows) for rows in trained)
    assert len({*itertools.chain(*trained)}) > len(trained[0]), "each epoch has its own share"


# ----------------------------------------------------------------------------- the optimisation
@pytest.mark.parametrize("strategy", ["random", "importance_sampling"])
@pytest.mark.parametrize(("weight", "factor"), [(1.0, 1.0), (3.5, 3.5), ("balanced", 2.0)])
def test_an_epoch_is_adam_on_the_cross_entropy_of_the_bags_in_random_order(
    train, data, monkeypatch, strategy, weight, factor
):
    """Against a plain loop, with nothing of the training core but the order of the bags."""
    _pretend(monkeypatch, [0.1, 0.2, 0.1])  # the last epoch is the one whose weights are kept
    options = {"schedule": "cosine", "weight_decay": 0.01, "batch_size": 8, "epochs": 2}
    options |= {"betas": [0.8, 0.95], "positive_weight": weight}
    folder = train("run", strategy, learning_rate=3e-3, **options)
    model = bag_classifier.load(run_settings().model, (1, 8, 8))
    model.load_state_dict(weights(train("start", epochs=1, learning_rate=1e-30)))

    store = read_store(data / "train.h5")
    manifest = read_manifest(data / "train.csv", 500)[0]
    images = torch.from_numpy((store.x - store.mean.item()) / store.std.item()).float()
    label = torch.from_numpy(manifest.label).float()
    adam = torch.optim.Adam(model.parameters(), weight_decay=0.01, betas=options["betas"])
    positives = split_rows(data)[0]
    losses = []
    selections = selection(folder)
    for epoch, chosen in enumerate(selections["bags"], start=1):
        rows = np.concatenate([positives, chosen])
        of_bags = torch.ones(len(label))
        if strategy == "importance_sampling":
            of_bags[chosen] = torch.from_numpy(selections["weights"][epoch - 1])
        order = torch.randperm(len(rows), generator=random_generator(0, "order", epoch))
        for group in adam.param_groups:
            group["lr"] = 3e-3 * (1 + math.cos(math.pi * (epoch - 1) / 2)) / 2
        total = 0.0
        for batch in np.array_split(rows[order], range(8, len(rows), 8)):
            d = instance_logits(model, images[manifest.instances[batch]])
            weights_of_bags = (1 + (factor - 1) * label[batch]) * of_bags[batch]
            loss = binary_cross_entropy_with_logits(d.mean(1), label[batch], weights_of_bags)
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += loss.item() * len(batch)
        losses.append(total / len(rows))

    assert history(folder).train_loss.tolist() == pytest.approx(losses, rel=1e-4)
    for name, value in weights(folder).items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_the_learning_rate_stays_or_falls_along_a_half_cosine(train):
    constant = history(train("constant", epochs=4, learning_rate=0.002))
    assert constant.learning_rate.tolist() == [0.002] * 4
    cosine = history(train("cosine", epochs=4, learning_rate=0.002, schedule="cosine"))
    half = math.sqrt(0.5)
    expected = [0.002, 0.001 * (1 + half), 0.001, 0.001 * (1 - half)]
    assert cosine.learning_rate.tolist() == pytest.approx(expected)


def test_the_learning_rate_rises_over_the_first_share_of_all_steps(train, monkeypatch):
    """Step by step, and with the schedule on top."""
    rates = []
    update = loop.Adam.update
    monkeypatch.setattr(
        loop.Adam,
        "update",
        lambda self, gradients: rates.append(self.learning_rate) or update(self, gradients),
    )
    options = {"epochs": 4, "learning_rate": 0.002, "batch_size": 8, "schedule": "cosine"}
    train("plain", **options)
    plain, rates[:] = list(rates), []
    train("rising", **options, rate_warmup=0.4)
    n = len(rates)
    assert n == len(plain) > 20
    for number, (rate, whole) in enumerate(zip(rates, plain, strict=True), start=1):
        assert rate == pytest.approx(whole * min(1, number / n / 0.4))


def test_a_training_that_diverges_is_one_sentence_that_says_where(train, monkeypatch):
    where = (
        r"seed 0, epoch 2, batch 3 of \d+, learning rate 0\.001: the loss is nan, .*learning_rate\."
    )
    steps = []
    update = loop.Adam.update

    def break_the_weights(self, gradients):
        update(self, gradients)
        steps.append(gradients)
        if len(steps) == epoch + 2:
            with torch.no_grad():
                self.parameters[0].fill_(math.nan)

    epoch = 10**9
    monkeypatch.setattr(loop.Adam, "update", break_the_weights)
    train("whole", "random", epochs=1, batch_size=8)
    epoch, steps[:] = len(steps), []
    with pytest.raises(UserError, match=f"^{where}$"):
        train("run", "random", batch_size=8)


def test_a_validation_that_diverges_is_one_sentence(train):
    with pytest.raises(UserError, match=r"^seed 0, epoch 1.* learning_rate\.$") as error:
        train("run", "margin", learning_rate=1e30)
    assert "\n" not in str(error.value)


def test_weighted_batches_draw_positive_and_negative_bags_alike(train, data, monkeypatch):
    """As many draws as there are bags, of both kinds in equal parts, whatever their numbers."""
    drawn = _trained_rows(monkeypatch)
    options = {"epochs": 40, "negatives_per_positive": 5.0, "batch_sampling": "weighted"}
    folder = train("run", "random", **options)
    positives, _, _ = split_rows(data)
    for rows, chosen in zip(drawn, selection(folder)["bags"], strict=True):
        assert len(rows) == len(positives) + len(chosen)
        assert set(rows) <= {*positives, *chosen}
    rows = np.concatenate(drawn)
    assert np.isin(rows, positives).mean() == pytest.approx(0.5, abs=0.03)
    counts = np.bincount(rows, minlength=100)[positives]
    assert counts.min() > 0.6 * counts.mean(), "no bag is preferred among its kind"


def _trained_rows(monkeypatch) -> list[np.ndarray]:
    """A list that gets the rows of every epoch that is trained after this call."""
    drawn = []
    begin = loop._SeedTraining.begin_training

    def spy(self):
        begin(self)
        drawn.append(self.rows.numpy())

    monkeypatch.setattr(loop._SeedTraining, "begin_training", spy)
    return drawn


@pytest.mark.parametrize(
    ("fraction", "candidates"), [(0.5, lambda k, n: round(n / 2)), (0.01, lambda k, n: k)]
)
def test_a_share_of_the_pool_is_scored_and_chosen_from(
    train, data, monkeypatch, fraction, candidates
):
    scored = []
    score = loop.score_bags

    def spy(model, bags, rows, *args, **kwargs):
        scored.append(rows.numpy())
        return score(model, bags, rows, *args, **kwargs)

    monkeypatch.setattr(loop, "score_bags", spy)
    options = {"epochs": 4, "negatives_per_positive": 1.0}
    folder = train("run", "margin", candidate_fraction=fraction, **options)
    positives, pool, validation = split_rows(data)
    scored = [rows for rows in scored if not np.array_equal(rows, validation)]
    chosen = selection(folder)["bags"]
    assert len(scored) == len(chosen) == 4
    for rows, bags in zip(scored, chosen, strict=True):
        assert len(set(rows)) == len(rows) == candidates(len(positives), len(pool))
        assert set(bags) <= set(rows) <= set(pool)
    assert len({tuple(sorted(rows)) for rows in scored}) == 4, "drawn anew for each selection"


def test_full_is_the_whole_pool_whatever_share_is_scored(train, data):
    chosen = selection(train("run", "full", candidate_fraction=0.1))["bags"]
    for bags in chosen:
        assert sorted(bags) == sorted(split_rows(data)[1])


def test_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert prepare("auto", 1) == CPU
    for device in ("cuda", "cuda:1"):
        with pytest.raises(UserError, match=f"device: {device} was requested.*use cpu or auto"):
            prepare(device, 1)
    with pytest.raises(
        UserError, match=r"device: 'gpu' is not a device; use auto, cpu, cuda or cuda:N"
    ):
        prepare("gpu", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"device: cuda:2 does not exist.*cuda:0 to cuda:1"):
        prepare("cuda:2", 1)


def test_a_job_uses_the_threads_that_it_was_given():
    try:
        for threads in (2, 1):
            prepare("cpu", threads)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)


def test_unknown_bags_are_chosen_from_and_never_validated(data):
    store = read_store(data / "train.h5")
    bags = read_manifest(data / "train.csv", len(store.x))[0]
    unknown = np.flatnonzero(bags.label == 0)[::2]
    label = bags.label.copy()
    label[unknown] = -1
    told = BagData(store, replace(bags, label=label, negatives_observed=True), CPU)
    assert told.label.tolist() == bags.label.tolist()  # as training assumes
    validated = []
    original = loop._SeedTraining._validate

    def validate(self, epoch):
        validated.append(self.validation.tolist())
        assert set(self.validation_label) == {0, 1}
        return original(self, epoch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._SeedTraining, "_validate", validate)
        state = train_seed(told, run_settings("full", epochs=1), 0, None, lambda state: None)
    chosen = set(state["selections"][0]["bags"].tolist())
    assert {*unknown.tolist()} < chosen
    assert not set(validated[0]) & {*unknown.tolist()}
    assert state["n_pool"] == len(chosen)
    negatives = set(np.flatnonzero(label == 0).tolist())
    assert chosen == {*unknown.tolist()} | (negatives - set(validated[0]))


# ----------------------------------------------------------------------------- own models
class Own(nn.Module):
    """A person's own encoder of images, with a batch normalisation if asked for."""

    embedding_size = 4

    def __init__(self, last: nn.Module | None = None):
        super().__init__()
        self.first, self.second = nn.Linear(64, 8), nn.Linear(8, 4)
        self.last = last or nn.Identity()

    def forward(self, x):
        return self.last(self.second(self.first(x.flatten(1)).relu()))


def _train_own(monkeypatch, encoder, data, **settings):
    own = SimpleNamespace(KIND="images", build=lambda shape: encoder)
    monkeypatch.setattr(models, "module", lambda name: own)
    return train_seed(data, run_settings(**settings), 0, None, lambda state: None)


def test_what_is_frozen_stays_as_it_is_and_the_rest_is_trained(data, monkeypatch):
    encoder = Own()
    encoder.first.requires_grad_(False)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    trained = _train_own(monkeypatch, encoder, bag_data(data)[0])["best_model"]
    for name, value in before.items():
        assert torch.equal(trained[f"encoder.{name}"], value) == name.startswith("first")


def test_parameters_that_nothing_uses_are_named(data, monkeypatch):
    encoder = Own()
    encoder.forgotten = nn.Linear(2, 2)
    with pytest.raises(UserError, match=r"encoder\.forgotten\.weight, encoder\.forgotten\.bias:"):
        _train_own(monkeypatch, encoder, bag_data(data)[0])


@pytest.mark.parametrize("normalises", [True, False])
def test_a_batch_normalisation_never_sees_a_single_bag(data, monkeypatch, normalises):
    """Of one instance, of which it could not learn."""
    store = read_store(data / "train.h5")
    bags = read_manifest(data / "train.csv", len(store.x))[0]
    single = BagData(store, replace(bags, instances=bags.instances[:, :1]), CPU)
    n = 2 * len(split_rows(data)[0])
    assert n % 3 == 1
    sizes = []
    step = loop._SeedTraining.loss_of_step

    def spy(self, logits, label):
        sizes.append(len(label))
        return step(self, logits, label)

    monkeypatch.setattr(loop._SeedTraining, "loss_of_step", spy)
    encoder = Own(nn.BatchNorm1d(4) if normalises else None)
    settings = {"epochs": 1, "negatives_per_positive": 1.0}
    _train_own(monkeypatch, encoder, single, **settings, batch_size=3)
    assert sizes == [3] * (n // 3 - normalises) + [4 if normalises else 1]
    if normalises:
        with pytest.raises(UserError, match=r"set training: batch_size to 2 or more"):
            _train_own(monkeypatch, encoder, single, **settings, batch_size=1)

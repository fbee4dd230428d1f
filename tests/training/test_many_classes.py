"""One model for many classes: what it shares with models of one class, and what it may not see."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from many_classes import NAMES, bags_of, data_of, same, settings, store
from short_runs import CPU, run_settings
from torch.nn.functional import binary_cross_entropy_with_logits

from weakneg.bags.draw import UNKNOWN
from weakneg.config.strategy import Observed
from weakneg.models import dense_classes
from weakneg.training.data import BagData
from weakneg.training.labels import FATES, LabelRecord
from weakneg.training.loop import train_seed

ONE_POSITIVE = Observed(positives=1)


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def trained(features, chosen, seed=0, bags=None):
    data = data_of(features, chosen, seed)
    if bags is not None:
        data = data.relabelled(bags(data.bags))
    return train_seed(data, chosen, seed, None, lambda state: None)


@pytest.mark.parametrize("pooling", ["attention", "mean_softmax", "softmax_max", "psla"])
def test_one_class_is_the_binary_study_with_the_full_set(pooling):
    # With one, the seeds of a binary run are trained together, whose gradient rounds otherwise.
    torch.set_num_threads(2)
    features = store(classes=("a",))
    many = trained(features, settings(classes=["a"], pooling=pooling))
    binary = run_settings("full", name="mlp", pooling=pooling, epochs=4)
    data = BagData(features, bags_of(features, features.y[:, 0]), CPU)
    one = train_seed(data, binary, 0, None, lambda state: None)
    assert same(many["best_model"], one["best_model"])
    for of_many, of_one in zip(many["history"], one["history"], strict=True):
        named = ("train_loss", "validation_loss", "validation_ap", "validation_roc_auc")
        assert [of_many[key] for key in named] == [of_one[key] for key in named]


@pytest.mark.parametrize("loss", ["bce", "large_loss_permanent", "role", "expected_positives"])
def test_training_does_not_see_labels_that_are_hidden(loss, monkeypatch):
    """Whatever the truth is, it only changes the record."""
    halves = np.arange(100), np.arange(100, 160)  # else the truth divides the bags
    monkeypatch.setattr("weakneg.training.loop.split_validation", lambda *_: halves)
    chosen = settings(loss, observed=ONE_POSITIVE, validation_labels="observed")

    def without(bags):
        flipped = np.where(bags.label == UNKNOWN, 1 - bags.truth, bags.truth)
        return replace(bags, truth=flipped)

    features = store()
    states = [trained(features, chosen, bags=bags) for bags in (None, without)]
    assert same(states[0]["best_model"], states[1]["best_model"])
    assert states[0]["history"] == states[1]["history"]
    assert not torch.equal(states[0]["labels"][0]["entries"], states[1]["labels"][0]["entries"])


@pytest.mark.parametrize("threads", [1, 2])
def test_the_gradient_written_out_trains_as_autograd_does_up_to_rounding(threads, monkeypatch):
    torch.set_num_threads(threads)
    chosen, features = settings("large_loss_rejection", observed=ONE_POSITIVE), store()
    ours = trained(features, chosen)
    monkeypatch.setattr(dense_classes, "possible", lambda *_: False)
    plain = trained(features, chosen)
    for a, b in zip(ours["history"], plain["history"], strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)
        assert a["validation_loss"] == pytest.approx(b["validation_loss"], rel=1e-4)
    assert not same(ours["best_model"], plain["best_model"]), "it was written out"


@pytest.mark.parametrize(
    "loss", ["large_loss_permanent", "large_loss_rejection", "large_loss_correction", "role"]
)
def test_a_killed_training_continues_with_the_same_numbers(loss):
    chosen = settings(loss, observed=ONE_POSITIVE)
    features = store()
    whole = trained(features, chosen)
    kept = []
    data = data_of(features, chosen)
    train_seed(data, chosen, 0, None, lambda state: kept.append(copy.deepcopy(state)))
    again = train_seed(data, chosen, 0, kept[1], lambda state: None)
    assert same(whole["best_model"], again["best_model"])
    assert len(again["labels"]) == 4
    for before, after in zip(whole["labels"], again["labels"], strict=True):
        assert all(np.array_equal(before[k], after[k], equal_nan=True) for k in before)


def test_the_best_epoch_may_be_chosen_by_what_is_observed():
    features = store()
    found = {}
    for labels in ("true", "observed"):
        chosen = settings(observed=ONE_POSITIVE, validation_labels=labels)
        found[labels] = [row["validation_ap"] for row in trained(features, chosen)["history"]]
    assert found["true"] != found["observed"]


def test_classes_that_nobody_observed_take_no_part_in_validation():
    """With few bags, some class has no positive validation bag."""
    features = store(n=40)
    rare = features.y.copy()
    rare[:, 3] = 0
    rare[0, 3] = 1
    state = trained(replace(features, y=rare), settings())
    assert all(np.isfinite(row["validation_ap"]) for row in state["history"])
    assert len(state["n_positive"]) == len(NAMES)


def test_the_validation_loss_is_the_mean_over_the_known_labels():
    features = store()
    unknown = (np.random.default_rng(1).random(features.y.shape) < 0.8) & (features.y == 0)

    def fewer_known(bags):
        return replace(bags, label=np.where(unknown, UNKNOWN, bags.label), truth=None)

    state = trained(features, settings(), bags=fewer_known)
    label, logit = (state["validation"][name].double() for name in ("label", "logit"))
    known = label >= 0
    assert known.sum() < 0.6 * known.numel()
    expected = binary_cross_entropy_with_logits(logit[known], label[known]).item()
    [best] = [row for row in state["history"] if row["best"]]
    assert best["validation_loss"] == pytest.approx(expected, rel=1e-5)


# ---- the record ----------------------------------------------------------------------------------
def test_the_record_of_an_epoch_counts_what_it_says():
    label = torch.tensor([[1, UNKNOWN], [UNKNOWN, 0], [UNKNOWN, UNKNOWN]], dtype=torch.int8)
    truth = torch.tensor([[1, 1], [0, 0], [1, UNKNOWN]], dtype=torch.int8)
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0], [1.5, 9.0]])
    treatment = torch.tensor([[0, 2], [1, 0], [1, 1]], dtype=torch.uint8)
    record = LabelRecord(label, truth, CPU)
    for bags in ([2, 0], [1]):
        record.add(torch.tensor(bags), logits[bags], treatment[bags])
    found = record.of_epoch()
    named = dict(zip(FATES, range(4), strict=True))
    expected = {  # by class; the last label of the last bag is unknown even to us
        "observed_positive": [1, 0],
        "observed_negative": [0, 1],
        "hidden_positive": [1, 1],
        "hidden_negative": [1, 0],
    }
    for name, counts in expected.items():
        assert found["entries"][named[name]].tolist() == counts
    softplus = torch.nn.functional.softplus
    assert found["loss"][0, 0] == softplus(-logits[0, 0])
    assert found["loss"][2].tolist() == [softplus(logits[2, 0]), softplus(logits[0, 1])]
    assert found["loss"][0, 1].isnan()
    assert found["rejected"].tolist() == [[1, 0], [1, 0]]
    assert found["corrected"].tolist() == [[0, 1], [0, 0]]
    assert record.of_epoch()["entries"].sum() == 0

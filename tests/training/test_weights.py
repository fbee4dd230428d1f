"""Strategies that weight the bags they choose, in training."""

import h5py
import numpy as np
import pytest
import torch
from short_runs import assert_same_files, history, selection, weights

from weakneg import losses
from weakneg.training import loop

OWN = """\
import torch

from weakneg.strategies.pool import Selection

IGNORES_BUDGET = {ignores}


def select(pool, k, generator):
    ids = pool.ids{shown}
    return Selection(ids, torch.zeros(len(ids)).double(), {weights})
"""


@pytest.fixture
def own(tmp_path):
    """own(weights) -> a strategy that takes the first bags, or all, and weights them so."""

    def own(weights, ignores=False) -> str:
        path = tmp_path / f"own_{len(list(tmp_path.glob('own_*')))}.py"
        shown = "" if ignores else "[:k]"
        path.write_text(OWN.format(weights=weights, ignores=ignores, shown=shown))
        return str(path)

    return own


@pytest.mark.parametrize("loss", losses.names())
def test_weights_of_1_change_no_bit_and_others_do_with_every_loss(train, own, loss):
    options = {"loss": loss, "epochs": 2, "batch_size": 8}
    without = train("without", own("None"), **options)
    ones = train("ones", own("torch.ones(len(ids)).double()"), **options)
    assert_same_files(without, ones, ("model.pt", "history.parquet"))
    rising = train("rising", own("torch.linspace(0.2, 1.8, len(ids)).double()"), **options)
    assert np.isfinite(history(rising).train_loss).all()
    assert not torch.equal(weights(rising)["head.weight"], weights(without)["head.weight"])


def test_weights_are_recorded_where_a_strategy_gives_them(train):
    """Those of the warm-up, whose bags are chosen at random, are 1."""
    folder = train("weighted", "importance_sampling", warmup_epochs=1, epochs=3)
    found = selection(folder)["weights"]
    assert found.dtype == np.float32
    assert (found[0] == 1).all()
    assert (found[1:] > 0).all()
    assert len(np.unique(found[1])) > 10
    with h5py.File(train("plain", "gradient_embedding") / "selection.h5") as file:
        assert "weights" not in file["seed_0"]


@pytest.mark.parametrize(
    "settings",
    [{}, {"batch_sampling": "weighted"}, {"equal": "steps"}, {"resample_every": 2}],
    ids=str,
)
def test_weights_follow_their_bags(train, own, monkeypatch, settings):
    """Into batches drawn with replacement, into a share of the bags, and into later epochs."""
    seen = []
    of_batches = loop._SeedTraining._weights

    def spy(self, rows):
        made = of_batches(self, rows)
        seen.append((rows.numpy(), torch.cat(made).numpy()))
        return made

    monkeypatch.setattr(loop._SeedTraining, "_weights", spy)
    strategy = own("torch.linspace(0.2, 1.8, len(ids)).double()", ignores="equal" in settings)
    folder = train("run", strategy, negatives_per_positive=1.0, epochs=3, **settings)
    found = selection(folder)
    for epoch, (rows, given) in enumerate(seen, start=1):
        of_epoch = np.searchsorted(found["epoch"], epoch, side="right") - 1
        chosen = zip(found["bags"][of_epoch], found["weights"][of_epoch], strict=True)
        expected = dict(chosen)
        assert given.tolist() == [expected.get(row, 1.0) for row in rows]
        assert (given != 1).any()


def test_another_strategy_may_give_weights_to_what_is_left_of_the_pool(train):
    options = {"share": 0.5, "then": {"strategy": "importance_sampling", "uniform": 0.5}}
    found = selection(train("run", "trimmed", options=options, negatives_per_positive=1.0))
    # Of the 28 bags that are left, 14 are drawn with probabilities of at least 1/4.
    assert (found["weights"] <= 2).all()
    assert found["weights"].sum(1) == pytest.approx(14, rel=0.3)


def test_weights_that_cannot_be_used_stop_the_training(train, own):
    with pytest.raises(ValueError, match="weights must be finite and above 0"):
        train("run", own("torch.zeros(len(ids)).double()"))


def test_weights_of_one_choice_do_not_outlive_it(train, own, monkeypatch):
    given = []
    of_batches = loop._SeedTraining._weights
    monkeypatch.setattr(
        loop._SeedTraining,
        "_weights",
        lambda self, *arguments: given.append(of_batches(self, *arguments)) or given[-1],
    )
    half = own("torch.full((len(ids),), 0.5).double() if pool.epoch == 1 else None")
    folder = train("run", half, epochs=2)
    assert [weights is None for weights in given] == [False, True]
    assert selection(folder)["weights"].tolist() == [[0.5] * 28, [1.0] * 28]

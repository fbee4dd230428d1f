"""Non-negative risk: its two branches, and the share of positives where it is estimated."""

import math

import pytest
import torch
from loss_batches import batch, logit

from weakneg import losses

LOG = math.log
LABELS = [1, 1, 0, 0, 0]
GOOD, OVERFITTED = [0.9, 0.6, 0.5, 0.2, 0.3], [0.99, 0.98, 0.01, 0.02, 0.01]


def risks(p, prior):
    """The two terms of the risk: pi R+ of the positives, and R- of the others - pi R-."""
    p = p.sigmoid()
    as_positive, as_negative = -p.log(), -(1 - p).log()
    return (
        prior * as_positive[:2].mean(),
        as_negative[2:].mean() - prior * as_negative[:2].mean(),
    )


@pytest.mark.parametrize("prior", [0.1, 0.2])
def test_the_risk_by_the_formula(prior):
    given = batch(logit(GOOD), LABELS)
    loss = losses.load("nnpu")(given, prior=prior).values.mean()
    positive, negative = risks(given.logits, prior)
    assert negative > 0
    assert loss.item() == pytest.approx((positive + negative).item())
    for found, expected in zip(
        torch.autograd.grad(loss, given.logits),
        torch.autograd.grad(positive + negative, given.logits),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)


def test_by_hand():
    given = batch(logit([0.8, 0.4]), [1, 0])
    found = losses.load("nnpu")(given, prior=0.1).values.mean().item()
    assert found == pytest.approx(-0.1 * LOG(0.8) - LOG(0.6) + 0.1 * LOG(0.2))


@pytest.mark.parametrize(("beta", "gamma"), [(0.0, 1.0), (0.0, 0.5), (0.05, 1.0)])
def test_where_the_risk_of_negatives_is_negative_a_step_goes_up(beta, gamma):
    given = batch(logit(OVERFITTED), LABELS)
    loss = losses.load("nnpu")(given, prior=0.3, beta=beta, gamma=gamma).values.mean()
    _, negative = risks(given.logits, 0.3)
    assert negative < -beta
    (found,) = torch.autograd.grad(loss, given.logits)
    (expected,) = torch.autograd.grad(-gamma * negative, given.logits)
    torch.testing.assert_close(found, expected)
    assert (found[2:] < 0).all(), "a step down this gradient raises the logits of the unobserved"


def test_a_risk_that_is_less_negative_than_allowed_is_minimised():
    given = batch(logit(OVERFITTED), LABELS)
    loss = losses.load("nnpu")(given, prior=0.3, beta=5.0).values.mean()
    assert loss.item() == pytest.approx(sum(risks(given.logits, 0.3)).item())


def test_each_class_has_a_branch_of_its_own():
    both = torch.stack([logit(GOOD), logit(OVERFITTED)], 1)
    together = losses.load("nnpu")(batch(both, torch.tensor([LABELS] * 2).T), prior=0.3).values
    for column, p in enumerate((GOOD, OVERFITTED)):
        alone = losses.load("nnpu")(batch(logit(p), LABELS), prior=0.3).values
        torch.testing.assert_close(together[:, column], alone)


def test_the_estimated_share_of_positives():
    labels = torch.tensor([1, 1, 1] + [0] * 9)
    observed = labels == 1
    state = losses.initial_state("nnpu", labels.float(), observed, torch.Generator())
    assert losses.before_epoch("nnpu", state, labels, observed)["prior"].isfinite()
    # The median of the positives is 2; of the eight unobserved of this epoch, one is above it.
    logits = [5.0, 2.0, 1.0, 3.0, *[-1.0] * 7, math.nan]
    state = {**state, "logit": torch.tensor(logits)}
    state = losses.before_epoch("nnpu", state, labels, observed)
    assert state["prior"].item() == pytest.approx(2 * (1 + 1) / (8 + 1))
    assert state["logit"].isnan().all()
    given = batch(logit(GOOD), LABELS, epoch=2, state=state)
    expected = losses.load("nnpu")(given, prior=4 / 9).values
    torch.testing.assert_close(losses.load("nnpu")(given).values.float(), expected.float())


@pytest.mark.parametrize(
    ("shift", "expected"), [(1.0, 0.35), (2.0, 0.09), (4.0, 0.05)]
)  # ROC-AUC .76, .92 and .998
def test_the_estimate_is_too_high_until_the_model_separates(shift, expected):
    generator = torch.Generator().manual_seed(0)
    observed = torch.arange(110_000) < 10_000
    positive = torch.arange(110_000) < 15_000  # 5% of the unobserved
    logits = torch.randn(110_000, generator=generator) + shift * positive
    state = {"logit": logits, "prior": torch.tensor(math.nan)}
    prior = losses.before_epoch("nnpu", state, observed.float(), observed)["prior"].item()
    assert prior == pytest.approx(expected, abs=0.02)


def test_the_first_epoch_is_that_of_the_cross_entropy_if_the_share_is_estimated():
    given = batch(logit(GOOD), LABELS)
    torch.testing.assert_close(losses.load("nnpu")(given).values, losses.load("bce")(given).values)


def test_observed_negatives_count_as_in_the_cross_entropy():
    given = batch(logit([*GOOD, 0.3]), [*LABELS, 0], [True, True, False, False, False, True])
    assert losses.load("nnpu")(given, prior=0.3).values[-1].item() == pytest.approx(-LOG(0.7))


def test_a_class_without_unobserved_bags_keeps_its_positives_positive():
    """Once, their risk was dropped and a step went up, which taught the model the opposite."""
    z = torch.stack([logit(GOOD), logit(GOOD)], 1)
    observed = torch.tensor([[label == 1, True] for label in LABELS])
    given = batch(z, torch.tensor([LABELS] * 2).T, observed)
    found = losses.load("nnpu")(given, prior=0.3).values
    alone = losses.load("nnpu")(batch(logit(GOOD), LABELS), prior=0.3).values
    torch.testing.assert_close(found[:, 0], alone)
    expected = [-0.3 * 5 / 2 * LOG(p) for p in GOOD[:2]] + [-LOG(1 - p) for p in GOOD[2:]]
    assert found[:, 1].tolist() == pytest.approx(expected)

"""Weights of hard negatives, and the share that positives without a label have in them."""

import math

import pytest
import torch
from loss_batches import batch, logit

from weakneg import losses

LOG = math.log
hard_negatives = losses.load("hard_negatives")


def test_without_concentration_and_prior_it_is_the_cross_entropy():
    given = batch(logit([0.9, 0.6, 0.5, 0.2, 0.3]), [1, 1, 0, 0, 0])
    plain = losses.load("bce")(given).values
    torch.testing.assert_close(hard_negatives(given, beta=0.0).values, plain)


def test_by_hand():
    """Odds of 4, 1 and 1/4: with beta = 1/2, the weights are as 2 to 1 to 1/2."""
    given = batch(logit([0.7, 0.8, 0.5, 0.2]), [1, 0, 0, 0])
    found = hard_negatives(given, beta=0.5).values.tolist()
    weights = [3 * w / 3.5 for w in (2, 1, 0.5)]
    hard = [-w * LOG(1 - p) for w, p in zip(weights, (0.8, 0.5, 0.2), strict=True)]
    assert found == pytest.approx([-LOG(0.7), *hard])


def test_the_debiased_risk_by_hand():
    """The observed negative keeps its share of the weight; only the unobserved are corrected."""
    given = batch(
        logit([0.8, 0.5, 0.8, 0.5, 0.2]), [1, 1, 0, 0, 0], [True, True, False, False, True]
    )
    found = hard_negatives(given, beta=0.5, prior=0.1).values
    hard = [2 / 3.5, 1 / 3.5, 0.5 / 3.5]
    of_positives = -(2 * LOG(0.2) + LOG(0.5)) / 3
    of_unobserved = -hard[0] * LOG(0.2) - hard[1] * LOG(0.5) - 0.1 * (3 / 3.5) * of_positives
    assert found[:2].tolist() == pytest.approx([-LOG(0.8), -LOG(0.5)])
    assert found[4].item() == pytest.approx(-3 * hard[2] * LOG(0.8))
    assert found[2:4].sum().item() == pytest.approx(3 * of_unobserved / 0.9)


def test_the_risk_of_a_mixture_is_that_of_its_negatives():
    """Without concentration, and with positives that lie among the unobserved as they do alone."""
    positives, negatives = [0.9, 0.4], [0.3, 0.2, 0.6, 0.1, 0.2, 0.1]
    given = batch(logit(positives + positives + negatives), [1, 1] + [0] * 8)
    found = hard_negatives(given, beta=0.0, prior=0.25).values[2:].mean()
    assert found.item() == pytest.approx(-sum(LOG(1 - p) for p in negatives) / 6)


def test_no_gradient_flows_through_the_weights():
    given = batch(logit([0.7, 0.8, 0.5, 0.2]), [1, 0, 0, 0])
    (found,) = torch.autograd.grad(hard_negatives(given, beta=0.5).values.sum(), given.logits)
    weights = [3 * w / 3.5 for w in (2, 1, 0.5)]
    slopes = [w * p for w, p in zip(weights, (0.8, 0.5, 0.2), strict=True)]
    assert found.tolist() == pytest.approx([-0.3, *slopes])


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_a_risk_of_negatives_below_0_has_no_gradient(beta):
    given = batch(logit([0.9, 0.9, 0.01, 0.02]), [1, 1, 0, 0])
    found = hard_negatives(given, beta=beta, prior=0.3).values
    assert found[2:].tolist() == [0, 0]
    (gradient,) = torch.autograd.grad(found.sum(), given.logits)
    assert gradient.tolist() == pytest.approx([-0.1, -0.1, 0, 0]), "of the positives' own loss"


def test_nothing_is_subtracted_in_a_batch_without_positives():
    given = batch(logit([0.5, 0.2]), [0, 0])
    trusting = hard_negatives(given, prior=0.0).values
    torch.testing.assert_close(hard_negatives(given, prior=0.3).values, trusting)


def test_each_class_has_weights_of_its_own():
    columns = [0.7, 0.8, 0.5, 0.2], [0.4, 0.1, 0.6, 0.9]
    labels = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0]]).T
    both = hard_negatives(batch(torch.stack([logit(p) for p in columns], 1), labels), prior=0.1)
    for column, p in enumerate(columns):
        alone = hard_negatives(batch(logit(p), labels[:, column]), prior=0.1)
        torch.testing.assert_close(both.values[:, column], alone.values)

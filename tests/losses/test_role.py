"""Estimates of labels, learned next to the model."""

import pytest
import torch
from loss_batches import batch, logit

from weakneg import losses

PRIOR = 0.3


def _state(labels, observed):
    return losses.initial_state("role", labels, observed, torch.Generator().manual_seed(1))


def _role(z, e, labels, observed, prior):
    """The loss of the paper, word by word, with the gradients of both its halves."""

    def half(own, other):
        p, q = own.sigmoid(), other.detach().sigmoid()
        entropy = -(q * p.log() + (1 - q) * (1 - p).log())
        sure = torch.where(labels == 1, -p.log(), -(1 - p).log()) * observed
        excess = p.mean() - prior if p.ndim == 2 else p[~observed].mean() - prior
        return (entropy + sure).mean() + excess**2

    return (half(z, e) + half(e, z)) / 2


@pytest.mark.parametrize("shape", [(6,), (3, 2)])
def test_value_and_both_gradients_are_those_of_the_paper(shape):
    z = torch.linspace(-2, 2, 6, dtype=torch.float64).reshape(shape).requires_grad_()
    labels = torch.tensor([1, 0, 0, 1, 0, 0.0], dtype=torch.float64).reshape(shape)
    observed = torch.tensor([1, 0, 0, 1, 1, 0]).bool().reshape(shape)
    state = _state(labels, observed)
    e = state["estimate"].clone().requires_grad_()
    expected = _role(z, e, labels, observed, PRIOR)
    for_model, for_estimates = torch.autograd.grad(expected, [z, e])

    given = batch(z, labels, observed, state=state)
    found = losses.load("role")(given, prior=PRIOR, learning_rate=0.1)
    assert found.values.mean().item() == pytest.approx(expected.item())
    torch.testing.assert_close(torch.autograd.grad(found.values.mean(), z)[0], for_model)
    # The first moment is a tenth of the gradient, here of 2 B C times the loss.
    torch.testing.assert_close(found.state["mean"], 0.1 * 2 * 6 * for_estimates)


def test_the_estimates_move_as_adam_moves_parameters():
    labels = torch.tensor([1, 0, 0, 0.0], dtype=torch.float64)
    observed = labels == 1
    state = dict(_state(labels, observed))
    e = state["estimate"].clone().requires_grad_()
    adam = torch.optim.Adam([e], lr=0.1)
    for step in range(5):
        z = logit([0.9, 0.2, 0.4, 0.6]) + step / 10
        adam.zero_grad()
        (2 * 4 * _role(z, e, labels, observed, PRIOR)).backward()
        adam.step()
        given = batch(z, labels, observed, state=state)
        found = losses.load("role")(given, prior=PRIOR, learning_rate=0.1)
        state = dict(found.state)
        torch.testing.assert_close(state["estimate"], e.detach())


def test_the_first_estimates():
    observed = torch.arange(1000) < 2
    labels = (torch.arange(1000) == 0).float()
    q = _state(labels, observed)["estimate"].sigmoid()
    assert q[:2].tolist() == pytest.approx([0.995, 0.005], abs=1e-5)
    assert q[2:].min().item() == pytest.approx(0.4, abs=2e-3)
    assert q[2:].max().item() == pytest.approx(0.6, abs=2e-3)


def test_an_unobserved_bag_that_the_model_finds_positive_becomes_one():
    labels, observed = torch.zeros(2), torch.zeros(2, dtype=torch.bool)
    state = dict(_state(labels, observed))
    for _ in range(100):
        given = batch([3.0, -3.0], labels, observed, state=state)
        state = dict(losses.load("role")(given, prior=0.5).state)
    assert state["estimate"].sigmoid().tolist() == pytest.approx([0.95, 0.05], abs=0.05)

"""The attention heads: what their definitions say, however certain the model is."""

import math

import pytest
import torch
from torch import Tensor

from weakneg.models import psla
from weakneg.models.attention import AttentionHead
from weakneg.models.psla import PslaHead

HEADS = {"attention": AttentionHead, "psla": PslaHead}
SIZES = (1, 2, 5, 3)
every_head = pytest.mark.parametrize("name", HEADS)


def case(name: str, spread: float = 1.0, heads: int = 3, d: int = 4, dtype=torch.float64):
    """A head with random weights, and padded bags of `SIZES`."""
    torch.manual_seed(0)
    head = HEADS[name](d, heads).double()
    with torch.no_grad():
        head.weight.copy_(spread * torch.randn_like(head.weight))
        head.bias.copy_(torch.randn_like(head.bias))
        if name == "psla":
            head.head_weight.copy_(0.2 + 0.3 * torch.rand(heads))
    h = torch.randn(len(SIZES), 6, d, dtype=torch.float64)
    mask = torch.arange(6) < torch.tensor(SIZES)[:, None]
    h[~mask] = 500
    return head.to(dtype), h.to(dtype), mask


def definition(head, bag: Tensor) -> Tensor:
    """The logit of a bag (n, D), as the docstring of the head says, in the order of its lines."""
    heads = head.out_features // 2
    values = []
    for i in range(heads):
        attention = torch.sigmoid(bag @ head.weight[i] + head.bias[i])
        weights = attention / attention.sum()
        logits = bag @ head.weight[heads + i] + head.bias[heads + i]
        if isinstance(head, AttentionHead):
            values.append((weights * logits).sum() / heads)
        else:
            values.append(head.head_weight[i] * (weights * torch.sigmoid(logits)).sum())
    total = torch.stack(values).sum()
    return total if isinstance(head, AttentionHead) else total.log() - torch.log1p(-total)


@every_head
def test_the_logit_is_that_of_the_definition(name):
    head, h, mask = case(name)
    bags = [x[real] for x, real in zip(h, mask, strict=True)]
    with torch.no_grad():
        expected = torch.stack([definition(head, bag) for bag in bags])
        torch.testing.assert_close(head.logit(h, mask), expected)
        scores = head.score(h, mask, gradients=False)
        parts = head.parts(h, mask)
    torch.testing.assert_close(scores.logits, expected)
    for bag, embedding in zip(bags, scores.embeddings, strict=True):
        torch.testing.assert_close(embedding, bag.mean(0))
    sums = expected if name == "attention" else expected.sigmoid()
    torch.testing.assert_close(parts.sum(1), sums)
    assert (parts[~mask] == 0).all()


@every_head
def test_scores_of_certain_bags_do_not_tie(name):
    """In float32, with bags that are ever more certain, as positives and as negatives."""
    head, _, _ = case(name, heads=2, d=1, dtype=torch.float32)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0], [0.0], [1.0], [1.0]]))
        head.bias.zero_()
        if name == "psla":
            head.head_weight.fill_(0.55)  # as training makes them: P reaches 1.1
    certain = torch.cat([torch.linspace(-25, -5, 50), torch.linspace(2, 9, 50)])
    h = torch.stack([torch.zeros(100), certain], 1)[..., None]
    mask = torch.tensor([False, True]).expand(100, 2)
    with torch.no_grad():
        logits = head.score(h, mask, gradients=False).logits
        torch.testing.assert_close(head.logit(h, mask), logits, rtol=0, atol=0)
    assert (logits.diff() > 0).all()


def test_psla_ranks_by_its_output_also_below_0():
    """A head's weight may be negative. No two neighbours are closer than float32 can tell."""
    outputs = torch.cat([torch.linspace(-0.5, 0, 51), torch.linspace(1e-3, 1.2, 500)])
    assert (psla._logit(outputs).diff() > 0).all()


def test_a_certain_error_is_learnt_from():
    """A negative that the model is sure is positive has the whole gradient, not none."""
    head, _, _ = case("attention", heads=2, d=1)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0], [0.0], [1.0], [1.0]]))
        head.bias.zero_()
    h = torch.full((1, 3, 1), 40.0, dtype=torch.float64)
    scores = head.score(h, torch.ones(1, 3, dtype=torch.bool), gradients=True)
    # dz/dv_i = 40 / 2 for both heads, and dz/du_i = 0, as all instances are equal.
    expected = torch.tensor([[0.0, 0.0, 20.0, 20.0]], dtype=torch.float64)
    torch.testing.assert_close(scores.gradients("known"), expected)


def test_psla_has_no_gradient_beyond_its_limits():
    head, h, mask = case("psla", spread=0.3)
    with torch.no_grad():
        head.head_weight.fill_(1.0)
        head.bias[3:] = 4.0
    logits = head.logit(h, mask)
    assert (logits > -math.log(1e-7) - 1e-3).all()
    assert all(
        (grad == 0).all() for grad in torch.autograd.grad(logits.sum(), [*head.parameters()])
    )
    assert (head.score(h, mask, gradients=True).gradient_directions == 0).all()

"""Heads for many classes give what a head for each class gives."""

import pytest
import torch
from torch import nn

from weakneg.models import classes
from weakneg.models.attention import AttentionHead
from weakneg.models.bag_classifier import BagClassifier
from weakneg.models.pooling import POOLINGS, PooledHead
from weakneg.models.psla import PslaHead

D, H, C = 5, 3, 4


class Same(nn.Module):
    """An encoder that leaves the instances as they are."""

    embedding_size = D

    def forward(self, x):
        return x


@pytest.fixture
def bags():
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(6, 7, D, generator=generator, dtype=torch.float64)
    mask = torch.arange(7) < torch.tensor([7, 1, 4, 6, 2, 7])[:, None]
    return h.masked_fill(~mask[..., None], 1e3), mask


def attention_head(head, number):
    one = AttentionHead(D, H).double()
    with torch.no_grad():
        of_class = head.weight[number].view(H, D)
        one.weight.copy_(torch.cat([head.attention.weight, of_class]))
        one.bias.copy_(torch.cat([head.attention.bias, head.bias[number].expand(H)]))
    return one


def psla_head(head, number):
    one = PslaHead(D, H).double()
    rows = slice(2 * H * number, 2 * H * (number + 1))
    with torch.no_grad():
        one.weight.copy_(head.layer.weight[rows])
        one.bias.copy_(head.layer.bias[rows])
        one.head_weight.copy_(head.head_weight)
    return one


def pooled_head(head, number):
    one = PooledHead(D, head.pooling).double()
    with torch.no_grad():
        one.weight.copy_(head.layer.weight[[C + number, number]])
        one.bias.copy_(head.layer.bias[[C + number, number]])
    return one


OF_ONE = {"attention": attention_head, "psla": psla_head, **dict.fromkeys(POOLINGS, pooled_head)}


@pytest.mark.parametrize("pooling", OF_ONE)
def test_a_logit_is_that_of_a_head_for_the_class_alone(pooling, bags):
    h, mask = bags
    head = classes.head(D, pooling, H, C).double()
    logits = head.logit(h, mask)
    assert logits.shape == (6, C)
    for number in range(C):
        one = OF_ONE[pooling](head, number)
        torch.testing.assert_close(logits[:, number], one.logit(h, mask))


@pytest.mark.parametrize("pooling", ["attention", "psla"])
def test_the_parts_of_a_class_are_those_of_a_head_for_it(pooling, bags):
    h, mask = bags
    head = classes.head(D, pooling, H, C).double()
    parts = head.parts(h, mask)
    assert parts.shape == (6, 7, C)
    for number in range(C):
        expected = OF_ONE[pooling](head, number).parts(h, mask)
        torch.testing.assert_close(parts[..., number] * mask, expected)
    if pooling == "attention":
        torch.testing.assert_close((parts * mask[..., None]).sum(1), head.logit(h, mask))


@pytest.mark.parametrize("pooling", OF_ONE)
@pytest.mark.parametrize("n_classes", [None, 1, 3])
def test_a_classifier_has_a_logit_and_parts_for_each_class(pooling, n_classes, bags):
    h, mask = bags
    model = BagClassifier(Same(), pooling, n_classes=n_classes).double()
    assert model(h, mask).shape == ((6,) if n_classes is None else (6, n_classes))
    scores = model.score(h, mask, gradients=False)
    torch.testing.assert_close(scores.logits, model(h, mask))
    assert model.parts(h, mask).shape == (6, 7, n_classes or 1)


@pytest.mark.parametrize("n_classes", [None, 2])
def test_the_output_of_psla_with_one_head_is_a_probability(n_classes, bags):
    """However long it is trained; and a model that was trained with a weight keeps it."""
    h, mask = bags
    torch.manual_seed(0)
    model = BagClassifier(Same(), "psla", 1, n_classes=n_classes).double()
    adam = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(200):
        loss = -model(h, mask).sum()  # all bags are positive
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert 0.99 < model.parts(h, mask).sum(1).max() <= 1 + 1e-12
    model.load_state_dict(model.state_dict() | {"head.head_weight": torch.tensor([1.5])})
    assert model.parts(h, mask).sum(1).max() > 1.4


@pytest.mark.parametrize("pooling", OF_ONE)
def test_padding_does_not_matter(pooling, bags):
    h, mask = bags
    head = classes.head(D, pooling, H, C).double()
    other = h.masked_fill(~mask[..., None], -7.0)
    torch.testing.assert_close(head.logit(h, mask), head.logit(other, mask))

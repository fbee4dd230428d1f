"""The gradients that strategies see, of every pooling that a study can name.

They are computed by formulas of the poolings and heads, without autograd. The reference is autograd
in float64, through the logit that training uses, bag by bag and without padding.
"""

import copy
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from weakneg.bags.draw import PADDING, Bags
from weakneg.config.sections import ModelSettings
from weakneg.features.store import Store
from weakneg.models import bag_classifier
from weakneg.models.bag_classifier import BagClassifier
from weakneg.training.data import BagData, score_bags

LABELS = ("known", "hypothesised")
every_pooling = pytest.mark.parametrize(
    "pooling", get_args(ModelSettings.model_fields["pooling"].annotation)
)


class Same(nn.Identity):
    """An encoder that leaves the instances (N, D) as they are."""

    def __init__(self, d: int):
        super().__init__()
        self.embedding_size = d


def spread(model: BagClassifier, bags: list[Tensor], largest: float, seed: int) -> None:
    """Give the head random weights, with which its outputs for instances reach +-`largest`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.head.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if name in ("weight", "bias"):
                parameter.copy_(drawn)
            else:  # weights of heads, about 1 / H
                parameter.mul_(drawn.sigmoid() + 0.5)
        outputs = model.head(torch.cat([model.encode(bag) for bag in bags]))
        model.head.weight.mul_(largest / outputs.abs().max())
        model.head.bias.mul_(largest / outputs.abs().max())


def assert_exact(
    found: Tensor, model: BagClassifier, bag: Tensor, label: str, tolerance: float
) -> None:
    """Compare the gradient (G,) of a bag (n, *shape) with autograd in float64.

    The gradient is P - y, which may be 1e-18 and must not lose a digit, times dz/dw. For dz/dw the
    tolerance is relative to its largest number, unless that is tiny: psla's 1 - s has few digits.
    """
    (logit,) = model(bag[None])
    wrong = -logit if label == "hypothesised" and logit > 0 else logit
    # `binary_cross_entropy_with_logits` is the same, but its P - y would round to 0.
    (expected,) = torch.autograd.grad(-logsigmoid(-wrong), model.head.weight)
    if len(found) < expected.numel():  # the row of "positive", of which the other is the negative
        torch.testing.assert_close(expected[0], -expected[1], rtol=1e-12, atol=0)
        expected = expected[1]
    atol = tolerance * (expected.abs().max() + 0.01 * wrong.sigmoid()).item()
    torch.testing.assert_close(found.double(), expected.flatten(), rtol=0, atol=atol)


@every_pooling
@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("largest", [0.01, 1.0, 8.0, 40.0])
@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    heads=st.integers(1, 4),
    seed=st.integers(0, 10_000),
)
def test_gradients_are_those_of_autograd(pooling, label, largest, sizes, heads, seed):
    """Also of bags of one instance, of certain bags, and with anything in the padding."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(sizes), max(sizes) + 2, 3, generator=generator, dtype=torch.float64)
    mask = torch.arange(x.shape[1]) < torch.tensor(sizes)[:, None]
    mask = mask.gather(1, torch.rand(mask.shape, generator=generator).argsort(1))
    x[~mask] = 1e3 * x[~mask] + 500
    bags = [instances[real] for instances, real in zip(x, mask, strict=True)]
    model = BagClassifier(Same(3), pooling, heads).double()
    spread(model, bags, largest, seed)
    found = model.score(x, mask).gradients(label)
    for bag, gradient in zip(bags, found, strict=True):
        assert_exact(gradient, model, bag, label, 1e-7)


@every_pooling
def test_strategies_get_the_gradients_of_training(pooling):
    """From the feature store on: in float32, in batches, through the encoder and the padding."""
    rng = np.random.default_rng(0)
    sizes = np.array([1, 4, 2, 1, 3, 4, 2])
    frames = np.arange(4) < sizes[:, None]
    instances = np.where(frames, np.arange(28).reshape(7, 4), PADDING)
    label, density = np.arange(7, dtype=np.int8) % 2, np.full(7, np.nan)
    x = np.where(frames[..., None], rng.normal(3, 2, (7, 4, 5)), 0).astype(np.float32)
    mean, std = np.full(5, 3.0), np.full(5, 2.0)
    store = Store(x, np.arange(7), np.zeros((7, 0)), (), mean, std, "clips", {})
    data = BagData(store, Bags(np.arange(7), label, density, instances), torch.device("cpu"))

    settings = ModelSettings(name="mlp", pooling=pooling)
    torch.manual_seed(0)
    model = bag_classifier.load(settings, data.instance_shape)
    exact = copy.deepcopy(model).double()
    bags = [(torch.from_numpy(x[i, :n]).double() - 3) / 2 for i, n in enumerate(sizes)]
    spread(exact, bags, 8.0, seed=0)
    model.load_state_dict(exact.state_dict())
    rows = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    scores = score_bags(model, data, rows, 3, gradients=True)
    for label in LABELS:
        for row, gradient in zip(rows.tolist(), scores.gradients(label), strict=True):
            assert_exact(gradient, exact, bags[row], label, 1e-5)

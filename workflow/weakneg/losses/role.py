"""Regularised online label estimation: the labels not observed are learned with the model."""

import math
from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from weakneg.losses.batch import Batch, Losses, State, with_slopes
from weakneg.losses.expected_positives import weights

DISPLAY_NAME = "ROLE"
DOUBTS = True

_SURE = math.log(0.995 / 0.005)
_BETAS = (0.9, 0.999)


def initial_state(labels: Tensor, observed: Tensor, generator: torch.Generator) -> State:
    """Estimates of the labels, in [0.4, 0.6] where they were not observed.

    Parameters
    ----------
    labels, observed, generator
        As for `weakneg.losses.initial_state`.

    Returns
    -------
    State
        "estimate", the shape of the labels: the logit of the estimated probability q. "mean",
        "square", "steps", same shape: Adam's moments and step count.
    """
    drawn = torch.rand(labels.shape, generator=generator).to(labels.device)
    known = (2 * labels - 1) * _SURE
    estimate = torch.where(observed, known, (2 * drawn - 1) * 0.405)
    return {"estimate": estimate} | {
        name: torch.zeros_like(labels) for name in ("mean", "square", "steps")
    }


def loss(
    batch: Batch,
    *,
    prior: Annotated[float, (0, 1)] = 0.01,
    learning_rate: Annotated[float, (0, None)] = 0.1,
) -> Losses:
    """The mean of two losses: of the model, given the estimates, and of these, given the model.

    Each is the cross-entropy with the other's probability, the cross-entropy of observed labels,
    and the penalty of `expected_positives`. Only the first has a gradient for the model. For that
    of its estimate e, an entry takes a step of Adam down the gradient of B C times the second,

        (q - p) + (q - y) [observed] + 2 (mean q - prior) q (1 - q) w,   q = sigmoid(e),

    where w is 1, or with one class B / (number of unobserved) for unobserved and 0 for others.
    Adam is invariant to this factor. In the paper, Adam moves all estimates in every step, by what
    it remembers: one gradient goes on for many steps, and moves an estimate by up to 1 / sqrt(1 -
    0.999), some thirty times, the learning rate. Here the estimates of bags that are not in the
    batch wait, and the learning rate is larger in return.

    Parameters
    ----------
    batch : Batch
        The batch.
    prior : float
        Expected share of positives, as for `expected_positives`.
    learning_rate : float
        Of the estimates, in logits: about as far as an estimate moves per epoch.

    References
    ----------
    Cole et al., "Multi-Label Learning from Single Positive Labels" (2021),
    arXiv:2106.09708: ROLE.
    """
    old = {name: tensor[batch.bags] for name, tensor in batch.state.items()}
    observed = batch.observed.to(batch.logits.dtype)
    counted = weights(~batch.observed)

    # Both losses at once, (2, B) or (2, B, C): of the model and of the estimates. The cross-entropy
    # is linear in the label: for an observed one, that with y and that with q are twice that with
    # their mean.
    both = torch.stack([batch.logits.detach(), old["estimate"]])
    p = both.sigmoid()
    weight = 1 + observed
    target = p.flip(0).lerp(batch.labels, observed / 2)
    entropy = binary_cross_entropy_with_logits(both, target, weight=weight, reduction="none")
    excess = ((p - prior) * counted).flatten(1).sum(1).view(2, *[1] * observed.ndim)
    values = (entropy + excess.square()).sum(0) / 2
    slopes = weight * (p - target) + 2 * observed.numel() * excess * counted * p * (1 - p)

    gradient = slopes[1]
    mean = old["mean"].lerp(gradient, 1 - _BETAS[0])
    square = old["square"].lerp(gradient.square(), 1 - _BETAS[1])
    steps = old["steps"] + 1
    # 1 - beta ** steps; the power of a number by a tensor is slow.
    known, known_square = (-torch.expm1(steps * math.log(beta)) for beta in _BETAS)
    scale = (square / known_square).sqrt() + 1e-8
    moved = old["estimate"] - learning_rate * mean / known / scale
    state = {"estimate": moved, "mean": mean, "square": square, "steps": steps}
    return Losses(with_slopes(values, slopes[0] / 2, batch.logits), state=state)

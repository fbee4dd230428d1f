"""Asymmetric loss: negatives are focused more than positives, and the easiest are left out."""

from typing import Annotated

import torch
from torch.nn.functional import softplus

from weakneg.losses.batch import Batch, Losses, with_slopes

DISPLAY_NAME = "ASL"


def loss(
    batch: Batch,
    *,
    gamma_positive: Annotated[float, (0, None)] = 0.0,
    gamma_negative: Annotated[float, (0, None)] = 4.0,
    margin: Annotated[float, (0, 1)] = 0.05,
) -> Losses:
    """-y (1 - p)^gamma_positive log p - (1 - y) q^gamma_negative log(1 - q).

    q = max(p - margin, 0) is the shifted probability.

    Parameters
    ----------
    batch : Batch
        The batch.
    gamma_positive, gamma_negative : float
        Focusing of positives and of negatives. The defaults are the paper's.
    margin : float
        Probability up to which a negative costs nothing.

    References
    ----------
    Ridnik et al., "Asymmetric Loss For Multi-Label Classification" (2021),
    arXiv:2009.14119.
    """
    z = batch.logits.detach()
    p, other = z.sigmoid(), (-z).sigmoid()
    entropy, focus = softplus(-z), other.pow(gamma_positive)
    positive = focus * entropy
    positive_slope = -focus * (other + gamma_positive * p * entropy)
    q = (p - margin).clamp(min=0)
    if margin:
        rest = (other + margin).clamp(max=1)  # 1 - q, which may be too close to 0 for a difference
        entropy, falls = -rest.log(), other / rest
    else:  # `other` may be too close to 0 for its logarithm
        entropy, falls = softplus(z), torch.ones_like(z)
    focus = q.pow(gamma_negative)
    negative = focus * entropy
    by_focus = gamma_negative * negative / q.clamp(min=1e-30)
    negative_slope = (by_focus * other + focus * falls) * p * (q > 0)
    values = negative.lerp(positive, batch.labels)
    slopes = negative_slope.lerp(positive_slope, batch.labels)
    return Losses(with_slopes(values, slopes, batch.logits))

"""Asymmetric loss: negatives are focused more than positives, and the easiest are left out."""

from torch.nn.functional import softplus

from weakneg.losses.batch import Batch, Losses

DISPLAY_NAME = "ASL"


def loss(
    batch: Batch,
    *,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    margin: float = 0.05,
) -> Losses:
    """-y (1 - p)^gamma_positive log p - (1 - y) q^gamma_negative log(1 - q).

    q = max(p - margin, 0) is the shifted probability.

    Parameters
    ----------
    batch : Batch
        The batch.
    gamma_positive, gamma_negative : float
        Focusing of positives and of negatives: 0, or at least 1. The defaults are the paper's.
    margin : float
        Probability up to which a negative costs nothing.

    References
    ----------
    Ridnik et al., "Asymmetric Loss For Multi-Label Classification" (2021), equations 4 to 7.
    """
    p = batch.logits.sigmoid()
    q = (p - margin).clamp(min=0)
    positive = softplus(-batch.logits) * (1 - p).pow(gamma_positive)
    negative = -(-q).log1p() * q.pow(gamma_negative)
    return Losses(negative.lerp(positive, batch.labels))

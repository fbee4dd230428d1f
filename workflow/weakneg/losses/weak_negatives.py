"""Weak assumed negatives: labels that were not observed count less."""

from typing import Annotated

from torch.nn.functional import binary_cross_entropy_with_logits

from weakneg.losses.batch import Batch, Losses

DISPLAY_NAME = "WAN"
DOUBTS = True


def loss(batch: Batch, *, weight: Annotated[float, (0, 1)] = 0.0) -> Losses:
    """Cross-entropy, with a weight for assumed negatives.

    Parameters
    ----------
    batch : Batch
        The batch.
    weight : float
        Weight of an assumed negative. 0 stands for the paper's 1 / (C - 1), with which the C - 1
        assumed negatives of a bag count as much as its one positive. With one class that has no
        meaning, and 0 stands for 1/2, with which two negatives count as much as one positive.

    References
    ----------
    Cole et al., "Multi-Label Learning from Single Positive Labels" (2021),
    arXiv:2106.09708: WAN.
    """
    classes = batch.logits.shape[1] if batch.logits.ndim == 2 else 1
    weight = weight or (1 / (classes - 1) if classes > 1 else 0.5)
    weights = batch.observed.to(batch.logits.dtype).clamp_(min=weight)
    return Losses(
        binary_cross_entropy_with_logits(
            batch.logits, batch.labels, weight=weights, reduction="none"
        )
    )

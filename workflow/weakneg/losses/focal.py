"""Focal loss: entries that the model already gets right count less."""

from typing import Annotated

from torch.nn.functional import binary_cross_entropy_with_logits

from weakneg.losses.batch import Batch, Losses

DISPLAY_NAME = "Focal"


def loss(batch: Batch, *, gamma: Annotated[float, (0, None)] = 2.0) -> Losses:
    """Cross-entropy, times |y - p|^gamma.

    For labels of 0 and 1, |y - p| is the paper's 1 - p_t. For mixed bags this is the form of Li et
    al., which is least where p = y. The paper's alpha is a weight of positives, as `training:
    positive_weight` is: alpha / (1 - alpha).

    Parameters
    ----------
    batch : Batch
        The batch.
    gamma : float
        How much less such entries count; 0 is the cross-entropy.

    References
    ----------
    Lin et al., "Focal Loss for Dense Object Detection" (2017), arXiv:1708.02002.
    Li et al., "Generalized Focal Loss" (2020), arXiv:2006.04388: QFL.
    """
    # Not 0, whose powers below 1 have no slope.
    distance = (batch.labels - batch.logits.sigmoid()).abs().clamp(min=1e-12)
    values = binary_cross_entropy_with_logits(batch.logits, batch.labels, reduction="none")
    return Losses(values * distance.pow(gamma))

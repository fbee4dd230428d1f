"""Label smoothing: labels, assumed ones too, are right with less than certainty."""

from typing import Annotated

from torch.nn.functional import binary_cross_entropy_with_logits

from weakneg.losses.batch import Batch, Losses

DISPLAY_NAME = "LSAN"


def loss(batch: Batch, *, smoothing: Annotated[float, (0, 1)] = 0.1) -> Losses:
    """Cross-entropy with the labels 1 - smoothing and smoothing instead of 1 and 0.

    Parameters
    ----------
    batch : Batch
        The batch.
    smoothing : float
        Probability of the other label, 0.1 in the code of Cole et al.

    References
    ----------
    Cole et al., "Multi-Label Learning from Single Positive Labels" (2021),
    arXiv:2106.09708: AN-LS.
    """
    labels = batch.labels * (1 - 2 * smoothing) + smoothing
    return Losses(binary_cross_entropy_with_logits(batch.logits, labels, reduction="none"))

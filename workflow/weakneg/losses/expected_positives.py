"""Expected positive regularisation: how many positives there are is known, not which."""

from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from weakneg.losses.batch import Batch, Losses

DISPLAY_NAME = "EPR"
DOUBTS = True


def loss(batch: Batch, *, prior: Annotated[float, (0, 1)] = 0.01) -> Losses:
    """Cross-entropy of observed entries, and a penalty on the number of positives.

    The penalty is that of the whole batch. It is shared out among the unobserved entries, so that
    the mean of all values is the loss of the paper, and a weight of positive bags does not touch
    it.

    Parameters
    ----------
    batch : Batch
        The batch.
    prior : float
        Expected share of positives. With one class, of the unobserved bags, as training uses more
        positives than there are in nature; with several, of all entries: the paper's k / C.

    References
    ----------
    Cole et al., "Multi-Label Learning from Single Positive Labels" (2021),
    arXiv:2106.09708: EPR.
    """
    unobserved = ~batch.observed
    excess = ((batch.logits.sigmoid() - prior) * weights(unobserved)).sum()
    share = excess.square() * (unobserved.numel() / unobserved.sum().clamp(min=1))
    values = binary_cross_entropy_with_logits(batch.logits, batch.labels, reduction="none")
    return Losses(torch.where(unobserved, share, values))


def weights(unobserved: Tensor) -> Tensor:
    """The weights of the mean probability that is expected to be the prior.

    With several classes, the paper's (mean over bags of the sum over classes - k) / C is the mean
    over all entries - k / C.

    Parameters
    ----------
    unobserved : Tensor, (B,) or (B, C) bool
        Entries whose labels were not observed.

    Returns
    -------
    Tensor, same shape, float32
        They add up to 1, or to 0 where one class has no unobserved bag in the batch.
    """
    if unobserved.ndim == 2 and unobserved.shape[1] > 1:
        return torch.full_like(unobserved, 1 / unobserved.numel(), dtype=torch.float32)
    return unobserved / unobserved.sum().clamp(min=1)

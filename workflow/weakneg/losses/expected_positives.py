"""Expected positive regularisation: how many positives there are is known, not which."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from weakneg.losses.batch import Batch, Losses

DISPLAY_NAME = "EPR"
DOUBTS = True


def loss(batch: Batch, *, prior: float = 0.01) -> Losses:
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
    Cole et al., "Multi-Label Learning from Single Positive Labels" (2021), equations 6 and 7.
    """
    unobserved = ~batch.observed
    penalty = excess(batch.logits.sigmoid(), unobserved, prior).square()
    share = penalty * (unobserved.numel() / unobserved.sum().clamp(min=1))
    values = binary_cross_entropy_with_logits(batch.logits, batch.labels, reduction="none")
    return Losses(torch.where(unobserved, share, values))


def excess(probabilities: Tensor, unobserved: Tensor, prior: float) -> Tensor:
    """By how much the mean probability exceeds the prior.

    Parameters
    ----------
    probabilities : Tensor, (B,) or (B, C)
        Probabilities of the entries.
    unobserved : Tensor, same shape, bool
        Entries whose labels were not observed.
    prior : float
        As for `loss`. The paper's (mean over bags of the sum over classes - k) / C is the mean
        over all entries - k / C.

    Returns
    -------
    Tensor, ()
    """
    if probabilities.ndim == 2 and probabilities.shape[1] > 1:
        return probabilities.mean() - prior
    # Without an unobserved bag there is nothing to expect.
    weights = unobserved / unobserved.sum().clamp(min=1)
    return ((probabilities - prior) * weights).sum()

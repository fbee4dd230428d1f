"""Binary cross-entropy: the loss of the paper, and "assume negative" where labels are missing."""

from torch.nn.functional import binary_cross_entropy_with_logits

from weakneg.losses.batch import Batch, Losses

DISPLAY_NAME = "BCE"


def loss(batch: Batch) -> Losses:
    """Cross-entropy of every entry, -y log p - (1 - y) log(1 - p).

    References
    ----------
    Shah et al., "Importance of Negative Sampling in Weak Label Learning".
    """
    values = binary_cross_entropy_with_logits(batch.logits, batch.labels, reduction="none")
    return Losses(values)

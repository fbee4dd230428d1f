"""Large loss, corrected for the moment: suspicious negatives count as positives, in this step."""

from typing import Annotated, Literal

from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from weakneg.losses.batch import CORRECTED, Batch, Losses
from weakneg.losses.large_losses import before_epoch as before_epoch
from weakneg.losses.large_losses import (
    doubted,
    growing_share,
    relative_losses,
    remembered,
    treatment,
)
from weakneg.losses.large_losses import initial_state as initial_state

DISPLAY_NAME = "LL-Ct"
DOUBTS = True


def loss(
    batch: Batch,
    *,
    share_per_epoch: Annotated[float, (0, 1)] = 0.01,
    largest_share: Annotated[float, (0, 1)] = 0.05,
    over: Literal["epoch", "batch"] = "epoch",
) -> Losses:
    """Cross-entropy, with the label 1 for the assumed negatives of the largest losses.

    Parameters
    ----------
    batch : Batch
        The batch.
    share_per_epoch : float
        By how much the share of corrected negatives grows per epoch, from 0 in the first: the
        paper's delta (there 0.001 to 0.005).
    largest_share : float
        Where the share stops growing. The paper stops after ten epochs, at 0.045 or less.
    over : {"epoch", "batch"}
        Of what the share is: see `weakneg.losses.large_losses`.

    References
    ----------
    Kim et al., "Large Loss Matters in Weakly Supervised Multi-Label Classification" (2022): LL-Ct.
    """
    losses = relative_losses(softplus(batch.logits.detach()), batch.observed)
    share = growing_share(batch.epoch, share_per_epoch, largest_share)
    doubt = doubted(losses, share, batch, over)
    labels = batch.labels.masked_fill(doubt, 1)
    values = binary_cross_entropy_with_logits(batch.logits, labels, reduction="none")
    return Losses(values, treatment(doubt, CORRECTED), remembered(losses, over))

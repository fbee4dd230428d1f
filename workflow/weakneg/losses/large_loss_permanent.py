"""Large loss, corrected for good: a suspicious negative is a positive from then on."""

import math
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from weakneg.losses import large_losses
from weakneg.losses.batch import CORRECTED, Batch, Losses, State
from weakneg.losses.large_losses import before_epoch as before_epoch
from weakneg.losses.large_losses import (
    doubted,
    growing_share,
    relative_losses,
    remembered,
    treatment,
)

DISPLAY_NAME = "LL-Cp"
DOUBTS = True


def initial_state(labels: Tensor, observed: Tensor, generator: torch.Generator) -> State:
    """As `large_losses.initial_state`, with "corrected", the shape of the labels, bool: none."""
    shared = large_losses.initial_state(labels, observed, generator)
    return {**shared, "corrected": torch.zeros_like(observed)}


def loss(
    batch: Batch,
    *,
    share_per_epoch: Annotated[float, (0, 1)] = 0.01,
    largest_share: Annotated[float, (0, 1)] = 0.05,
    over: Literal["epoch", "batch"] = "epoch",
) -> Losses:
    """Cross-entropy, with the label 1 for all assumed negatives ever doubted.

    In every epoch but the first, those of the largest losses are added to them, until they are the
    share of that epoch. In the released code a comparison always fails, so that labels stay as
    they are and the method is that of `large_loss_correction`; this is the method of the paper.

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
    Kim et al., "Large Loss Matters in Weakly Supervised Multi-Label Classification" (2022): LL-Cp.
    """
    # Corrected before: above every loss, so that they come first in the share.
    corrected = batch.state["corrected"][batch.bags]
    losses = relative_losses(softplus(batch.logits.detach()), batch.observed)
    losses = losses.masked_fill_(corrected, math.inf)
    share = growing_share(batch.epoch, share_per_epoch, largest_share)
    corrected = doubted(losses, share, batch, over)
    labels = batch.labels.masked_fill(corrected, 1)
    values = binary_cross_entropy_with_logits(batch.logits, labels, reduction="none")
    state = {**remembered(losses, over), "corrected": corrected}
    return Losses(values, treatment(corrected, CORRECTED), state)

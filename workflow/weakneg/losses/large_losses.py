"""What the three large-loss methods share: which assumed negatives are too implausible to be true.

A share of the assumed negatives, those with the largest losses, is doubted; the share grows from
epoch to epoch, because a network learns what is right before it memorises what is wrong.

The paper takes the share of each batch, of all its entries: k = ceil(B C share). A batch of one
class has few entries: a share of 1% of 21 negatives would always doubt one of them, which is 5%,
and mostly none of them is among the worst of all. By default the share is therefore that of all
entries of the last epoch, and what is doubted is every loss that reaches the smallest of that
share. As all losses fall during training, they are compared as multiples of the mean of their
batch. In both cases the share counts unobserved entries only: in the paper's way, a large share of
a batch of many positives would exceed its negatives (in the released code, all positives are then
doubted).

References
----------
Kim et al., "Large Loss Matters in Weakly Supervised Multi-Label Classification" (2022),
arXiv:2206.03740.
"""

import math

import numpy as np
import torch
from torch import Tensor

from weakneg.losses.batch import Batch, State

NOTHING = -1.0
"""In place of the loss of an entry that cannot be doubted: below every loss."""


def initial_state(labels: Tensor, observed: Tensor, generator: torch.Generator) -> State:
    """No losses yet.

    Parameters
    ----------
    labels, observed, generator
        As for `weakneg.losses.initial_state`.

    Returns
    -------
    State
        "loss", the shape of the labels: in this epoch, relative to its batch, of entries that could
        be doubted. "ranked", (n + 1,): the n of the last epoch in ascending order, and infinity.
    """
    return {"loss": torch.full_like(labels, NOTHING), "ranked": labels.new_full((1,), math.inf)}


def before_epoch(state: State, labels: Tensor, observed: Tensor) -> State:
    """Rank the losses of the last epoch, and forget them: a bag not used lately has an old loss.

    Parameters
    ----------
    state, labels, observed
        As for `weakneg.losses.before_epoch`.

    Returns
    -------
    State
        With the new "ranked", and an empty "loss".
    """
    losses = state["loss"]
    ranked = _ranked(losses)
    possible = ranked[torch.searchsorted(ranked, 0.0) :]
    return {
        **state,
        "loss": torch.full_like(losses, NOTHING),
        "ranked": possible.clone(),  # of a part, a file would get the whole
    }


def growing_share(epoch: int, share_per_epoch: float, largest_share: float) -> float:
    """The share of assumed negatives to doubt in an epoch: none in the first."""
    return min((epoch - 1) * share_per_epoch, largest_share, 1.0)


def relative_losses(losses: Tensor, certain: Tensor) -> Tensor:
    """Losses of a batch, as multiples of their mean.

    Parameters
    ----------
    losses : Tensor, the shape of the logits
        Cross-entropies -log(1 - p) with the label 0, without gradient.
    certain : Tensor, same shape, bool
        Entries that cannot be doubted, and do not count.

    Returns
    -------
    Tensor, same shape
        `NOTHING` for entries that cannot be doubted.
    """
    total = losses.masked_fill(certain, 0).sum().clamp(min=1e-30)
    scale = (certain.numel() - certain.sum()) / total
    return (losses * scale).masked_fill_(certain, NOTHING)


def doubted(losses: Tensor, share: float, batch: Batch, over: str) -> Tensor:
    """The entries with the largest losses, ties included.

    Parameters
    ----------
    losses : Tensor, (B,) or (B, C)
        Of `relative_losses`.
    share : float
        Share of the unobserved entries to doubt.
    batch : Batch
        The batch.
    over : {"epoch", "batch"}
        Whether the share is that of the entries of the last epoch, rounded to the nearest number,
        or of this batch, rounded up.

    Returns
    -------
    Tensor, the same shape, bool
    """
    if over == "epoch":
        ranked = batch.state["ranked"]
        return losses >= ranked[-1 - round(share * (len(ranked) - 1))]
    # Like this, no number has to be fetched from a GPU.
    k = ((losses >= 0).sum() * share).ceil().long()
    return losses >= _ranked(losses)[-1 - k]


def remembered(losses: Tensor, over: str) -> State:
    """The state after a step: the losses, where the share is that of an epoch."""
    return {"loss": losses} if over == "epoch" else {}


def treatment(entries: Tensor, what: int) -> Tensor:
    """The `treatment` (see `weakneg.losses.batch`) of these entries (bool); all others are kept."""
    return entries.view(torch.uint8) * what


def _ranked(losses: Tensor) -> Tensor:
    """The losses in ascending order, before infinity: number -1 - k is the k-th largest."""
    if losses.device.type == "cpu":  # NumPy sorts ten times as fast
        ranked = torch.from_numpy(np.sort(losses.numpy(), axis=None))
    else:
        ranked = losses.flatten().sort().values
    return torch.cat([ranked, ranked.new_full((1,), math.inf)])

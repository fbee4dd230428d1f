"""Bags that the model takes for positive ones: hard negatives."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from weakneg.strategies.pool import Pool, Selection, highest, top_k

DISPLAY_NAME = "Hardest"
LOOK = {"colour": "#DC267F", "marker": ">"}
RANKS = True


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The k bags with the highest logit; score: the loss at the label 0, log(1 + exp(logit)).

    Bags are ranked by the logits, since losses may be equal where logits are not.

    References
    ----------
    Zhan et al., "Optimizing Dense Retrieval Model Training with Hard Negatives" (2021,
    arXiv:2104.08051), "ADORE": for each query, the negatives that the current model ranks highest.
    A class instead of a query, and a choice per epoch instead of one per step, is this project's
    reading; the losses there are weighted by rank, and here they are not.
    """
    return hardest(pool, k)


def hardest(pool: Pool, k: int) -> Selection:
    """`select`, which needs no random numbers."""
    chosen = top_k(pool, pool.logits, k)
    return Selection(chosen.ids, losses(chosen.scores))


def hardest_without(pool: Pool, suspicion: Tensor, n: int, k: int) -> Selection:
    """The k hardest bags that are left without the n most suspicious ones.

    Parameters
    ----------
    pool : Pool
        The bags to choose from.
    suspicion : Tensor, (N,) float
        How likely each bag is a positive one, in the order of `pool.ids`, on any scale. Of equally
        suspicious bags, those with lower ids stay.
    n : int
        How many bags to leave out. Where fewer than k would remain, the least suspicious ones stay
        until there are k.
    k : int
        The budget.

    Returns
    -------
    Selection
        The chosen bags; their scores are those of `select`.
    """
    stay = highest(-suspicion, max(len(pool) - n, pool.clamp(k)))
    return hardest(pool.part(stay), k)


def losses(logits: Tensor) -> Tensor:
    """The losses at the label 0, on the CPU."""
    return -logsigmoid(-logits.double()).cpu()

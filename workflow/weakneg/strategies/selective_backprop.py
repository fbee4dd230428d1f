"""Bags drawn by the rank of their loss: Selective-Backprop."""

from typing import Annotated

import torch
from torch.nn.functional import softplus

from weakneg.strategies.pool import Pool, Selection
from weakneg.strategies.sampling import inclusion_probabilities, systematic_sample

DISPLAY_NAME = "Selective-Backprop"
LOOK = {"colour": "#999933", "marker": "H", "dashes": [4, 1, 2, 1]}


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    beta: Annotated[float, (0, 100)] = 1.0,
) -> Selection:
    """A random draw with probabilities as CDF(loss)^beta, without weights; score: the loss.

    The loss is log(1 + exp(logit)), with the label 0. CDF(loss) is the share of the pool with this
    loss or a lower one; since the loss increases strictly with the logit, it is that of logits. The
    paper takes a bag with the probability CDF(loss)^beta, so that beta also says how many are
    taken, one in 1 + beta. Here the budget says that, and the probability is min(1, c
    CDF(loss)^beta) with c such that k bags are chosen; beta only says how much hard bags are
    preferred. Nothing makes up for the preference, as in the paper.

    Parameters
    ----------
    beta : float
        How much bags with a high loss are preferred; 0 draws uniformly.

    References
    ----------
    Jiang et al., "Accelerating Deep Learning by Focusing on the Biggest Losers" (2019),
    arXiv:1910.00762. There the CDF is that of the last losses seen, and positives are drawn, too.
    """
    logits = pool.logits.double()
    order = logits.sort().values
    cdf = torch.searchsorted(order, logits, right=True).double() / max(len(logits), 1)
    k = pool.clamp(k)
    rows = systematic_sample(inclusion_probabilities(cdf.pow(beta), k), k, generator)
    return Selection(pool.ids[rows], softplus(logits).cpu()[rows])

"""Bags that are not learnt yet, and fewer of the others, which count more: InfoBatch."""

from typing import Annotated

import torch
from torch.nn.functional import softplus

from weakneg.strategies.pool import Pool, Selection
from weakneg.strategies.sampling import weighted_draw

DISPLAY_NAME = "InfoBatch"
LOOK = {"colour": "#117733", "marker": "8", "dashes": [2, 1]}


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    pruned: Annotated[float, (0, 0.9)] = 0.5,
) -> Selection:
    """A random draw in which bags with a loss below the mean are less probable; score: the loss.

    The loss is log(1 + exp(logit)), with the label 0, and the mean is that of the pool. The paper
    prunes a bag below the mean with the probability r, `pruned`, and weights it by 1 / (1 - r) if
    it is kept; M bags are left on average. Here k of these are drawn at random, so that bags at or
    above the mean are chosen with the probability k / M and bags below it with (1 - r) k / M, and
    weights are as 1 to 1 / (1 - r). If k > M, all bags at or above the mean are chosen, and less is
    pruned: r is such that k bags are left, and the weights are those of this r.

    The paper's weights add up to N for the M bags kept. Here they are multiplied by M / N, so that
    they add up to k in expectation, and the weighted mean is an unbiased estimate of that of the
    pool (see `weakneg.strategies.sampling`).

    Parameters
    ----------
    pruned : float
        Probability of pruning a bag below the mean, r. The default is that of the authors' code,
        which never prunes with more than 0.9.

    References
    ----------
    Qin et al., "InfoBatch: Lossless Training Speed Up by Unbiased Dynamic Data Pruning" (2024),
    arXiv:2303.04947. The paper prunes positives, too; takes losses from the last epoch that trained
    on a bag; and trains on all data in the last 12.5% of the epochs, which no budget allows.
    """
    losses = softplus(pool.logits.double())
    kept = torch.where(losses < losses.mean(), 1 - pruned, 1.0)
    return weighted_draw(pool, kept, k, generator, scores=losses)

"""The hardest bags whose probability is clearly below that of the positive ones."""

from typing import Annotated

import torch
from torch.nn.functional import logsigmoid

from weakneg.strategies.hardest import hardest_without
from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "Positive cut-off"
LOOK = {"colour": "#B15928", "marker": "v", "dashes": [2, 1]}


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    share: Annotated[float, (0, 1)] = 0.95,
) -> Selection:
    """The k bags with the highest logit among those with p < share * q; scores of `hardest`.

    p = sigmoid(logit) is the bag's probability and q is the mean of p over the positive bags. Bags
    with a higher probability are likely to be missing labels. Where fewer than k bags are below the
    cut-off, the lowest ones above it are added.

    Parameters
    ----------
    share : float
        Share of the positives' probability at which bags are cut off.

    References
    ----------
    Moreira et al., "NV-Retriever: Improving text embedding models with effective hard-negative
    mining" (2024, arXiv:2407.15831), "TopK-PercPos", with a threshold of 95% of the positive's
    score. There, each query has a positive and a threshold, and scores are similarities; the mean
    probability of all positives is this project's reading.
    """
    # Logarithms: probabilities may be closer to 0 than a float can represent.
    log_p, log_q = logsigmoid(pool.logits.double()), logsigmoid(pool.positives.logits.double())
    log_mean = log_q.logsumexp(0) - log_q.new_tensor(len(log_q)).log()
    n = int((log_p >= log_mean.new_tensor(share).log() + log_mean).sum())
    return hardest_without(pool, pool.logits, n, k)

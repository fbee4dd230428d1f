"""Bags whose embedding resembles that of the positive bags."""

import torch
from torch import Tensor

from weakneg.strategies.embeddings import in_blocks
from weakneg.strategies.pool import Pool, Selection, top_k

DISPLAY_NAME = "KL (embedding)"
LOOK = {"colour": "#009E73", "marker": "X", "dashes": [5, 1, 1, 1]}
RANKS = True


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The k bags with the smallest KL(softmax(h) || softmax(g)) in nats; score: -KL.

    h is the bag's embedding and g is the mean embedding of the positive bags; the softmax is taken
    over the D features.

    References
    ----------
    Shah et al., "Importance of Negative Sampling in Weak Label Learning", table 1, "KL.embedding".
    Section 5.1.4 says only that the divergence is computed on the embedding. The two distributions,
    the direction and the end of the ranking are this project's reading: negatives that look like
    positives.
    """
    positive = pool.positives.embeddings.double().mean(0).log_softmax(0)

    def divergence(bags: Tensor) -> Tensor:
        bags = bags.log_softmax(1)
        return (bags.exp() * (bags - positive)).sum(1)

    return top_k(pool, -in_blocks(pool.embeddings, divergence), k)

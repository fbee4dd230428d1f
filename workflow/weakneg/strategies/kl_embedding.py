"""Bags whose embedding is distributed like that of the positive bags."""

import torch

from weakneg.strategies.pool import Pool, Selection, top_k

DISPLAY_NAME = "KL (embedding)"
LOOK = {"colour": "#009E73", "marker": "X", "dashes": [5, 1, 1, 1]}


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The k bags of the smallest KL(softmax(h) || softmax(g)) in nats; score: -KL.

    h is the bag's embedding and g the mean embedding of the positive bags; softmax goes over the D
    features.

    Source: "KL.embedding" in table 1 of Shah et al., "Importance of Negative Sampling in Weak Label
    Learning", of which section 5.1.4 says only that the divergence is computed on the embedding.
    Which two distributions, in which direction, and which end of the ranking are this project's
    reading: negatives that look like positives.
    """
    bags = pool.embeddings.double().log_softmax(1)
    positive = pool.positives.embeddings.double().mean(0).log_softmax(0)
    return top_k(pool, -(bags.exp() * (bags - positive)).sum(1), k)

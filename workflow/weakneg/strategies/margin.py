"""Bags with the smallest margin between the probabilities of the two classes."""

import torch

from weakneg.strategies.pool import Pool, Selection, most_uncertain

DISPLAY_NAME = "Margin"
# Least confidence, margin and entropy share a colour, since they choose the same bags.
LOOK = {"colour": "#56B4E9", "marker": "^", "dashes": [1, 1]}
RANKS = True


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The k bags with the smallest margin between the two probabilities; score: -|logit|.

    The margin is |p - (1 - p)| = tanh(|logit| / 2), where p = sigmoid(logit). For two classes,
    `entropy` and `least_confidence` choose the same bags: see `most_uncertain`.

    References
    ----------
    Shah et al., "Importance of Negative Sampling in Weak Label Learning", equation 2.
    """
    return most_uncertain(pool, k)

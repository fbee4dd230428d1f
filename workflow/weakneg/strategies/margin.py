"""Bags of the smallest margin between the two classes' probabilities."""

import torch

from weakneg.strategies.pool import Pool, Selection, most_uncertain

DISPLAY_NAME = "Margin"
# Least confidence, margin and entropy share a colour, since they choose the same bags.
LOOK = {"colour": "#56B4E9", "marker": "^", "dashes": [1, 1]}


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The k bags of the smallest margin between the two probabilities; score: -|logit|.

    The margin is |p - (1 - p)| = tanh(|logit| / 2), p = sigmoid(logit).

    Source: Shah et al., "Importance of Negative Sampling in Weak Label Learning", equation 2. For
    two classes the choice is that of `entropy` and of `least_confidence`: see `most_uncertain`.
    """
    return most_uncertain(pool, k)

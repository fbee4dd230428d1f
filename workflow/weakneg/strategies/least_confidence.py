"""Bags whose label the model is least confident about."""

import torch

from weakneg.strategies.pool import Pool, Selection, most_uncertain

DISPLAY_NAME = "Least confidence"
LOOK = {"colour": "#56B4E9", "marker": "v", "dashes": [1, 1]}
RANKS = True
SAME_CHOICE_AS = "margin"


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The k bags with the smallest confidence in the more likely label; score: -|logit|.

    The confidence is max(p, 1 - p) = sigmoid(|logit|), where p = sigmoid(logit). For two classes,
    `margin` and `entropy` choose the same bags: see `most_uncertain`.

    References
    ----------
    Shah et al., "Importance of Negative Sampling in Weak Label Learning", table 1, "Least
    Confidence", which is not defined there.

    Lewis and Gale, "A Sequential Algorithm for Training Text Classifiers" (1994), the definition.
    """
    return most_uncertain(pool, k)

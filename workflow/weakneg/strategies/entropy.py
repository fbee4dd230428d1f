"""Bags with the highest entropy of the predicted label."""

import torch

from weakneg.strategies.pool import Pool, Selection, most_uncertain

DISPLAY_NAME = "Entropy"
LOOK = {"colour": "#56B4E9", "marker": "<", "dashes": [1, 1]}
RANKS = True
SAME_CHOICE_AS = "margin"


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The k bags with the highest entropy of the predicted label; score: -|logit|.

    The entropy is -p log p - (1 - p) log(1 - p), where p = sigmoid(logit). In terms of the logit z
    it is log(1 + exp(-|z|)) + |z| / (1 + exp(|z|)), which decreases strictly with |z|. For two
    classes, `margin` and `least_confidence` choose the same bags: see `most_uncertain`.

    References
    ----------
    Shah et al., "Importance of Negative Sampling in Weak Label Learning", equation 3.
    """
    return most_uncertain(pool, k)

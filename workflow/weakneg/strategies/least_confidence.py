"""Bags of whose label the model is least confident."""

import torch

from weakneg.strategies.pool import Pool, Selection, most_uncertain

DISPLAY_NAME = "Least confidence"
LOOK = {"colour": "#56B4E9", "marker": "v", "dashes": [1, 1]}
SAME_CHOICE_AS = "margin"


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The k bags of the smallest confidence in the more likely label; score: -|logit|.

    The confidence is max(p, 1 - p) = sigmoid(|logit|), p = sigmoid(logit).

    Source: "Least Confidence" in table 1 of Shah et al., "Importance of Negative Sampling in Weak
    Label Learning", which does not define it; this is the definition of Lewis and Gale, "A
    Sequential Algorithm for Training Text Classifiers" (1994). For two classes the choice is that
    of `margin` and of `entropy`: see `most_uncertain`.
    """
    return most_uncertain(pool, k)

"""Bags with the longest gradient of the loss with respect to the last layer."""

from typing import Literal

import torch

from weakneg.strategies.pool import Pool, Selection, top_k

DISPLAY_NAME = "Gradient embedding"
LOOK = {"colour": "#D55E00", "marker": "s"}
RANKS = True


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    loss_label: Literal["hypothesised", "known"] = "hypothesised",
) -> Selection:
    """The k bags with the longest gradient; score: its norm.

    Where the last layer has a row per class, the gradient is that of the row "positive": see
    `Scores`.

    Parameters
    ----------
    loss_label : {"hypothesised", "known"}
        The label y at which the loss is taken. Where the model averages the logits of instances,
        the gradient is (p - y) h with the embedding h and p = sigmoid(logit). "hypothesised" takes
        y = [p > 1/2], so that the norm is min(p, 1 - p) |h| and uncertain bags are chosen. "known"
        takes y = 0, since all bags of the pool are negative, so that the norm is p |h| and hard
        negatives are chosen. The default is that of equation 4 and of BADGE, which take the loss
        at the predicted label.

    References
    ----------
    Shah et al., "Importance of Negative Sampling in Weak Label Learning", equations 4 and 5.
    """
    return top_k(pool, pool.gradient_norms(loss_label), k)

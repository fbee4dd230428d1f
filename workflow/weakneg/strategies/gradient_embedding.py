"""Bags of the longest gradient of the loss with respect to the last layer."""

from typing import Literal

import torch

from weakneg.strategies.pool import Pool, Selection, top_k

DISPLAY_NAME = "Gradient embedding"
LOOK = {"colour": "#D55E00", "marker": "s"}


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    loss_label: Literal["hypothesised", "known"] = "hypothesised",
) -> Selection:
    """The k bags of the longest gradient; score: its norm.

    Where the last layer has a row for each class, it is that of class "positive": see `Scores`.

    loss_label: for which label the loss is taken. Where the model averages the instances' logits,
    the gradient is (p - y) h, with the embedding h and p = sigmoid(logit), and so
      "hypothesised"  y = [p > 1/2] makes it min(p, 1 - p) |h| long: uncertain bags;
      "known"         y = 0, for all of the pool is negative, makes it p |h| long: hard negatives.
    The default is "hypothesised", because equation 4 takes the loss at the predicted label, as
    BADGE does.

    Source: Shah et al., "Importance of Negative Sampling in Weak Label Learning", equations 4 and
    5.
    """
    # In float32 the square of a small gradient is 0.
    norms = torch.linalg.vector_norm(pool.gradients(loss_label), dim=1, dtype=torch.float64)
    return top_k(pool, norms, k)

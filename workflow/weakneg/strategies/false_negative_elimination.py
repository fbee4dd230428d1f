"""The hardest bags, without those whose embeddings are most similar to those of positive ones."""

from typing import Annotated

import torch
from torch.nn.functional import normalize

from weakneg.strategies.embeddings import in_blocks
from weakneg.strategies.hardest import hardest_without
from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "False-negative elimination"
LOOK = {"colour": "#CC6677", "marker": "X", "dashes": [3, 1]}


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    share: Annotated[float, (0, 1)] = 0.02,
) -> Selection:
    """The k bags with the highest logit, without those most similar to a positive bag.

    The similarity of a bag is the highest cosine between its embedding and that of a positive bag.
    Of N bags, share * N are left out, rounded to a whole number (a half to the even one), but never
    so many that fewer than k remain. Scores are those of `hardest`.

    Parameters
    ----------
    share : float
        Share of the pool to leave out, from 0 to 1.

    References
    ----------
    Huynh et al., "Boosting Contrastive Self-Supervised Learning with False Negative Cancellation"
    (2022, arXiv:2011.11765), "false negative elimination" with the maximum over a support set.
    There, each image has a support set of its own views, and all other images are negatives; all
    positives of the class as the support set, and the hardest of the rest, is this project's
    reading.
    """
    positives = normalize(pool.positives.embeddings.double(), dim=1)
    similarity = in_blocks(
        pool.embeddings, lambda bags: (normalize(bags, dim=1) @ positives.T).amax(1)
    )
    return hardest_without(pool, similarity, round(share * len(pool)), k)

"""Bags about as hard as the positive ones: simple ambiguous negatives sampling."""

from typing import Annotated

import torch

from weakneg.strategies.gumbel import draw
from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "SimANS"
LOOK = {"colour": "#785EF0", "marker": "H"}


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    a: Annotated[float, (0, None)] = 0.5,
    b: float = 0.0,
) -> Selection:
    """A draw of k bags without replacement with weights exp(-a (z - m - b)^2); score: log weight.

    z is the logit of the bag and m is the mean logit of the positive bags.

    Parameters
    ----------
    a : float
        How narrow the distribution is; 0 is `random`.
    b : float
        Where it is centred, as a difference to the mean logit of the positives. Negative values
        favour bags that are less hard than the positive ones.

    References
    ----------
    Zhou et al., "SimANS: Simple Ambiguous Negatives Sampling for Dense Text Retrieval" (2022,
    arXiv:2210.11773). There, s(q, d) is the relevance of a document and s(q, d+) that of the
    positive one; the mean over all positives of a class is this project's reading. The sign of b is
    that of the paper and of the authors' README; their code adds b where both subtract it. The
    defaults are those of the code.
    """
    middle = pool.positives.logits.double().mean() + b
    log_weights = -a * (pool.logits.double() - middle).square()
    return draw(pool, log_weights, log_weights, k, generator)

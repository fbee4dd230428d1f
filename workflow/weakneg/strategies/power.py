"""Bags drawn with probabilities that grow with a power of the score of another strategy."""

from typing import Annotated

import torch

from weakneg.errors import UserError
from weakneg.strategies import Ranking
from weakneg.strategies.gumbel import draw, scores_of_all
from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "{of}, power"
LOOK = {"colour": "#648FFF", "marker": "8", "dashes": [2, 1]}


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    beta: Annotated[float, (0, None)] = 1.0,
    of: Ranking,
) -> Selection:
    """A draw of k bags without replacement with weights s^beta, where s is the score of `of`.

    With `hardest`, whose score is the loss, bags are drawn in proportion to their losses. A bag
    with the score 0 is drawn when there are no others.

    Parameters
    ----------
    beta : float
        Exponent: 0 is `random`, and large values are the choice of `of`. It does not depend on the
        unit of the score.
    of : Ranking
        The strategy whose scores are used: one that ranks all bags by a score of at least 0, such
        as `hardest` and `gradient_embedding`.

    Raises
    ------
    UserError
        When a score is negative.

    References
    ----------
    Kirsch et al., "Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning" (2023,
    arXiv:2106.12059), power acquisition: the k highest log s + e, where all e are
    independent and have a Gumbel distribution with the scale 1 / beta.
    """
    scores = scores_of_all(pool, of, generator)
    if (scores < 0).any():
        raise UserError(
            f"strategy {pool.strategy!r}, epoch {pool.epoch}: some scores are negative, and have "
            "no power; use gibbs, or the scores of hardest or gradient_embedding."
        )
    # Where beta is 0, a score of 0 must not become 0 * -inf.
    log_weights = beta * scores.log() if beta else torch.zeros_like(scores)
    return draw(pool, log_weights, scores, k, generator)

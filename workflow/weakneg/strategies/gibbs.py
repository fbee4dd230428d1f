"""Bags drawn with probabilities that grow exponentially with the score of another strategy."""

from typing import Annotated

import torch

from weakneg.strategies import Ranking
from weakneg.strategies.gumbel import draw, scores_of_all
from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "{of}, Gibbs"
LOOK = {"colour": "#4477AA", "marker": "8", "dashes": [5, 1, 1, 1]}


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    beta: Annotated[float, (0, None)] = 1.0,
    of: Ranking,
) -> Selection:
    """A draw of k bags without replacement with weights exp(beta s), where s is the score of `of`.

    Parameters
    ----------
    beta : float
        Inverse temperature: 0 is `random`, and large values are the choice of `of`. It has the
        inverse unit of the score, so that it must be tuned to it.
    of : Ranking
        The strategy whose scores are used: one that ranks all bags by a score.

    References
    ----------
    Kirsch et al., "Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning" (2023,
    arXiv:2106.12059), softmax acquisition: the k highest s + e, where all e are
    independent and have a Gumbel distribution with the scale 1 / beta. The k highest scores of now
    would not be those of a model that has trained on some of them, so bags are drawn instead of
    taking these.
    """
    scores = scores_of_all(pool, of, generator)
    return draw(pool, beta * scores, scores, k, generator)

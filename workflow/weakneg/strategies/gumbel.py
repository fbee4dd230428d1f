"""Draws with given weights, without replacement, by the Gumbel top-k trick."""

import torch
from torch import Tensor

from weakneg.strategies import Ranking
from weakneg.strategies.pool import Pool, Selection, highest


def draw(
    pool: Pool, log_weights: Tensor, scores: Tensor, k: int, generator: torch.Generator
) -> Selection:
    """Draw k bags one after the other, each in proportion to the weights of those not yet drawn.

    Parameters
    ----------
    pool : Pool
        The bags to choose from.
    log_weights : Tensor, (N,) float
        Logarithms of the weights, up to a constant, in the order of `pool.ids`. A bag of weight 0
        (-inf) is drawn when there are no others, and all of these are equally likely.
    scores : Tensor, (N,) float
        The scores to return with the bags.
    k : int
        The budget.
    generator : torch.Generator
        Source of the random numbers.

    Returns
    -------
    Selection
        The chosen bags, in order of the draw.

    References
    ----------
    Kool et al., "Stochastic Beams and Where to Find Them: The Gumbel-Top-k Trick for Sampling
    Sequences Without Replacement" (2019): the k highest log w + G, where all G are independent and
    have a standard Gumbel distribution.
    """
    # Minus the logarithm of an exponential variable has that distribution.
    noise = -torch.empty(len(pool), dtype=torch.float64).exponential_(generator=generator).log()
    keys = log_weights.double().cpu() + noise
    k = pool.clamp(k)
    order = highest(keys, k)
    if k and keys[order[-1]] == -torch.inf:  # the noise alone decides between weights of 0
        order = torch.argsort(noise, descending=True)
        order = order[torch.argsort(keys[order], descending=True, stable=True)][:k]
    return Selection(pool.ids[order], scores.double().cpu()[order])


def scores_of_all(pool: Pool, of: Ranking, generator: torch.Generator) -> Tensor:
    """The scores by which a strategy ranks the bags of a pool.

    Parameters
    ----------
    pool : Pool
        The bags.
    of : Ranking
        The strategy.
    generator : torch.Generator
        Source of its random numbers.

    Returns
    -------
    Tensor, (N,) float64
        The scores in the order of `pool.ids`, on the CPU.

    Raises
    ------
    UserError
        When a score is NaN or infinite.
    """
    ranked = of(pool, len(pool), generator)
    pool.require_finite("scores", ranked.scores)
    scores = torch.empty(len(pool), dtype=torch.float64)
    scores[torch.searchsorted(pool.ids, ranked.ids)] = ranked.scores
    return scores

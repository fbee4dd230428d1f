"""Draws with unequal probabilities, and the weights that make up for them.

Some strategies draw k of the N bags of the pool with unequal probabilities, and weight the chosen
bags so that training minimises what it would minimise on the whole pool, in expectation. With an
inclusion probability pi_i > 0 for every bag and the weights w_i = k / (N pi_i),

    E[ (1 / k) sum of w_i f_i over the chosen ] = (1 / N) sum of f_i over the pool

for whatever f is: a loss or its gradient. This is the estimator of Horvitz and Thompson; it is
unbiased, not self-normalised. Its weights add up to k in expectation, not in every draw, so that
the chosen bags count against the positives as k bags without weights do. It holds for the model
that scored the pool: training changes the model, and does not change the weights before the next
choice.

References
----------
Horvitz and Thompson, "A Generalization of Sampling Without Replacement From a Finite Universe"
(1952).
"""

import torch
from torch import Tensor

from weakneg.strategies.pool import Pool, Selection


def weighted_draw(
    pool: Pool, sizes: Tensor, k: int, generator: torch.Generator, *, scores: Tensor
) -> Selection:
    """Draw bags with probabilities in proportion to their sizes, and weight them against it.

    Parameters
    ----------
    pool : Pool
        The bags to choose from.
    sizes : Tensor, (N,) float
        Size of each bag, at least 0, in the order of `pool.ids`.
    k : int
        The budget.
    generator : torch.Generator
        Source of the random numbers, on the CPU.
    scores : Tensor, (N,) float
        A score per bag, for the record.

    Returns
    -------
    Selection
        The chosen bags with their weights, see the top of this file.
    """
    k = pool.clamp(k)
    probability = inclusion_probabilities(sizes, k)
    rows = systematic_sample(probability, k, generator)
    return Selection(
        pool.ids[rows],
        scores.double().cpu()[rows],
        k / (len(pool) * probability[rows]),
    )


def inclusion_probabilities(sizes: Tensor, k: int) -> Tensor:
    """The probabilities with which k units are drawn, in proportion to their sizes.

    pi_i = min(1, c size_i), where c is such that all add up to k. If fewer than k units have a
    size, these are certain, and the others are equally probable.

    Parameters
    ----------
    sizes : Tensor, (N,) float
        The sizes, at least 0.
    k : int
        How many units are drawn, at most N.

    Returns
    -------
    Tensor, (N,) float64
        The probabilities, on the CPU.
    """
    sizes = sizes.double().cpu()
    if k == len(sizes):
        return torch.ones_like(sizes)
    ranked, order = sizes.sort(descending=True)
    # The largest is certain if k times its share of the sum is 1 or more; then the largest of the
    # rest, of which k - 1 are drawn, and so on.
    rest = ranked.flip(0).cumsum(0).flip(0)
    left = k - torch.arange(len(sizes))
    certain = int(((ranked > 0) & (left * ranked >= rest)).sum())
    tail = ranked[certain:]
    shares = tail / tail.sum() if tail[0] > 0 else torch.full_like(tail, 1 / len(tail))
    ranked[:certain], ranked[certain:] = 1, ((k - certain) * shares).clamp(max=1)
    return torch.empty_like(sizes).index_copy_(0, order, ranked)


def systematic_sample(probability: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Draw k distinct units, each with exactly its probability.

    The units lie in random order on a line, each as long as its probability, and those are drawn
    in which one of the points u, u + 1, ..., u + k - 1 falls; u is uniform on [0, 1). Where all
    probabilities are equal, all sets of k units are equally probable.

    Parameters
    ----------
    probability : Tensor, (N,) float64
        From 0 to 1, and k in sum.
    k : int
        How many units to draw.
    generator : torch.Generator
        Source of the random numbers, on the CPU.

    Returns
    -------
    Tensor, (k,) int64
        Positions in `probability`, in random order.

    References
    ----------
    Madow, "On the Theory of Systematic Sampling, II" (1949), with the random order of Goodman and
    Kish, "Controlled Selection: A Technique in Probability Sampling" (1950).
    """
    order = torch.randperm(len(probability), generator=generator)
    ends = probability[order].cumsum(0)
    number = torch.arange(k)
    points = torch.rand((), dtype=torch.float64, generator=generator) + number
    places = torch.searchsorted(ends, points, right=True)
    # Rounding may put two points into a unit of length 1, or the last one behind the end.
    places = (places - number).cummax(0).values + number
    return order[torch.minimum(places, number + len(probability) - k)]

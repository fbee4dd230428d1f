"""Bags of long and diverse gradients: BADGE."""

import math
from typing import Literal

import torch
from torch import Tensor

from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "BADGE"
LOOK = {"colour": "#0072B2", "marker": "P"}

# Candidates per pass over the points: enough for a fast matrix product, few enough that most are
# accepted.
_BLOCK = 64


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    loss_label: Literal["hypothesised", "known"] = "hypothesised",
) -> Selection:
    """k bags whose gradients are k-means++ seeds of all gradients; score: the gradient's norm.

    loss_label: for which label the loss is taken, "known" or "hypothesised", as in
    `gradient_embedding`;
    the default is "hypothesised", because equation 4 takes the loss at the predicted label, as
    BADGE does.

    Source: Shah et al., "Importance of Negative Sampling in Weak Label Learning", section 4, item
    5; Ash et al., "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds" (2020),
    algorithm 1.
    """
    gradients = pool.gradients(loss_label)
    chosen = kmeans_plus_plus(gradients, pool.clamp(k), generator)
    norms = torch.linalg.vector_norm(gradients[chosen.to(gradients.device)].double(), dim=1)
    return Selection(pool.ids[chosen], norms.cpu())


def kmeans_plus_plus(points: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """(k,) distinct indices of points (n, d), k <= n: the longest point first, then D^2 sampling.

    Each next index is drawn with probability proportional to D^2, the squared distance of its point
    to the nearest point chosen so far; uniformly where all D^2 are 0 (and so from the start where
    all points are 0). On the CPU, whatever the device of the points. O(k n d) time, O(n d) memory.

    Distances to all points are brought up to date for a block of chosen points at once, by a matrix
    product. In between, D^2 is known only as an upper bound, so candidates are drawn by the bound
    and accepted with probability D^2 / bound, where D^2 takes in what the block has chosen so far.
    What is accepted has exactly the distribution above.

    Source: Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding" (2007). The
    first point is the longest one and not a random one, as section 4, item 5 of Shah et al. says.
    """
    n, d = points.shape
    largest = torch.linalg.vector_norm(points, torch.inf) if points.numel() else 0
    if k == 0 or largest == 0:
        return torch.randperm(n, generator=generator)[:k]
    points = points / largest  # the squares of small gradients would vanish in float32
    squares = points.square().sum(1)
    # |a|^2 + |b|^2 - 2ab is rounded, to about this: below it, two points cannot be told apart.
    resolution = 8 * math.sqrt(d) * torch.finfo(points.dtype).eps * squares
    nearest = torch.full_like(squares, torch.inf)
    chosen = new = squares.argmax().reshape(1)
    while len(chosen) < k:
        centres = points[new]
        distances = torch.addmm(squares[new], points, centres.T, alpha=-2).amin(1) + squares
        distances[distances <= resolution] = 0
        distances[new] = 0
        nearest = torch.minimum(nearest, distances)
        mass = nearest.cumsum(0, dtype=torch.float64)
        if mass[-1] == 0:
            free = torch.ones(n, dtype=torch.bool)
            free[chosen.cpu()] = False
            rest = free.nonzero()[:, 0]
            rest = rest[torch.randperm(len(rest), generator=generator)[: k - len(chosen)]]
            return torch.cat([chosen.cpu(), rest])
        uniform = torch.rand(2, _BLOCK, dtype=torch.float64, generator=generator)
        draw, accept = uniform.to(points.device)
        # right=True never lands on a point without mass, unless the sum is a parallel one, which
        # need not be monotone: hence the clamp, and a first candidate that may be rejected.
        candidates = torch.searchsorted(mass, draw * mass[-1], right=True).clamp(max=n - 1)
        accepted = _accepted(points[candidates], nearest[candidates], accept, k - len(chosen))
        if len(accepted):
            new = candidates[accepted]
            chosen = torch.cat([chosen, new])
    return chosen.cpu()


def _accepted(candidates: Tensor, bounds: Tensor, accept: Tensor, limit: int) -> Tensor:
    """Positions of the accepted candidates, at most `limit`, one after the other."""
    # Differences, not a matrix product: a candidate drawn twice is at distance 0 of itself.
    distances = torch.cdist(candidates, candidates, compute_mode="donot_use_mm_for_euclid_dist")
    between = distances.square().cpu().numpy()
    weights = bounds.cpu().numpy().copy()
    thresholds = (accept * bounds).cpu().numpy()
    accepted = []
    for position, threshold in enumerate(thresholds):
        if threshold < weights[position]:
            accepted.append(position)
            if len(accepted) == limit:
                break
            weights = weights.clip(max=between[position])
    return torch.tensor(accepted, dtype=torch.int64, device=candidates.device)

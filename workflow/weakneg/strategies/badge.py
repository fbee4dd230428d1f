"""Bags with long and diverse gradients: BADGE."""

import math
from typing import Literal

import torch
from torch import Tensor

from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "BADGE"
LOOK = {"colour": "#0072B2", "marker": "P"}

# Candidates per pass over the points: enough for a fast matrix product, and few enough that most
# of them are accepted.
_BLOCK = 64


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    loss_label: Literal["hypothesised", "known"] = "hypothesised",
) -> Selection:
    """The bags whose gradients are k-means++ seeds of all gradients; score: the gradient's norm.

    Parameters
    ----------
    loss_label : {"hypothesised", "known"}
        The label at which the loss is taken, as in `gradient_embedding`. The default is that of
        equation 4 and of BADGE, which take the loss at the predicted label.

    References
    ----------
    Shah et al., "Importance of Negative Sampling in Weak Label Learning", section 4, item 5.

    Ash et al., "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds" (2020),
    algorithm 1.
    """
    gradients = pool.gradients(loss_label)
    chosen = kmeans_plus_plus(gradients, pool.clamp(k), generator)
    norms = torch.linalg.vector_norm(gradients[chosen.to(gradients.device)].double(), dim=1)
    return Selection(pool.ids[chosen], norms.cpu())


def kmeans_plus_plus(points: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Choose points by k-means++: the longest one first, then D^2 sampling.

    Each further point is drawn with probability proportional to D^2, its squared distance to the
    nearest point chosen so far; uniformly where all D^2 are 0 (from the start, where all points are
    0). Takes O(k n d) time and O(n d) memory.

    Parameters
    ----------
    points : Tensor, (n, d) float
        The points.
    k : int
        How many to choose, at most n.
    generator : torch.Generator
        Source of the random numbers, on the CPU.

    Returns
    -------
    Tensor, (k,) int64
        Distinct indices of points in order of choice, on the CPU whatever the device of `points`.

    Notes
    -----
    The distances to all points are updated for a block of chosen points at once, by a matrix
    product. Between updates only an upper bound of D^2 is known, so candidates are drawn by the
    bound and accepted with probability D^2 / bound, where D^2 includes the points that the block
    has chosen so far. The accepted points have exactly the distribution above.

    References
    ----------
    Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding" (2007). The first point
    is the longest one instead of a random one, as in section 4, item 5, of Shah et al.
    """
    n, d = points.shape
    largest = torch.linalg.vector_norm(points, torch.inf) if points.numel() else 0
    if k == 0 or largest == 0:
        return torch.randperm(n, generator=generator)[:k]
    points = points / largest  # the squares of small gradients would vanish in float32
    squares = points.square().sum(1)
    # Rounding error of |a|^2 + |b|^2 - 2ab: two points that are closer count as equal.
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
        # right=True never lands on a point without mass, unless the cumulative sum is computed in
        # parallel and is not monotone: hence the clamp, and a first candidate may be rejected.
        candidates = torch.searchsorted(mass, draw * mass[-1], right=True).clamp(max=n - 1)
        accepted = _accepted(points[candidates], nearest[candidates], accept, k - len(chosen))
        if len(accepted):
            new = candidates[accepted]
            chosen = torch.cat([chosen, new])
    return chosen.cpu()


def _accepted(candidates: Tensor, bounds: Tensor, accept: Tensor, limit: int) -> Tensor:
    """Positions of the accepted candidates, at most `limit`, in order of acceptance."""
    # Differences, not a matrix product: a candidate drawn twice is at distance 0 from itself.
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

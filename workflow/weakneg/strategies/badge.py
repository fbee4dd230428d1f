"""Bags with long and diverse gradients: BADGE."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "BADGE"
LOOK = {"colour": "#0072B2", "marker": "P"}

_BLOCK = 128  # candidates drawn at a time
_ROWS = 4096  # points per matrix product, so that memory stays small
# What an operation costs besides multiplying: in distances of a point to a centre.
_PER_POINT, _PER_CANDIDATE = 16, 200


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

    def gradients(rows: Tensor) -> Tensor:
        return pool.gradients(loss_label, rows)

    chosen = kmeans_plus_plus(gradients, len(pool), pool.clamp(k), generator)
    norms = torch.linalg.vector_norm(gradients(chosen).double(), dim=1)
    return Selection(pool.ids[chosen], norms.cpu())


def kmeans_plus_plus(
    points: Callable[[Tensor], Tensor], n: int, k: int, generator: torch.Generator
) -> Tensor:
    """Choose points by k-means++: the longest one first, then D^2 sampling.

    Each further point is drawn with probability proportional to D^2, its squared distance to the
    nearest point chosen so far; uniformly where all D^2 are 0 (from the start, where all points are
    0 or too small for the precision). Takes O(k n d) time at most, and O(n + k d) memory.

    Parameters
    ----------
    points : callable
        `points(rows)` gives some of the points, (r, d) float, by their indices (r,) int64.
    n : int
        Number of points.
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
    Only an upper bound of each D^2 is kept. Candidates are drawn in proportion to the bound, and
    accepted with probability D^2 / bound, where D^2 is computed for the candidate alone, against
    all points chosen so far. The accepted points have exactly the distribution above. The bounds of
    all points are only brought up to date when the rejected candidates have cost more than that
    does, a few times per call.

    References
    ----------
    Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding" (2007). The first point
    is the longest one instead of a random one, as in section 4, item 5, of Shah et al.
    """
    distances = _Distances(points, n)
    if k == 0 or distances.largest < distances.tiny:
        return torch.randperm(n, generator=generator)[:k]
    bound = torch.full_like(distances.squares, torch.inf)
    chosen = distances.squares.argmax().reshape(1)
    in_bound = 0  # number of chosen points that the bounds know
    wasted = math.inf
    while len(chosen) < k:
        new = chosen[in_bound:]
        if len(new) and wasted > n * (len(new) + _PER_POINT):
            for rows in torch.split(torch.arange(n, device=bound.device), _ROWS):
                bound[rows] = torch.minimum(bound[rows], distances.to_nearest(rows, new))
            in_bound, wasted, new = len(chosen), 0, chosen[:0]
        mass = bound.cumsum(0, dtype=torch.float64)
        if mass[-1] == 0:
            free = torch.ones(n, dtype=torch.bool)
            free[chosen.cpu()] = False
            rest = free.nonzero()[:, 0]
            rest = rest[torch.randperm(len(rest), generator=generator)[: k - len(chosen)]]
            return torch.cat([chosen.cpu(), rest])
        uniform = torch.rand(2, _BLOCK, dtype=torch.float64, generator=generator)
        draw, accept = uniform.to(bound.device)
        # right=True never lands on a point without mass, unless the cumulative sum is computed in
        # parallel and is not monotone: hence the clamp, and such a candidate is rejected.
        candidates = torch.searchsorted(mass, draw * mass[-1], right=True).clamp(max=n - 1)
        thresholds = accept * bound[candidates]
        nearest = bound[candidates]
        if len(new):
            nearest = torch.minimum(nearest, distances.to_nearest(candidates, new))
        between = distances.between(candidates)
        accepted, nearest = _accepted(thresholds, nearest, between, k - len(chosen))
        # A point that was drawn twice keeps its lower bound.
        bound.scatter_reduce_(0, candidates, nearest, "amin")
        wasted += (_BLOCK - len(accepted)) * (len(new) + _BLOCK + _PER_CANDIDATE)
        chosen = torch.cat([chosen, candidates[accepted]])
    return chosen.cpu()


class _Distances:
    """Squared distances between points, in units of the square of the largest coordinate.

    Without that unit, the squares of small gradients would vanish in float32.
    """

    def __init__(self, points: Callable[[Tensor], Tensor], n: int) -> None:
        self.points = points
        none = points(torch.arange(0))
        precision = torch.finfo(none.dtype)
        self.tiny = precision.tiny
        blocks = torch.split(torch.arange(n, device=none.device), _ROWS)
        self.largest = none.new_zeros(())
        for rows in blocks if n and none.shape[1] else ():
            low, high = torch.aminmax(points(rows))
            self.largest = torch.maximum(self.largest, torch.maximum(-low, high))
        if self.largest > 0:
            self.squares = none.new_empty(n)
            for rows in blocks:
                self.squares[rows] = (points(rows) / self.largest).square_().sum(1)
            # Rounding error of |a|^2 + |b|^2 - 2ab: two points that are closer count as equal.
            self.resolution = 8 * math.sqrt(none.shape[1]) * precision.eps * self.squares

    def to_nearest(self, rows: Tensor, centres: Tensor) -> Tensor:
        """From each of `rows` (r,) to the nearest of `centres` (c,), indices of points: (r,)."""
        nearest = self._products(rows, centres).amin(1) + self.squares[rows]
        nearest[nearest <= self.resolution[rows]] = 0
        nearest[torch.isin(rows, centres)] = 0
        return nearest

    def between(self, rows: Tensor) -> Tensor:
        """Between each pair of `rows` (r,): (r, r)."""
        distances = self._products(rows, rows) + self.squares[rows][:, None]
        distances[distances <= self.resolution[rows][:, None]] = 0
        distances[rows[:, None] == rows] = 0
        return distances

    def _products(self, rows: Tensor, centres: Tensor) -> Tensor:
        """|b|^2 - 2ab for each pair."""
        scaled = self.points(centres) / self.largest / self.largest
        return torch.addmm(self.squares[centres], self.points(rows), scaled.T, alpha=-2)


def _accepted(
    thresholds: Tensor, nearest: Tensor, between: Tensor, limit: int
) -> tuple[Tensor, Tensor]:
    """Go through candidates in order, and accept those whose D^2 is above their threshold.

    Returns the positions of those accepted, at most `limit`, and the D^2 of all candidates then.
    """
    squares, pairs = nearest.cpu().numpy(), between.cpu().numpy()
    accepted: list[int] = []
    for position, threshold in enumerate(thresholds.cpu().numpy()):
        if threshold < squares[position]:
            accepted.append(position)
            squares = np.minimum(squares, pairs[position])
            if len(accepted) == limit:
                break
    positions = torch.tensor(accepted, dtype=torch.int64, device=nearest.device)
    return positions, torch.from_numpy(squares).to(nearest.device)

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
_SKETCH = 64  # directions in a sketch
_FEW = 256  # centres, or coordinates, below which sketches do not pay
_DOUBTS = 16  # distances in full per candidate, above which they do not pay either
# What an operation costs besides comparing with each centre: in distances of a point to a centre.
_PER_POINT, _PER_CANDIDATE, _PER_SKETCH = 16, 200, 200


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

    Where there are many long points to compare, they are compared by sketches: their coordinates
    along some of the points chosen, and the length of the rest. Sketches are never further apart
    than the points, and hardly nearer where gradients have few directions, as in training. The
    bounds then come from the one point with the nearest sketch, and D^2 of a candidate from the few
    whose sketches are near enough to matter.

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
    bound[chosen] = 0
    centres = _Centres(distances, k)
    centres.add(chosen)
    wasted = math.inf
    while len(chosen) < k:
        if wasted > n * centres.cost_of_update:
            centres.update(bound)
            wasted = 0
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
        nearest = torch.minimum(bound[candidates], centres.nearest(candidates, thresholds))
        between = distances.between(candidates)
        accepted, nearest = _accepted(thresholds, nearest, between, k - len(chosen))
        # A point that was drawn twice keeps its lower bound.
        bound.scatter_reduce_(0, candidates, nearest, "amin")
        wasted += (_BLOCK - len(accepted)) * (centres.cost + _BLOCK + _PER_CANDIDATE)
        chosen = torch.cat([chosen, candidates[accepted]])
        centres.add(candidates[accepted])
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

    def scaled(self, rows: Tensor) -> Tensor:
        """What points are multiplied with for their products with `rows` (r,): (r, d)."""
        return self.points(rows) / self.largest / self.largest

    def between(self, rows: Tensor) -> Tensor:
        """Between each pair of `rows` (r,): (r, r)."""
        products = torch.addmm(self.squares[rows], self.points(rows), self.scaled(rows).T, alpha=-2)
        distances = self.from_products(products, rows[:, None])
        distances[rows[:, None] == rows] = 0
        return distances

    def from_products(self, products: Tensor, rows: Tensor) -> Tensor:
        """From `rows` to points b, given |b|^2 - 2ab; those of equal points are 0."""
        distances = products + self.squares[rows]
        return distances.masked_fill_(distances <= self.resolution[rows], 0)


class _Centres:
    """The points chosen so far, and how far others are from the nearest of them.

    The bounds of the other points know the first `_exact` of them exactly, and may be too high
    because of the following ones. Since the first `_seen`, they have not been brought up to date.
    """

    def __init__(self, distances: _Distances, k: int) -> None:
        self._distances = distances
        width = distances.points(torch.arange(0)).shape[1]
        self._n = self._exact = self._seen = 0
        self._squares = distances.squares.new_empty(k)
        self._scaled = distances.squares.new_empty(k, width)
        self._sketchable = width >= _FEW
        self._basis: Tensor | None = None  # of the sketches, (d, _SKETCH)
        self._sketches = distances.squares.new_empty(k if self._sketchable else 0, _SKETCH + 1)

    @property
    def cost(self) -> float:
        """Of `nearest`, per point, in distances in full."""
        if self._basis is None:
            return self._n - self._exact
        return _PER_SKETCH + (self._n - self._exact) * _SKETCH / len(self._basis)

    @property
    def cost_of_update(self) -> float:
        """Of `update`, per point, in distances in full."""
        if self._basis is None:
            return _PER_POINT + self._n - self._exact
        return _PER_SKETCH + (self._n - self._seen) * _SKETCH / len(self._basis)

    def add(self, rows: Tensor) -> None:
        """Add points (r,), by their indices."""
        first, self._n = self._n, self._n + len(rows)
        self._squares[first : self._n] = self._distances.squares[rows]
        self._scaled[first : self._n] = self._distances.scaled(rows)
        if self._sketchable and self._basis is None and self._n - self._exact >= _FEW:
            first = self._exact
            directions = self._scaled[first : first + _SKETCH] * self._distances.largest
            self._basis = torch.linalg.qr(directions.T).Q / self._distances.largest
        if self._basis is not None:
            # One after the other: the square of a small gradient is 0 in float32.
            points = self._scaled[first : self._n] * self._distances.largest
            points *= self._distances.largest
            squares = self._squares[first : self._n]
            self._sketches[first : self._n] = _sketch(points, squares, self._basis)

    def update(self, bound: Tensor) -> None:
        """Lower the bounds of all points by the centres that they do not know."""
        if self._seen == self._n:
            return
        for rows in torch.split(torch.arange(len(bound), device=bound.device), _ROWS):
            points = self._distances.points(rows)
            if self._basis is None:
                found = self._nearest_in_full(points, rows)
            else:
                below = self._below(points, rows, self._seen, self._basis)
                nearest = below.argmin(1) + self._seen
                found = self._in_full(points, rows, nearest)
            bound[rows] = torch.minimum(bound[rows], found)
        self._seen = self._n
        if self._basis is None:
            self._exact = self._n

    def nearest(self, rows: Tensor, limits: Tensor) -> Tensor:
        """From each of `rows` (r,) to the nearest centre of which its bound is not sure: (r,).

        What is above the limit of its row may be the distance to any centre.
        """
        if self._exact == self._n:
            return self._squares.new_full(rows.shape, torch.inf)
        points = self._distances.points(rows)
        if self._basis is None:
            return self._nearest_in_full(points, rows)
        below = self._below(points, rows, self._exact, self._basis)
        found = self._in_full(points, rows, below.argmin(1) + self._exact)
        highest = torch.minimum(found, limits) + self._distances.resolution[rows]
        which, centres = (below <= highest[:, None]).nonzero(as_tuple=True)
        if len(which) > _DOUBTS * len(rows):
            self._sketchable, self._basis = False, None
            return self._nearest_in_full(points, rows)
        nearer = self._in_full(points[which], rows[which], centres + self._exact)
        return found.scatter_reduce_(0, which, nearer, "amin")

    def _below(self, points: Tensor, rows: Tensor, first: int, basis: Tensor) -> Tensor:
        """From the sketch of each of `points` (r, d), at `rows`, to those of centres: (r, c).

        The centres are those from the `first` on. No distance is above that of the points.
        """
        squares = self._distances.squares[rows]
        own, theirs = _sketch(points, squares, basis), self._sketches[first : self._n]
        products = torch.addmm(self._squares[first : self._n], own, theirs.T, alpha=-2)
        return products.add_(squares[:, None])

    def _nearest_in_full(self, points: Tensor, rows: Tensor) -> Tensor:
        """From each of `points` (r, d), at `rows`, to the nearest centre, as `nearest`: (r,)."""
        theirs = slice(self._exact, self._n)
        products = torch.addmm(self._squares[theirs], points, self._scaled[theirs].T, alpha=-2)
        return self._distances.from_products(products.amin(1), rows)

    def _in_full(self, points: Tensor, rows: Tensor, centres: Tensor) -> Tensor:
        """From each of `points` (r, d), at `rows`, to one centre each: (r,)."""
        products = self._squares[centres] - 2 * (points * self._scaled[centres]).sum(1)
        return self._distances.from_products(products, rows)


def _sketch(points: Tensor, squares: Tensor, basis: Tensor) -> Tensor:
    """Coordinates of `points` (r, d) in the `basis` (d, b), and the length of the rest: (r, b + 1).

    `squares` (r,) are the squared lengths of the points in the unit of the basis.
    """
    inside = points @ basis
    rest = (squares - inside.square().sum(1)).clamp(min=0).sqrt()
    return torch.cat([inside, rest[:, None]], dim=1)


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

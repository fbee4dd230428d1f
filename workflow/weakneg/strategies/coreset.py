"""Bags that together cover the pool: greedy k-centre."""

import torch
from torch import Tensor

from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "Core-set"
LOOK = {"colour": "#228833", "marker": "s", "dashes": [4, 1.5]}

_ROWS = 1024  # bags at a time, so that memory stays small
_FEW = 128  # candidates at a time


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The bag farthest from all centres, which becomes a centre, k times; score: its distance.

    The first centres are the positive bags, and distances are Euclidean ones between embeddings.

    Notes
    -----
    More centres only lower the distance of a bag to the nearest one, so that an old distance is an
    upper bound. The farthest bags by these bounds are brought up to date until the farthest of all
    is one of them; only these few bags are compared with every centre.

    References
    ----------
    Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach"
    (2018, arXiv:1708.00489), the greedy algorithm for k centres. The labelled set there is what the
    model trains on; the positive bags, on which every epoch trains, in its place are this project's
    reading.
    """
    points, k = pool.embeddings, pool.clamp(k)
    centres = torch.cat([pool.positives.embeddings, points.new_empty(k, points.shape[1])]).double()
    first = n_centres = len(centres) - k
    bound = upper_bounds(points, centres[:first])
    known = torch.zeros(
        len(pool), dtype=torch.int64, device=points.device
    )  # how many centres the bound knows
    rows = torch.empty(k, dtype=torch.int64)
    scores = torch.empty(k, dtype=torch.float64)
    few = _FEW
    while n_centres < len(centres):
        top = bound.topk(min(few, len(pool)))
        candidates, others = top.indices.sort().values, float(top.values[-1])
        few *= 2  # until one of them is farther than all others
        while n_centres < len(centres):
            for part in torch.split(candidates, _ROWS):
                old = part[known[part] < n_centres]
                if len(old):
                    new = centres[int(known[old].min()) : n_centres]
                    bound[old] = torch.minimum(bound[old], distances(points[old].double(), new))
                    known[old] = n_centres
            farthest = candidates[bound[candidates].argmax()]  # in a tie, the lowest id
            if not (bound[farthest] > others or len(candidates) == len(pool)):
                break
            if bound[farthest] == 0:  # all bags that are left equal a centre
                rest = (bound == 0).nonzero()[: len(centres) - n_centres, 0]
                rows[n_centres - first :], scores[n_centres - first :] = rest, 0
                return Selection(pool.ids[rows], scores)
            rows[n_centres - first], scores[n_centres - first] = farthest, bound[farthest]
            centres[n_centres] = points[farthest]
            n_centres += 1
            bound[farthest] = -1  # never again
            few = _FEW
            if len(candidates) == len(pool):
                break
    return Selection(pool.ids[rows], scores)


def upper_bounds(points: Tensor, centres: Tensor) -> Tensor:
    """Distances (n,) of points (n, D) to the nearest of centres (c, D) float64, or little more."""
    bound = torch.empty(len(points), dtype=torch.float64, device=points.device)
    squares = centres.square().sum(1)
    rounding = 8 * points.shape[1] * torch.finfo(torch.float64).eps
    for rows in torch.split(torch.arange(len(points), device=points.device), _ROWS):
        block = points[rows].double()
        own = block.square().sum(1)
        nearest = torch.addmm(squares, block, centres.T, alpha=-2).amin(1) + own
        nearest += rounding * (own + squares.max())
        bound[rows] = nearest.clamp(min=0).sqrt()
    return bound


def distances(points: Tensor, centres: Tensor) -> Tensor:
    """Distances (n,) of points (n, D) to the nearest of centres (c, D)."""
    # Not by a matrix product, which may round equal rows differently and thereby break ties.
    return torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist").amin(1)

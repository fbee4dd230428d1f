"""Measures of selections: overlap of two strategies, and turnover of one."""

from functools import cache

import numpy as np
from scipy.special import gammaln

MEASURES = ("turnover", "used", "distinct", "returns", "related")


# ----------------------------------------------------------------------------- the measures
def jaccard(a: np.ndarray, b: np.ndarray, candidates: int) -> tuple[np.ndarray, np.ndarray]:
    """Jaccard index of the choices in each row of a and b, and its expectation, each (E,).

    a, b : (E, N) bool, which of the N bags of a pool were chosen; no row is empty
    candidates : see `Selections`; a strategy that takes the whole pool does so all the same
    """
    shared = np.count_nonzero(a & b, axis=1)
    size_a, size_b = np.count_nonzero(a, axis=1), np.count_nonzero(b, axis=1)
    expected = [
        expected_jaccard(max(candidates, *sizes), *sizes)
        for sizes in zip(size_a.tolist(), size_b.tolist(), strict=True)
    ]
    return shared / (size_a + size_b - shared), np.array(expected)


@cache
def expected_jaccard(pool: int, a: int, b: int) -> float:
    """Mean Jaccard index of independent uniform choices of a and b bags out of `pool`.

    The number of bags in both is hypergeometric. Not `scipy.stats.hypergeom`, which takes half a
    second for choices of 12,000 bags.
    """
    shared = np.arange(max(0, a + b - pool), min(a, b) + 1)
    probability = np.exp(
        _log_binomial(a, shared) + _log_binomial(pool - a, b - shared) - _log_binomial(pool, b)
    )
    return float(np.sum(probability * shared / (a + b - shared)))


def _log_binomial(n: int, k: np.ndarray | int) -> np.ndarray:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def turnover(chosen: np.ndarray, related: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The `MEASURES` of a strategy's selections, and `expected_` of each: arrays (E,).

    chosen : (E, N) bool, which bags of the pool each selection chose; no row is empty
    related : (N,) bool, which bags carry a related label; None where labels are not known

    The turnover of the first selection is NaN, and so is `related` where labels are not known.
    """
    pool = chosen.shape[1]
    size = np.count_nonzero(chosen, axis=1)
    new = np.full(len(chosen), np.nan)
    new[1:] = np.count_nonzero(chosen[1:] & ~chosen[:-1], axis=1) / size[1:]
    expected_new = np.full(len(chosen), np.nan)
    expected_new[1:] = 1 - size[:-1] / pool

    times = np.cumsum(chosen, axis=0, dtype=np.int32)  # with the selection itself
    distinct = np.count_nonzero(times, axis=1)
    expected_used = 1 - np.cumprod(1 - size / pool)

    share = expected_share = np.full(len(chosen), np.nan)
    if related is not None:
        share = np.count_nonzero(chosen[:, related], axis=1) / size
        expected_share = np.full(len(chosen), related.mean())
    return {
        "turnover": new,
        "expected_turnover": expected_new,
        "used": distinct / pool,
        "expected_used": expected_used,
        "distinct": distinct.astype(np.float64),
        "expected_distinct": pool * expected_used,
        "returns": (times * chosen).sum(axis=1) / size - 1,
        "expected_returns": (np.cumsum(size) - size) / pool,
        "related": share,
        "expected_related": expected_share,
    }

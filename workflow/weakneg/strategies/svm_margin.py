"""Bags nearest to the decision boundary of a linear support vector machine."""

import torch
from torch import Tensor

from weakneg.strategies.pool import Pool, Selection, top_k

DISPLAY_NAME = "SVM margin"
LOOK = {"colour": "#CC79A7", "marker": "d", "dashes": [6, 1.5]}
RANKS = True

_PENALTY = 1.0  # C
_TOLERANCE = 1e-10  # of the gradient's norm, relative to the norm at the start
_ROUNDING = 1e-14  # of the gradient's norm, relative to the sum of the bags' weights
_NEWTON_STEPS = 100


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The k bags with the smallest |f(h)|; score: -|f(h)|.

    f(h) = w h + b is a linear support vector machine (squared hinge loss, C = 1, balanced class
    weights), fitted to the standardised embeddings h of the positive bags against those of the
    whole pool.

    References
    ----------
    Shah et al., "Importance of Negative Sampling in Weak Label Learning", table 1, "SVM-Margin",
    which is not defined there. The only formula for a margin, |p - (1 - p)| in equation 2, is that
    of `margin`, which for two classes chooses the same bags as `least_confidence`. Table 1 reports
    different values for SVM-Margin and least confidence, so the two rules must differ; a machine
    fitted to the embeddings is this project's reading.
    """
    bags, positives = pool.embeddings.double(), pool.positives.embeddings.double()
    h = torch.cat([bags, positives])
    deviation = h.std(0, correction=0)
    h = (h - h.mean(0)) / torch.where(deviation > 0, deviation, 1)
    label = h.new_ones(len(h))
    label[: len(bags)] = -1
    weight, bias = fit_machine(h, label)
    # Not a matrix product, which may round equal rows differently and thereby break ties.
    distances = (h[: len(bags)] * weight).sum(1) + bias
    return top_k(pool, -distances.abs(), k)


def fit_machine(h: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a linear support vector machine with squared hinge loss and balanced class weights.

    It minimises, with class weights c inversely proportional to class frequency,

        |w|^2 / 2 + b^2 / 2 + C sum_i c_i max(0, 1 - y_i (w h_i + b))^2.

    The objective is convex and piecewise quadratic, so Newton's method ends after a few steps, each
    a matrix product over the bags inside the margin.

    Parameters
    ----------
    h : Tensor, (N, D) float64
        Standardised embeddings.
    label : Tensor, (N,) float64
        y, -1 or 1; both occur.

    Returns
    -------
    w : Tensor, (D,) float64
        Weights.
    b : Tensor, () float64
        Bias.

    References
    ----------
    Keerthi and DeCoste, "A Modified Finite Newton Method for Fast Solution of Large Scale Linear
    SVMs" (2005). The objective, b^2 / 2 included, is that of LIBLINEAR (Fan et al., 2008).
    """
    h = torch.cat([h, h.new_ones(len(h), 1)], 1)
    n_positive = (label > 0).sum(dtype=h.dtype)
    counts = torch.where(label > 0, n_positive, len(label) - n_positive)
    weights = 2 * _PENALTY * len(label) / (2 * counts)

    def objective(w: Tensor, margin: Tensor) -> Tensor:
        return w @ w / 2 + (weights * margin.clamp(min=0).square()).sum() / 2

    w = h.new_zeros(h.shape[1])
    margin = torch.ones_like(label)  # 1 - y f(h)
    identity = torch.eye(len(w), dtype=h.dtype, device=h.device)
    limit = None
    for _ in range(_NEWTON_STEPS):
        inside = (margin > 0).nonzero()[:, 0]
        rows, scaled = h[inside], weights[inside, None] * h[inside]
        gradient = w - scaled.T @ (label * margin)[inside]
        length = torch.linalg.vector_norm(gradient)
        if limit is None:  # the gradient of equal bags is rounding error only
            limit = torch.maximum(_TOLERANCE * length, _ROUNDING * weights.sum())
        if length <= limit:
            break
        step = torch.linalg.solve(identity + scaled.T @ rows, gradient)
        change = label * (h @ step)
        # Halve the step until the objective falls; needed only in the first few steps.
        before, size = objective(w, margin), 1.0
        while objective(w - size * step, margin + size * change) > before and size > 1e-10:
            size /= 2
        w, margin = w - size * step, margin + size * change
    return w[:-1], w[-1]

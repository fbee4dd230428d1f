"""Bags nearest to the decision boundary of a linear support vector machine."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from weakneg.strategies.embeddings import in_blocks
from weakneg.strategies.pool import Pool, Selection, top_k

DISPLAY_NAME = "SVM margin"
LOOK = {"colour": "#CC79A7", "marker": "d", "dashes": [6, 1.5]}
RANKS = True

_PENALTY = 1.0  # C
_TOLERANCE = 1e-10  # of the gradient's norm, relative to the norm at the start
_ROUNDING = 1e-14  # of the gradient's norm, relative to the sum of the bags' weights
_NEWTON_STEPS = 100
_ROWS = 1024  # bags at a time, so that memory stays small


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
    standardised = standardisation(pool.embeddings, pool.positives.embeddings)
    weight, bias = fit_machine(pool.embeddings, pool.positives.embeddings, standardised)

    def distances(bags: Tensor) -> Tensor:
        return ((standardised(bags) * weight).sum(1) + bias).abs()

    return top_k(pool, -in_blocks(pool.embeddings, distances), k)


def standardisation(*classes: Tensor) -> Callable[[Tensor], Tensor]:
    """What gives all embeddings together a mean of 0 and, unless constant, a deviation of 1.

    Parameters
    ----------
    *classes : Tensor, (n, D) float
        The embeddings of each class.

    Returns
    -------
    callable
        Turns embeddings (m, D) into standardised ones, float64.
    """
    blocks = [block for bags in classes for block in torch.split(bags, _ROWS)]
    n = sum(map(len, blocks))
    origin = blocks[-1][0].double()  # so that constant features have exactly their own mean
    mean, variance = origin.clone(), torch.zeros_like(origin)
    for block in blocks:
        mean += (block.double() - origin).sum(0) / n
    for block in blocks:
        variance += (block.double() - mean).square().sum(0) / n
    deviation = torch.where(variance > 0, variance.sqrt(), 1)
    return lambda bags: (bags.double() - mean) / deviation


def fit_machine(
    negatives: Tensor, positives: Tensor, standardised: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Fit a linear support vector machine with squared hinge loss and balanced class weights.

    It minimises, with class weights c inversely proportional to class frequency,

        |w|^2 / 2 + b^2 / 2 + C sum_i c_i max(0, 1 - y_i (w h_i + b))^2.

    The objective is convex and piecewise quadratic, so Newton's method ends after a few steps, each
    a matrix product over the bags inside the margin.

    Parameters
    ----------
    negatives, positives : Tensor, (n, D) float
        Embeddings of the bags with y = -1 and of those with y = 1.
    standardised : callable
        Turns embeddings (m, D) into h (m, D) float64. It is called for few bags at a time, so that
        memory stays small.

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
    blocks = [*torch.split(negatives, _ROWS), *torch.split(positives, _ROWS)]
    sizes = list(map(len, blocks))
    label = torch.ones(sum(sizes), dtype=torch.float64, device=negatives.device)
    label[: len(negatives)] = -1
    counts = torch.full_like(label, len(positives))
    counts[: len(negatives)] = len(negatives)
    weights = _PENALTY * len(label) / counts  # 2 C c

    def rows(block: Tensor) -> Tensor:
        return pad(standardised(block), (0, 1), value=1.0)

    def objective(w: Tensor, margin: Tensor) -> Tensor:
        return w @ w / 2 + (weights * margin.clamp(min=0).square()).sum() / 2

    identity = torch.eye(negatives.shape[1] + 1, dtype=torch.float64, device=label.device)
    w = torch.zeros_like(identity[0])
    margin = torch.ones_like(label)  # 1 - y f(h)
    limit = None
    for _ in range(_NEWTON_STEPS):
        gradient, curvature = w.clone(), identity.clone()
        of_blocks = (torch.split(each, sizes) for each in (label, weights, margin))
        for block, y, c, m in zip(blocks, *of_blocks, strict=True):
            inside = m > 0
            h = rows(block[inside])
            scaled = c[inside, None] * h
            gradient -= scaled.T @ (y * m)[inside]
            curvature += scaled.T @ h
        length = torch.linalg.vector_norm(gradient)
        if limit is None:  # the gradient of equal bags is rounding error only
            limit = torch.maximum(_TOLERANCE * length, _ROUNDING * weights.sum())
        if length <= limit:
            break
        step = torch.linalg.solve(curvature, gradient)
        change = torch.empty_like(margin)
        for block, part in zip(blocks, torch.split(change, sizes), strict=True):
            torch.mv(rows(block), step, out=part)
        change *= label
        # Halve the step until the objective falls; needed only in the first few steps.
        before, size = objective(w, margin), 1.0
        while objective(w - size * step, margin + size * change) > before and size > 1e-10:
            size /= 2
        w, margin = w - size * step, margin + size * change
    return w[:-1], w[-1]

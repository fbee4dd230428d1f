"""Bags whose embedding is likely under a Gaussian distribution of the positive ones."""

import torch
from torch import Tensor

from weakneg.strategies.embeddings import in_blocks
from weakneg.strategies.pool import Pool, Selection, top_k

DISPLAY_NAME = "Mahalanobis"
LOOK = {"colour": "#66A61E", "marker": "d"}
RANKS = True

_ROWS = 1024  # bags at a time, so that memory stays small


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The k bags with the smallest (h - m)' S^-1 (h - m); score: minus this.

    h is the bag's embedding, m the mean embedding of the positive bags and S the covariance of the
    embeddings within the two classes, positives and pool, shrunk towards a multiple of the identity
    matrix: see `shrunk_covariance`. One positive bag is enough, since the pool shares its
    covariance.

    References
    ----------
    Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
    Adversarial Attacks" (2018, arXiv:1807.03888), equation 2. There, the smallest distance of all
    classes says how normal a sample is. The distance to the positive class alone is this
    project's reading: negatives that look like positives. So is the shrinkage, without which S
    could be singular.
    """
    mean = pool.positives.embeddings.double().mean(0)
    factor = torch.linalg.cholesky(shrunk_covariance(pool.embeddings, pool.positives.embeddings))

    def distances(bags: Tensor) -> Tensor:
        whitened: Tensor = torch.linalg.solve_triangular(factor, (bags - mean).T, upper=False)
        return whitened.square().sum(0)

    return top_k(pool, -in_blocks(pool.embeddings, distances), k)


def shrunk_covariance(*classes: Tensor) -> Tensor:
    """The covariance within classes, (1 - r) C + r tr(C) / D I with the r of OAS.

    Parameters
    ----------
    *classes : Tensor, (n, D) float
        The embeddings of each class.

    Returns
    -------
    Tensor, (D, D) float64
        The covariance matrix, which is positive definite; the identity matrix where all embeddings
        of each class are equal.

    References
    ----------
    Chen et al., "Shrinkage Algorithms for MMSE Covariance Estimation" (2010), the oracle
    approximating shrinkage estimator, in the form that scikit-learn gives it.
    """
    n, width = sum(map(len, classes)), classes[0].shape[1]
    covariance = torch.zeros(width, width, dtype=torch.float64, device=classes[0].device)
    for bags in classes:
        blocks = torch.split(bags, _ROWS)
        mean = torch.stack([block.double().sum(0) for block in blocks]).sum(0) / len(bags)
        for block in blocks:
            centred = block.double() - mean
            covariance.addmm_(centred.T, centred, alpha=1 / n)
    identity = torch.eye(width, dtype=torch.float64, device=covariance.device)
    variance = covariance.trace() / width
    if variance == 0:
        return identity
    covariance /= variance  # the squares of small embeddings would vanish
    square = covariance.square().mean()
    r = min(1.0, float((square + 1) / ((n + 1) * (square - 1 / width)).clamp(min=1e-300)))
    return variance * ((1 - r) * covariance + r * identity)

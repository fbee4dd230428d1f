"""The hardest bags outside of clusters that consist of positive bags to a large part."""

import warnings
from typing import Annotated

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn.functional import normalize

from weakneg.strategies.hardest import hardest_without
from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "Cluster-aware"
LOOK = {"colour": "#CCBB44", "marker": "p", "dashes": [6, 1.5]}

_MOST = 65_536  # bags of the pool to which centroids are fitted
_ROWS = 4096  # bags at a time, so that memory stays small


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    clusters: Annotated[int, (1, None)] = 128,
    positive_share: Annotated[float, (0, 1)] = 0.5,
) -> Selection:
    """The k bags with the highest logit outside of clusters of positives; scores of `hardest`.

    The embeddings of all bags, positive ones and the pool, are clustered by k-means after scaling
    to unit length. The bags of the pool in clusters with a large share of positive bags are likely
    to be missing labels, and are left out. Where fewer than k bags remain, those in the clusters
    with the smallest share are added. Centroids are fitted to all positives and at most 65,536 bags
    of the pool, drawn at random.

    Parameters
    ----------
    clusters : int
        Number of clusters.
    positive_share : float
        Clusters with a larger share of positive bags are left out.

    References
    ----------
    Deng et al., "Clustering-Aware Negative Sampling for Unsupervised Sentence Representation"
    (2023, arXiv:2305.09892), "ClusterNS", with its 128 clusters by cosine similarity: negatives in
    the cluster of the anchor are taken for false ones. Shares of positive bags instead of one
    anchor, and the hardest of the rest instead of the nearest centroid, are this project's reading.
    """
    bags, positives = kmeans(pool.embeddings, pool.positives.embeddings, clusters, generator)
    n_positive = positives.bincount(minlength=clusters)
    n_bags = bags.bincount(minlength=clusters)
    share = (n_positive / (n_positive + n_bags))[bags]
    return hardest_without(pool, share, int((share > positive_share).sum()), k)


def kmeans(
    bags: Tensor, positives: Tensor, n: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Cluster embeddings by k-means on batches of them, by cosine similarity.

    Parameters
    ----------
    bags : Tensor, (N, D) float
        Embeddings of the pool.
    positives : Tensor, (P, D) float
        Embeddings of the positive bags.
    n : int
        Number of clusters; there are fewer if there are fewer bags.
    generator : torch.Generator
        Source of the random numbers.

    Returns
    -------
    Tensor, (N,) int64
        Number of each bag's cluster, on the CPU.
    Tensor, (P,) int64
        The same for the positive bags.
    """
    seed = int(torch.randint(2**31, (), generator=generator))
    sample = bags
    if len(bags) > _MOST:
        drawn = torch.randperm(len(bags), generator=generator)[:_MOST]
        sample = bags[drawn.sort().values.to(bags.device)]

    def points(block: Tensor) -> np.ndarray:
        found: np.ndarray = normalize(block.double(), dim=1).cpu().numpy()
        return found

    sample = torch.cat([sample, positives])
    model = MiniBatchKMeans(min(n, len(sample)), n_init=1, random_state=seed)
    # Several threads would add up in random order; equal points leave clusters empty.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(points(sample))
        number = torch.empty(len(bags) + len(positives), dtype=torch.int64)
        parts = [*torch.split(bags, _ROWS), *torch.split(positives, _ROWS)]
        for block, here in zip(
            parts, torch.split(number, [len(part) for part in parts]), strict=True
        ):
            if len(block):
                here.copy_(torch.from_numpy(model.predict(points(block))))
    return number[: len(bags)], number[len(bags) :]

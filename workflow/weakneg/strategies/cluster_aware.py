"""The hardest bags outside of clusters that consist of positive bags to a large part."""

import warnings
from typing import Annotated

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
    with the smallest share are added.

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
    embeddings = torch.cat([pool.embeddings, pool.positives.embeddings]).double()
    cluster = kmeans(normalize(embeddings, dim=1), min(clusters, len(embeddings)), generator)
    bags, positives = cluster[: len(pool)], cluster[len(pool) :]
    n_positive = positives.bincount(minlength=clusters)
    share = (n_positive / cluster.bincount(minlength=clusters))[bags]
    return hardest_without(pool, share, int((share > positive_share).sum()), k)


def kmeans(points: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Cluster points by k-means on batches of them.

    Parameters
    ----------
    points : Tensor, (N, D) float64
        The points.
    n : int
        Number of clusters, at most N.
    generator : torch.Generator
        Source of the random numbers.

    Returns
    -------
    Tensor, (N,) int64
        Number of each point's cluster, on the CPU.
    """
    seed = int(torch.randint(2**31, (), generator=generator))
    # Several threads would add up in random order; equal points leave clusters empty.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = MiniBatchKMeans(n, n_init=1, random_state=seed).fit_predict(points.cpu().numpy())
    return torch.from_numpy(found).long()

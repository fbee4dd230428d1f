"""Poolings: from the instances of a bag to one bag logit.

Every instance i of a bag has two class scores (o_i0, o_i1) and, through them, a logit
d_i = o_i1 - o_i0 and a positive probability q_i = sigmoid(d_i). A pooling turns them into the bag's
positive probability P and logit z = log P - log(1 - P); see Shah et al. (ICASSP 2024), section
5.1.2.

======================  ===========================================  ==============================
name                    positive probability P of the bag            dz / dd_i
======================  ===========================================  ==============================
mean_softmax (default)  softmax of the mean scores                   1 / n
softmax_mean            mean of the instances' softmax               q_i (1 - q_i) / (n P (1 - P))
softmax_max             largest positive probability of an instance  1 at the largest, else 0
======================  ===========================================  ==============================

With the cross-entropy L of the bag, dL/dz = P - y, so the exact gradient with respect to the
"positive" row of the last layer is (P - y) * sum_i (dz/dd_i) h_i, and the "negative" row is its
negative. That one identity serves all poolings.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from weakneg.models.scores import BagScores, mean_weights


class Pooling(NamedTuple):
    """What a pooling defines; `d` is (B, n) instance logits, `mask` (B, n) true where one is real.

    logit:     (d, mask) -> (B,) bag logits z
    weights:   (d, mask) -> (B, n) dz/dd, 0 where there is no instance
    embedding: (d, mask) -> (B, n) weights that average instance embeddings into the bag's embedding
    """

    logit: Callable[[Tensor, Tensor], Tensor]
    weights: Callable[[Tensor, Tensor], Tensor]
    embedding: Callable[[Tensor, Tensor], Tensor]


def _mean_weights(d: Tensor, mask: Tensor) -> Tensor:
    return mean_weights(mask, d.dtype)


def _mean_softmax(d: Tensor, mask: Tensor) -> Tensor:
    return (d * _mean_weights(d, mask)).sum(1)


def _log_probabilities(d: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """log P and log(1 - P) of softmax_mean, accurate however sure the instances are."""
    log_n = mask.sum(1).to(d.dtype).log()

    def log_mean(log_q: Tensor) -> Tensor:
        return log_q.masked_fill(~mask, -math.inf).logsumexp(1) - log_n

    return log_mean(logsigmoid(d)), log_mean(logsigmoid(-d))


def _softmax_mean(d: Tensor, mask: Tensor) -> Tensor:
    log_positive, log_negative = _log_probabilities(d, mask)
    return log_positive - log_negative


def _softmax_mean_weights(d: Tensor, mask: Tensor) -> Tensor:
    log_positive, log_negative = _log_probabilities(d, mask)
    log_n = mask.sum(1).to(d.dtype).log()
    log_weights = logsigmoid(d) + logsigmoid(-d) - (log_n + log_positive + log_negative)[:, None]
    return log_weights.exp().masked_fill(~mask, 0)


def _softmax_max(d: Tensor, mask: Tensor) -> Tensor:
    return d.masked_fill(~mask, -math.inf).amax(1)


def _argmax_weights(d: Tensor, mask: Tensor) -> Tensor:
    top = d.masked_fill(~mask, -math.inf).argmax(1, keepdim=True)
    return torch.zeros_like(d).scatter_(1, top, 1.0)


POOLINGS: dict[str, Pooling] = {
    "mean_softmax": Pooling(_mean_softmax, _mean_weights, _mean_weights),
    "softmax_mean": Pooling(_softmax_mean, _softmax_mean_weights, _mean_weights),
    "softmax_max": Pooling(_softmax_max, _argmax_weights, _argmax_weights),
}


class PooledHead(nn.Linear):
    """Last layer (D -> two class scores of an instance) and pooling of a bag classifier."""

    def __init__(self, embedding_size: int, pooling: Pooling):
        super().__init__(embedding_size, 2)
        self.pooling = pooling

    def logit(self, h: Tensor, mask: Tensor) -> Tensor:
        """Bag logits (B,) of instance embeddings h (B, n, D); mask (B, n) true where one is."""
        return self.pooling.logit(self._instance_logits(h), mask)

    def score(self, h: Tensor, mask: Tensor, gradients: bool) -> BagScores:
        """As `logit`, with what the strategies see; the gradient directions are (B, D)."""
        d = self._instance_logits(h)

        def average(weights: Tensor) -> Tensor:
            return (weights.unsqueeze(-1) * h).sum(1)

        return BagScores(
            self.pooling.logit(d, mask),
            average(self.pooling.embedding(d, mask)),
            average(self.pooling.weights(d, mask)) if gradients else None,
        )

    def _instance_logits(self, h: Tensor) -> Tensor:
        scores = self(h)
        return scores[..., 1] - scores[..., 0]

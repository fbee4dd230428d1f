"""Poolings: from the instances of a bag to one bag logit.

Every instance i of a bag has two class scores (o_i0, o_i1), and from these a logit
d_i = o_i1 - o_i0 and a positive probability q_i = sigmoid(d_i). A pooling turns them into the bag's
positive probability P and logit z = log P - log(1 - P); see Shah et al. (ICASSP 2024), section
5.1.2.

======================  ===========================================  ==============================
name                    positive probability P of the bag            dz / dd_i
======================  ===========================================  ==============================
mean_softmax (default)  softmax of the mean scores                   1 / n
softmax_mean            mean of the instances' softmax               q_i (1 - q_i) / (n P (1 - P))
softmax_max             largest positive probability of an instance  1 at the largest, else 0
mean_boosted            sigmoid of the mean of max(d_i, 5 d_i)       5 / n where d_i > 0, else 1 / n
======================  ===========================================  ==============================

The last is BoostLU: what speaks for the class is scaled up, since training on missing labels makes
it too small (Kim et al., "Bridging the Gap between Model Explanations in Partially Annotated
Multi-label Classification", CVPR 2023, equation 4, with their alpha = 5).

For the cross-entropy L of the bag, dL/dz = P - y, so the exact gradient with respect to the
"positive" row of the last layer is (P - y) * sum_i (dz/dd_i) h_i, and that of the "negative" row is
its negative. This holds for every pooling.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from weakneg.models.scores import BagScores, mean_weights


class Pooling(NamedTuple):
    """What a pooling defines.

    Each function takes the instance logits d (B, n), and a mask (B, n) that is true where there is
    an instance.

    Attributes
    ----------
    logit : callable
        Bag logits z (B,).
    weights : callable
        dz/dd (B, n); 0 where there is no instance.
    embedding : callable
        Weights (B, n) that average the instance embeddings into the embedding of the bag.
    """

    logit: Callable[[Tensor, Tensor], Tensor]
    weights: Callable[[Tensor, Tensor], Tensor]
    embedding: Callable[[Tensor, Tensor], Tensor]


def _mean_weights(d: Tensor, mask: Tensor) -> Tensor:
    return mean_weights(mask, d.dtype)


def _mean_softmax(d: Tensor, mask: Tensor) -> Tensor:
    return (d * _mean_weights(d, mask)).sum(1)


def _log_probabilities(d: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Compute log P and log(1 - P) of softmax_mean, accurate even for certain instances."""
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


_BOOST = 5.0


def _mean_boosted(d: Tensor, mask: Tensor) -> Tensor:
    return (torch.maximum(d, _BOOST * d) * _mean_weights(d, mask)).sum(1)


def _boosted_weights(d: Tensor, mask: Tensor) -> Tensor:
    return torch.where(d > 0, _BOOST, 1.0) * _mean_weights(d, mask)


POOLINGS: dict[str, Pooling] = {
    "mean_softmax": Pooling(_mean_softmax, _mean_weights, _mean_weights),
    "softmax_mean": Pooling(_softmax_mean, _softmax_mean_weights, _mean_weights),
    "softmax_max": Pooling(_softmax_max, _argmax_weights, _argmax_weights),
    "mean_boosted": Pooling(_mean_boosted, _boosted_weights, _mean_weights),
}


class PooledHead(nn.Linear):
    """Last layer and pooling of a bag classifier.

    Parameters
    ----------
    embedding_size : int
        D, size of the instance embeddings. The layer turns them into two class scores.
    pooling : Pooling
        Turns the scores of the instances into a bag logit.
    """

    def __init__(self, embedding_size: int, pooling: Pooling) -> None:
        super().__init__(embedding_size, 2)
        self.pooling = pooling

    def logit(self, h: Tensor, mask: Tensor) -> Tensor:
        """Compute the logits of bags.

        Parameters
        ----------
        h : (B, n, D) float32
            Embeddings of the instances.
        mask : (B, n) bool
            True where there is an instance.

        Returns
        -------
        (B,) float32
        """
        return self.pooling.logit(_instance_logits(self(h)), mask)

    def instance_logits(self, h: Tensor) -> Tensor:
        """Compute the logits of instances, (B, n) for embeddings h (B, n, D)."""
        return _instance_logits(self(h))

    def pool(self, outputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the logits of bags from the outputs of the layer, and their derivatives.

        Parameters
        ----------
        outputs : (B, n, 2) float32
            Class scores of the instances.
        mask : (B, n) bool
            True where there is an instance.

        Returns
        -------
        (B,) float32
            Logits.
        (B, n, 2) float32
            Derivatives of the logit of a bag with respect to its outputs.
        """
        d = _instance_logits(outputs)
        weights = self.pooling.weights(d, mask)
        return self.pooling.logit(d, mask), torch.stack([-weights, weights], -1)

    def score(self, h: Tensor, mask: Tensor, gradients: bool) -> BagScores:
        """Compute the logits of bags, and what else the strategies see.

        Parameters
        ----------
        h, mask : tensors
            As in `logit`.
        gradients : bool
            Whether to compute gradient directions.

        Returns
        -------
        BagScores
            The gradient directions are those of the "positive" row, (B, D).
        """
        d = _instance_logits(self(h))

        def average(weights: Tensor) -> Tensor:
            return (weights.unsqueeze(-1) * h).sum(1)

        return BagScores(
            self.pooling.logit(d, mask),
            average(self.pooling.embedding(d, mask)),
            average(self.pooling.weights(d, mask)) if gradients else None,
        )


def _instance_logits(outputs: Tensor) -> Tensor:
    return outputs[..., 1] - outputs[..., 0]

"""Heads of a classifier with an output for each of C classes.

Each turns the embeddings of the instances of bags, h (B, n, D), into logits (B, C). Strategies see
nothing of them: they choose negatives of one class.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, logsigmoid

from weakneg.models import psla
from weakneg.models.pooling import POOLINGS, Pooling
from weakneg.models.scores import BagScores, mean_weights


class ClassesHead(nn.Module, ABC):
    """What the heads share."""

    @abstractmethod
    def logit(self, h: Tensor, mask: Tensor) -> Tensor:
        """Compute the logits of bags (B, C); parameters as in `score`."""

    @abstractmethod
    def parts(self, h: Tensor, mask: Tensor) -> Tensor:
        """Compute what each instance says of each class (B, n, C); parameters as in `score`."""

    def score(self, h: Tensor, mask: Tensor, gradients: bool) -> BagScores:
        """Compute the logits of bags, and their embeddings.

        Parameters
        ----------
        h : (B, n, D) float32
            Embeddings of the instances.
        mask : (B, n) bool
            True where there is an instance.
        gradients : bool
            False: there are no gradient directions here.

        Returns
        -------
        BagScores
            With logits (B, C). The embedding is the mean over instances.
        """
        assert not gradients
        embeddings = (mean_weights(mask, h.dtype)[:, None] @ h)[:, 0]
        return BagScores(self.logit(h, mask), embeddings, None)


class SharedAttentionHead(ClassesHead):
    """Attention of `weakneg.models.attention`, whose H heads serve all classes.

        z_c = 1/H sum_i sum_t a_it d_itc,   d_itc = v_ic h_t + b_ic

    As the logit is linear in h_t, the embeddings are averaged once for each head, and the classes
    cost little. Attention of its own for each of 527 classes would cost 15 times a training step.

    Parameters
    ----------
    embedding_size : int
        D, size of the instance embeddings.
    heads : int
        H, number of attention heads.
    n_classes : int
        C.
    """

    def __init__(self, embedding_size: int, heads: int, n_classes: int) -> None:
        super().__init__()
        self.attention = nn.Linear(embedding_size, heads)
        # Drawn as those of a head for one class are.
        limit = 1 / math.sqrt(embedding_size)
        shape = (n_classes, heads * embedding_size)
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.empty(n_classes).uniform_(-limit, limit))

    def logit(self, h: Tensor, mask: Tensor) -> Tensor:
        """Compute the logits of bags (B, C); parameters as in `score`."""
        pooled = self.weights(self.attention(h), mask).transpose(1, 2) @ h
        return linear(pooled.flatten(1), self.weight, self.bias)

    def parts(self, h: Tensor, mask: Tensor) -> Tensor:
        """Compute what each instance contributes to the logits of its bag, the sum of its parts.

        Parameters
        ----------
        h, mask : tensors
            As in `score`.

        Returns
        -------
        (B, n, C) float32
            0 where there is no instance.
        """
        weights = self.weights(self.attention(h), mask)
        pooled = (weights[..., None] * h[:, :, None]).flatten(2)
        return linear(pooled, self.weight) + weights.sum(-1, keepdim=True) * self.bias

    def weights(self, outputs: Tensor, mask: Tensor) -> Tensor:
        """Compute the weights of the instances.

        Parameters
        ----------
        outputs : (B, n, H) float32
            Those of the layer `attention`.
        mask : (B, n) bool
            True where there is an instance.

        Returns
        -------
        (B, n, H) float32
            a, divided by H; 0 where there is no instance.
        """
        log_attention = logsigmoid(outputs).masked_fill(~mask.unsqueeze(-1), -math.inf)
        return log_attention.softmax(1) / log_attention.shape[-1]


class PooledClassesHead(ClassesHead):
    """A pooling of `weakneg.models.pooling`, for each class.

    Parameters
    ----------
    embedding_size : int
        D, size of the instance embeddings.
    pooling : Pooling
        Turns the logits of the instances into that of a bag.
    n_classes : int
        C.
    """

    def __init__(self, embedding_size: int, pooling: Pooling, n_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(embedding_size, 2 * n_classes)
        self.pooling = pooling

    def logit(self, h: Tensor, mask: Tensor) -> Tensor:
        """Compute the logits of bags (B, C); parameters as in `score`."""
        d = self.parts(h, mask)
        n_classes = d.shape[2]
        logits = self.pooling.logit(
            d.transpose(1, 2).flatten(0, 1), mask.repeat_interleave(n_classes, 0)
        )
        return logits.view(-1, n_classes)

    def parts(self, h: Tensor, mask: Tensor) -> Tensor:
        """Compute the logits of the instances (B, n, C); parameters as in `score`."""
        of_class, of_rest = self.layer(h).chunk(2, -1)
        found: Tensor = of_class - of_rest
        return found


class PslaClassesHead(ClassesHead):
    """The head of `weakneg.models.psla` for many classes, as in PSLA: heads have shared weights.

    Parameters
    ----------
    embedding_size : int
        D, size of the instance embeddings.
    heads : int
        H, number of attention heads.
    n_classes : int
        C.
    """

    def __init__(self, embedding_size: int, heads: int, n_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(embedding_size, n_classes * 2 * heads)
        self.head_weight = psla.initial_weights(heads)

    def logit(self, h: Tensor, mask: Tensor) -> Tensor:
        """Compute the logits of bags (B, C); parameters as in `score`."""
        logits = psla.logits(*self._of_classes(h, mask), self.head_weight)
        return logits.view(len(h), -1)

    def parts(self, h: Tensor, mask: Tensor) -> Tensor:
        """Compute what each instance contributes to the outputs P, the sums of its parts.

        Parameters and result are as for `SharedAttentionHead.parts`.
        """
        outputs, mask_of_all = self._of_classes(h, mask)
        parts = psla.parts(outputs, mask_of_all, self.head_weight)
        return parts.unflatten(0, (len(h), -1)).transpose(1, 2)

    def _of_classes(self, h: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (B C, n, 2 H), and the mask of each."""
        outputs = self.layer(h).unflatten(2, (-1, 2 * len(self.head_weight)))
        return outputs.transpose(1, 2).flatten(0, 1), mask.repeat_interleave(outputs.shape[2], 0)


def head(embedding_size: int, pooling: str, heads: int, n_classes: int) -> ClassesHead:
    """Build the head of a pooling, as `weakneg.models.bag_classifier.BagClassifier` names it."""
    if pooling == "attention":
        return SharedAttentionHead(embedding_size, heads, n_classes)
    if pooling == "psla":
        return PslaClassesHead(embedding_size, heads, n_classes)
    return PooledClassesHead(embedding_size, POOLINGS[pooling], n_classes)

"""PSLA's attention: several heads, each a weighted mean of the probabilities of instances.

For instance t with embedding h_t, head i of H has two linear maps to one number each:

    A_it = sigmoid(u_i h_t + c_i)        how much the head attends to the instance
    s_it = sigmoid(v_i h_t + b_i)        how positive the instance is
    a_it = A_it / sum_t A_it             normalised over the bag ("class-wise normalisation")
    P    = sum_i w_i sum_t a_it s_it     output for the bag; w_i start at 1 / H

The w_i are unconstrained, so P is not a probability: it may exceed 1. A single head has no w_i to
learn, so that P is one. As in PSLA's code, A is clamped to [1e-7, 1 - 1e-7]. There, P is clamped
in the loss, too, so that it has no gradient beyond these limits, but bags are ranked by P as it is.
The same holds here: the logit z = log P - log(1 - P) is that of the clamped P, continued, without
a gradient, such that it still increases with P.

Source: Gong, Chung and Glass, "PSLA: Improving Audio Tagging With Pretraining, Sampling, Labeling,
and Aggregation" (2021), section III-F, here for a single class. Kong et al., "Weakly Labelled
AudioSet Tagging With Attention Neural Networks" (2019), use the same with one head, on VGGish
embeddings.
"""

import math

import torch
from torch import Tensor, nn

from weakneg.models.scores import BagScores, mean_weights

_LIMIT = 1e-7


class PslaHead(nn.Linear):
    """Last layer and pooling of a bag classifier, as in PSLA.

    Parameters
    ----------
    embedding_size : int
        D, size of the instance embeddings.
    heads : int
        H, number of attention heads.
    """

    def __init__(self, embedding_size: int, heads: int) -> None:
        super().__init__(embedding_size, 2 * heads)
        self.head_weight = initial_weights(heads)

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
        return logits(self(h), mask, self.head_weight)

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
            The embedding is the mean over instances. The gradient directions, (B, 2 H D), are those
            of the weights u, followed by those of v:

                dP/du_i = w_i sum_t a_it (1 - A_it) (s_it - P_i) h_t,  P_i = sum_t a_it s_it
                dP/dv_i = w_i sum_t a_it s_it (1 - s_it) h_t

            both times dz/dP = 1 / (P (1 - P)), since they are gradients of the logit z.
        """
        raw, attention, positive = _maps(self(h), mask)
        bag = (attention * positive).sum(1)
        probability = bag @ self.head_weight
        directions = None
        if gradients:
            inside = (probability > _LIMIT) & (probability < 1 - _LIMIT)
            free = (raw > _LIMIT) & (raw < 1 - _LIMIT)  # where A is not clamped
            to_attention = attention * (1 - raw) * (positive - bag[:, None]) * free
            to_positive = attention * positive * (1 - positive)
            weights = torch.stack([to_attention, to_positive], -1) * self.head_weight[:, None]
            clamped = _clamp(probability)
            scale = inside / (clamped * (1 - clamped))
            weights = weights.transpose(2, 3).flatten(2) * scale[:, None, None]
            directions = (weights.transpose(1, 2) @ h).flatten(1)
        embeddings = (mean_weights(mask, h.dtype)[:, None] @ h)[:, 0]
        return BagScores(_logit(probability), embeddings, directions)

    def parts(self, h: Tensor, mask: Tensor) -> Tensor:
        """Compute what each instance contributes to the output P for its bag, the sum of its parts.

        Parameters
        ----------
        h, mask : tensors
            As in `logit`.

        Returns
        -------
        (B, n) float32
            0 where there is no instance.
        """
        return parts(self(h), mask, self.head_weight)


def initial_weights(heads: int) -> nn.Parameter | nn.Buffer:
    """Return the weights w of the heads (H,), learnt, as in PSLA's code, if there are several."""
    weights = torch.full((heads,), 1 / heads)
    return nn.Parameter(weights) if heads > 1 else nn.Buffer(weights)


def logits(outputs: Tensor, mask: Tensor, head_weight: Tensor) -> Tensor:
    """Compute the logits of bags from the outputs of the layer.

    Parameters
    ----------
    outputs : (B, n, 2 H) float32
        Outputs for the instances: the logits of A, followed by those of s.
    mask : (B, n) bool
        True where there is an instance.
    head_weight : (H,) float32
        The weights w of the heads.

    Returns
    -------
    (B,) float32
    """
    _, attention, positive = _maps(outputs, mask)
    return _logit((attention * positive).sum(1) @ head_weight)


def parts(outputs: Tensor, mask: Tensor, head_weight: Tensor) -> Tensor:
    """Compute what each instance contributes to P (B, n); parameters as for `logits`."""
    _, attention, positive = _maps(outputs, mask)
    return (attention * positive) @ head_weight


def _maps(outputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A, not yet clamped, a, which is 0 where there is no instance, and s; each (B, n, H)."""
    raw, positive = outputs.sigmoid().chunk(2, -1)
    attention = _clamp(raw) * mask.unsqueeze(-1)
    return raw, attention / attention.sum(1, keepdim=True), positive


def _logit(output: Tensor) -> Tensor:
    probability = _clamp(output)
    smallest = torch.finfo(output.dtype).tiny
    below = (output.clamp(min=smallest).log() - math.log(_LIMIT)).clamp(max=0)
    below = below + output.clamp(max=0)  # a head's weight may be negative
    above = 16 * (output - (1 - _LIMIT)).clamp(min=0)  # near 16, float32 has steps of 1e-6
    return probability.log() - torch.log1p(-probability) + (below + above).detach()


def _clamp(probability: Tensor) -> Tensor:
    return probability.clamp(_LIMIT, 1 - _LIMIT)

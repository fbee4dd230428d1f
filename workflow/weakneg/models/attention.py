"""Attention over the instances of a bag: several heads, each a weighted mean of instance logits.

For instance t with embedding h_t, head i of H has two linear maps to one number each:

    A_it = sigmoid(u_i h_t + c_i)        how much the head attends to the instance
    d_it = v_i h_t + b_i                 logit of the instance
    a_it = A_it / sum_t A_it             normalised over the bag
    z    = 1/H sum_i sum_t a_it d_it     logit of the bag

The maps are those of PSLA (`weakneg.models.psla`), but logits are averaged instead of
probabilities, and heads have equal weights. So no probability leaves (0, 1), nothing is clamped,
and the logit keeps its gradient and its rank however certain the model is. It relates to PSLA's
head as `mean_softmax` relates to `softmax_mean`.

Source: Ilse, Tomczak and Welling, "Attention-based Deep Multiple Instance Learning" (2018), section
2.4, here with instance logits as the values, with several heads, and with PSLA's normalised
sigmoid as the weights. docs/psla.md compares the two heads.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from weakneg.models.scores import BagScores, mean_weights


class AttentionHead(nn.Linear):
    """Last layer and pooling of a bag classifier.

    Parameters
    ----------
    embedding_size : int
        D, size of the instance embeddings.
    heads : int
        H, number of attention heads.
    """

    def __init__(self, embedding_size: int, heads: int) -> None:
        super().__init__(embedding_size, 2 * heads)

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
        _, weights, logits = self._maps(self(h), mask)
        return (weights * logits).sum(1).mean(-1)

    def pool(self, outputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the logits of bags from the outputs of the layer, and their derivatives.

        Parameters
        ----------
        outputs : (B, n, 2 H) float32
            Outputs for the instances: the logits of A, followed by d.
        mask : (B, n) bool
            True where there is an instance.

        Returns
        -------
        (B,) float32
            Logits.
        (B, n, 2 H) float32
            Derivatives of the logit of a bag with respect to its outputs:

                dz/d(logit of A_it) = 1/H a_it (1 - A_it) (d_it - z_i),   z_i = sum_t a_it d_it
                dz/dd_it = 1/H a_it
        """
        attention, weights, logits = self._maps(outputs, mask)
        of_heads = (weights * logits).sum(1)
        to_attention = weights * torch.sigmoid(-attention) * (logits - of_heads[:, None])
        slopes = torch.cat([to_attention, weights], -1) / of_heads.shape[1]
        return of_heads.mean(-1), slopes

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
            of the weights u, followed by those of v: the derivatives of `pool` times h_t, summed
            over t.
        """
        embeddings = (mean_weights(mask, h.dtype)[:, None] @ h)[:, 0]
        if not gradients:
            return BagScores(self.logit(h, mask), embeddings, None)
        logits, slopes = self.pool(self(h), mask)
        return BagScores(logits, embeddings, (slopes.transpose(1, 2) @ h).flatten(1))

    def parts(self, h: Tensor, mask: Tensor) -> Tensor:
        """Compute what each instance contributes to the logit of its bag, the sum of its parts.

        Parameters
        ----------
        h, mask : tensors
            As in `logit`.

        Returns
        -------
        (B, n) float32
            0 where there is no instance.
        """
        _, weights, logits = self._maps(self(h), mask)
        return (weights * logits).mean(-1)

    def _maps(self, outputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of A, a, which is 0 where there is no instance, and d; each (B, n, H)."""
        attention, logits = outputs.chunk(2, -1)
        log_attention = logsigmoid(attention).masked_fill(~mask.unsqueeze(-1), -math.inf)
        return attention, log_attention.softmax(1), logits

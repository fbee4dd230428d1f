"""What a model says about bags."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BagScores:
    """What a strategy may know of B bags: numbers, never data.

    logits: (B,) bag logits, float32
    embeddings: (B, D) bag embeddings, the pooled inputs of the last layer
    gradient_directions: (B, G) gradient of the logit with respect to the G weights of the last
        layer, so that the gradient of the cross-entropy is (P - y) times it; None where it was not
        asked for
    """

    logits: Tensor
    embeddings: Tensor
    gradient_directions: Tensor | None

    def gradients(self, loss_label: str) -> Tensor:
        """Exact gradient of the bag's cross-entropy with respect to the last layer's weights.

        Shah et al., eq. 4. Returns (B, G). Where the last layer has a row for each of the two
        classes this is the row of class "positive"; the other is its negative, so that the norm of
        the whole is sqrt(2) times the norm of this row.

        loss_label: "known", the bag is negative (y = 0); "hypothesised", y is the model's own
            prediction as in BADGE (Ash et al., 2019).
        """
        residual = torch.sigmoid(self.logits)
        if loss_label == "hypothesised":
            # P - 1 by its smaller tail: it would round to 0 for a sure bag.
            residual = torch.where(self.logits > 0, -torch.sigmoid(-self.logits), residual)
        elif loss_label != "known":
            raise ValueError(f"loss_label is 'known' or 'hypothesised', not {loss_label!r}")
        return residual[:, None] * self.gradient_directions


def mean_weights(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, n) weights that average the instances where `mask` (B, n) is true."""
    mask = mask.to(dtype)
    return mask / mask.sum(1, keepdim=True)

"""Scores of bags."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class BagScores:
    """What strategies see of B bags: numbers, never data.

    Attributes
    ----------
    logits : (B,) float32
        Bag logits.
    embeddings : (B, D) float32
        Bag embeddings: the inputs of the last layer, pooled over the bag.
    gradient_directions : (B, G) float32 or None
        Gradient of the logit with respect to the G weights of the last layer; (P - y) times it is
        the gradient of the cross-entropy. None if it was not asked for.
    """

    logits: Tensor
    embeddings: Tensor
    gradient_directions: Tensor | None

    def gradients(self, loss_label: str, rows: Tensor | slice = slice(None)) -> Tensor:
        """Compute the exact gradient of the bags' cross-entropy.

        Parameters
        ----------
        loss_label : {"known", "hypothesised"}
            The label y of the loss. "known": bags are negative, y = 0. "hypothesised": y is the
            model's own prediction, as in BADGE (Ash et al., 2019).
        rows : (b,) int64 or slice
            Which bags; by default all.

        Returns
        -------
        (b, G) float32
            Gradient with respect to the weights of the last layer. If that has a row for each of
            the two classes, this is the row of class "positive". The other is its negative, so the
            norm of the full gradient is sqrt(2) times that of this row.

        References
        ----------
        Shah et al. (ICASSP 2024), equation 4.
        """
        if loss_label not in self._residuals:
            raise ValueError(f"loss_label is 'known' or 'hypothesised', not {loss_label!r}")
        assert self.gradient_directions is not None
        return self._residuals[loss_label][rows, None] * self.gradient_directions[rows]

    @cached_property
    def _residuals(self) -> dict[str, Tensor]:
        """P - y (B,) by the label of the loss.

        Of all bags at once: the last digit of a sigmoid depends on its place among the others.
        """
        known = torch.sigmoid(self.logits)
        # P - 1, computed from the tail: for a bag that is surely positive it would round to 0.
        hypothesised = torch.where(self.logits > 0, -torch.sigmoid(-self.logits), known)
        return {"known": known, "hypothesised": hypothesised}


def mean_weights(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return weights (B, n) that average the instances where `mask` (B, n) is true."""
    mask = mask.to(dtype)
    return mask / mask.sum(1, keepdim=True)

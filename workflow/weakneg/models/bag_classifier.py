"""The classifier of bags: encoder of instances, linear head with two classes, pooling."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from weakneg.models.pooling import POOLINGS

if TYPE_CHECKING:
    from weakneg.config import ModelSettings


@dataclass(frozen=True)
class BagScores:
    """What a strategy may know of B bags: numbers, never data.

    logits: (B,) bag logits, float32
    embeddings: (B, D) bag embeddings, the pooled inputs of the last layer
    gradient_directions: (B, D) sum_i dz/dd_i h_i, so that the gradient is (P - y) times it
    """

    logits: Tensor
    embeddings: Tensor
    gradient_directions: Tensor

    def gradients(self, label: str) -> Tensor:
        """Exact gradient of the bag's cross-entropy with respect to the last layer's weights.

        Shah et al., eq. 4. Returns (B, D), the row of class "positive"; the row of class
        "negative" is its negative, so that the norm of the whole is sqrt(2) times the norm of this
        row.

        label: "known", the bag is negative (y = 0); "hypothesised", y is the model's own prediction
            as in BADGE (Ash et al., 2019).
        """
        # P - y by its smaller tail: 1 - P would round to 0 for a sure bag.
        residual = torch.sigmoid(self.logits)
        if label == "hypothesised":
            residual = torch.where(
                self.logits > 0, -torch.sigmoid(-self.logits), torch.sigmoid(self.logits)
            )
        elif label != "known":
            raise ValueError(f"label is 'known' or 'hypothesised', not {label!r}")
        return residual[:, None] * self.gradient_directions


class BagClassifier(nn.Module):
    """Scores bags of instances.

    encoder: module (N, *instance shape) -> (N, D), with an attribute `embedding_size` D
    pooling: a name in POOLINGS
    """

    def __init__(self, encoder: nn.Module, pooling: str):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.embedding_size, 2)
        self.pooling = POOLINGS[pooling]

    def instances(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings (B, n, D), logits (B, n) and mask (B, n) of the instances of bags x."""
        if mask is None:
            h = self.encoder(x.flatten(0, 1))
            mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        else:
            # Padding must not reach the statistics of a batch normalisation.
            real = mask.flatten()
            encoded = self.encoder(x.flatten(0, 1)[real])
            h = encoded.new_zeros(len(real), self.encoder.embedding_size)
            h[real] = encoded
        h = h.unflatten(0, x.shape[:2])
        scores = self.head(h)
        return h, scores[..., 1] - scores[..., 0], mask

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Bag logits (B,) of bags x (B, n, *shape).

        mask: (B, n) true where an instance is real; None where all are, which saves a GPU from
            waiting for the answer
        """
        _, d, mask = self.instances(x, mask)
        return self.pooling.logit(d, mask)

    def score(self, x: Tensor, mask: Tensor | None = None) -> BagScores:
        """Logits, embeddings and gradient directions of bags, as `forward`, for the strategies."""
        h, d, mask = self.instances(x, mask)

        def average(weights: Tensor) -> Tensor:
            return (weights.unsqueeze(-1) * h).sum(1)

        return BagScores(
            self.pooling.logit(d, mask),
            average(self.pooling.embedding(d, mask)),
            average(self.pooling.weights(d, mask)),
        )


def load(settings: "ModelSettings", shape: tuple[int, ...]) -> BagClassifier:
    """A classifier with random weights: the encoder file `settings.name`, instances of `shape`."""
    encoder = import_module(f"weakneg.models.{settings.name}").build(shape)
    return BagClassifier(encoder, settings.pooling)

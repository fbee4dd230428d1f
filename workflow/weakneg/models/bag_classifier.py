"""The classifier of bags: an encoder of instances, and a head that makes them one bag logit."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from weakneg import models
from weakneg.models.attention import AttentionHead
from weakneg.models.pooling import POOLINGS, PooledHead
from weakneg.models.scores import BagScores

if TYPE_CHECKING:
    from weakneg.config.sections import ModelSettings


class BagClassifier(nn.Module):
    """Scores bags of instances.

    encoder: module (N, *instance shape) -> (N, D), with an attribute `embedding_size` D; or, of
        spectrograms, (N, T, F) -> (N, n, D): the encoder makes the instances
    pooling: "attention", or a name in POOLINGS
    attention_heads: of the pooling "attention"
    precision: "float32" or "bfloat16", of the encoder; all behind it is float32
    """

    def __init__(
        self,
        encoder: nn.Module,
        pooling: str,
        attention_heads: int = 4,
        precision: str = "float32",
    ):
        super().__init__()
        self.encoder = encoder
        self.precision = precision
        if pooling == "attention":
            self.head = AttentionHead(encoder.embedding_size, attention_heads)
        else:
            self.head = PooledHead(encoder.embedding_size, POOLINGS[pooling])
        self.mixes_instances = any(
            isinstance(module, nn.modules.batchnorm._BatchNorm) for module in encoder.modules()
        )

    def encode(self, x: Tensor) -> Tensor:
        """What the encoder makes of x (N, *shape), float32."""
        if self.precision == "float32":
            return self.encoder(x)
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.encoder(x).float()

    def instances(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Embeddings (B, n, D) and mask (B, n) of the instances of bags x."""
        if mask is None:
            h = self.encode(x.flatten(0, 1)).reshape(len(x), -1, self.encoder.embedding_size)
            return h, torch.ones(h.shape[:2], dtype=torch.bool, device=x.device)
        if not self.mixes_instances:
            h = self.encode(x.flatten(0, 1))
        else:
            # Padding must not reach the statistics of a batch normalisation.
            real = mask.flatten()
            encoded = self.encode(x.flatten(0, 1)[real])
            h = encoded.new_zeros(len(real), self.encoder.embedding_size)
            h[real] = encoded
        return h.unflatten(0, x.shape[:2]), mask

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Bag logits (B,) of bags x (B, n, *shape).

        mask: (B, n) true where an instance is real; None where all are, which saves a GPU from
            waiting for the answer
        """
        return self.head.logit(*self.instances(x, mask))

    def score(self, x: Tensor, mask: Tensor | None = None, gradients: bool = True) -> BagScores:
        """Logits and embeddings of bags, as `forward`, for the strategies; gradients if asked."""
        return self.head.score(*self.instances(x, mask), gradients)


def load(settings: "ModelSettings", shape: tuple[int, ...]) -> BagClassifier:
    """A classifier with random weights: the encoder file `settings.name`, instances of `shape`."""
    encoder = models.module(settings.name).build(shape)
    return BagClassifier(encoder, settings.pooling, settings.attention_heads, settings.precision)

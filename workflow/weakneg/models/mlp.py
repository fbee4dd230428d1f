"""Multilayer perceptron: the encoder of instances that are feature vectors, frame by frame."""

from torch import nn

UNIT = "clip"

HIDDEN = 128
DROPOUT = 0.3


class MLP(nn.Sequential):
    """Encoder of feature vectors (N, F) -> (N, 128): two layers with ReLU and dropout."""

    embedding_size = HIDDEN

    def __init__(self, features: int):
        layers: list[nn.Module] = []
        for size in (features, HIDDEN):
            layers += [nn.Linear(size, HIDDEN), nn.ReLU(inplace=True), nn.Dropout(DROPOUT)]
        super().__init__(*layers)


def build(shape: tuple[int]) -> nn.Module:
    """The encoder for instances of `shape` (F,)."""
    return MLP(*shape)

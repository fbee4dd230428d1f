"""Multilayer perceptron: the encoder of instances that are feature vectors, frame by frame.

The width, and that there is no dropout, were chosen once, on validation clips of the study
audioset_vggish, for the strategies `random` and `full` alone: results/published/audioset_vggish
says what was tried.
"""

from torch import nn

KIND = "clips"


class MLP(nn.Sequential):
    """Encoder of feature vectors (N, F) -> (N, 128): two layers with ReLU."""

    embedding_size = 128

    def __init__(self, features: int):
        super().__init__(
            nn.Linear(features, self.embedding_size),
            nn.ReLU(inplace=True),
            nn.Linear(self.embedding_size, self.embedding_size),
            nn.ReLU(inplace=True),
        )


def build(shape: tuple[int]) -> MLP:
    """The encoder for instances of `shape` (F,)."""
    return MLP(*shape)

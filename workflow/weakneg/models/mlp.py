"""Multilayer perceptron for instances that are feature vectors, such as frames.

The width, and to use no dropout, were chosen once, on validation clips of the study
audioset_vggish with the strategies `random` and `full` only; results/published/audioset_vggish
lists what was tried.
"""

from torch import nn

KIND = "clips"
DENSE = True  # linear layers, each followed by a ReLU: seeds train together


class MLP(nn.Sequential):
    """Encoder of feature vectors (N, F) -> (N, 128): two layers with ReLU."""

    embedding_size = 128

    def __init__(self, features: int) -> None:
        super().__init__(
            nn.Linear(features, self.embedding_size),
            nn.ReLU(inplace=True),
            nn.Linear(self.embedding_size, self.embedding_size),
            nn.ReLU(inplace=True),
        )


def build(shape: tuple[int]) -> MLP:
    """Build the encoder for instances of `shape` (F,)."""
    return MLP(*shape)

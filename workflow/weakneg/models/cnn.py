"""Small CNN for spectrograms: four convolutions with batch normalisation, averaged over frequency.

Similar to the CNNs of Kong et al., "PANNs: Large-Scale Pretrained Audio Neural Networks for Audio
Pattern Recognition" (2020), but with strides instead of pooling and few channels, so that it can be
trained many times on a CPU.
"""

import torch
from torch import Tensor, nn

KIND = "spectrograms"

_CHANNELS = (8, 16, 32, 64)
_STRIDES = ((2, 2), (2, 2), (2, 2), (1, 2))  # in time, in frequency


class CNN(nn.Module):
    """Encoder of spectrograms (N, T, F) -> instances (N, ceil(T / 8), 64).

    Instance i is centred on frame 8 i.
    """

    embedding_size = _CHANNELS[-1]
    frame_step = 8

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, out, stride in zip((1, *_CHANNELS), _CHANNELS, _STRIDES, strict=False):
            layers += [
                nn.Conv2d(width, out, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers)
        # PyTorch's type hints lack memory_format.
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """Encode spectrograms x (N, T, F) as instances (N, ceil(T / 8), 64)."""
        x = self.layers(x.unsqueeze(1).contiguous(memory_format=torch.channels_last))
        return x.mean(3).transpose(1, 2)


def build(shape: tuple[int, int]) -> CNN:
    """Build the encoder; its weights do not depend on the `shape` (T, F) of the spectrograms."""
    return CNN()

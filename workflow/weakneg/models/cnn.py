"""Small CNN of spectrograms: four convolutions with batch normalisation, frequency averaged out.

In the manner of the CNNs of Kong et al., "PANNs: Large-Scale Pretrained Audio Neural Networks for
Audio Pattern Recognition" (2020), but with strides in place of pooling and few channels: it is made
to be trained many times on a CPU.
"""

import torch
from torch import Tensor, nn

KIND = "spectrograms"

_CHANNELS = (8, 16, 32, 64)
_STRIDES = ((2, 2), (2, 2), (2, 2), (1, 2))  # in time, in frequency


class CNN(nn.Module):
    """Encoder of spectrograms (N, T, F) -> instances (N, ceil(T / 8), 64).

    Instance i looks at the frames around 8 i.
    """

    embedding_size = _CHANNELS[-1]

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = []
        for width, out, stride in zip((1, *_CHANNELS), _CHANNELS, _STRIDES, strict=False):
            layers += [
                nn.Conv2d(width, out, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(x.unsqueeze(1).contiguous(memory_format=torch.channels_last))
        return x.mean(3).transpose(1, 2)


def build(shape: tuple[int, int]) -> CNN:
    """The encoder for spectrograms of `shape` (T, F), any: what is learnt depends on neither."""
    return CNN()

"""Simple CNN: two convolutions and three fully connected layers (Shah et al., section 5.1.2).

The paper gives no sizes. These are those of LeNet-5 (LeCun et al., 1998), for colour images: 6 and
16 channels, 5x5 kernels, 120 and 84 units. The third fully connected layer is the head of the bag
classifier, so the embedding has 84 dimensions.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, pad

KIND = "images"

# Two different activations differ by more than this, unless both are nearly zero.
_NOTHING = torch.finfo(torch.float32).tiny


class _LargestOfFour(torch.autograd.Function):
    """Elementwise maximum of four parts of a tensor, for CPUs.

    The parts are the positions in the windows of a 2x2 max-pooling: blocks of channels
    (`by_channel`), or every second row and column. It does what `max_pool2d` does, and like it
    passes the gradient to the first of the largest parts. But it consists of elementwise kernels,
    which are vectorised. PyTorch's pooling of a few channels is not and takes several times as
    long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, by_channel: bool) -> Tensor:
        a, b, c, d = _parts(x, by_channel)
        y = torch.maximum(a, b)
        torch.maximum(y, c, out=y)
        torch.maximum(y, d, out=y)
        ctx.by_channel = by_channel
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, y = ctx.saved_tensors
        # Pooling leaves out the last row or column of an odd size.
        odd = not ctx.by_channel and (x.shape[2] % 2 or x.shape[3] % 2)
        result = torch.zeros_like(x) if odd else torch.empty_like(x)
        *parts, (_, last) = zip(
            _parts(x, ctx.by_channel), _parts(result, ctx.by_channel), strict=True
        )
        left, below = grad.clone(), torch.empty_like(y)
        for part, part_grad in parts:
            torch.sub(part, y, out=below)  # 0 where the part is the largest, negative elsewhere
            # The gradient of a ReLU: `left` where `below` is above the threshold.
            torch.ops.aten.threshold_backward.grad_input(
                left, below, -_NOTHING, grad_input=part_grad
            )
            left -= part_grad
        last.copy_(left)
        return result, None


def _parts(x: Tensor, by_channel: bool) -> tuple[Tensor, ...]:
    if by_channel:
        return x.chunk(4, dim=1)
    x = x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]
    return x[:, :, ::2, ::2], x[:, :, ::2, 1::2], x[:, :, 1::2, ::2], x[:, :, 1::2, 1::2]


def _conv_pool(x: Tensor, conv: nn.Conv2d, strided: bool) -> Tensor:
    """Compute max_pool2d(conv(x), 2) on a CPU.

    Parameters
    ----------
    x : (N, C, H, W) float32
        Images.
    conv : Conv2d
        The convolution.
    strided : bool
        Whether to use a single convolution of stride 2, in which each of the four positions of a
        pooling window has its own copy of the kernel, shifted by zeros, so that the maximum is
        taken over channels. It is faster for few channels, which leave the vector registers half
        empty: in the first layer.
    """
    if strided:
        shifts = [(j, 1 - j, i, 1 - i) for i in (0, 1) for j in (0, 1)]
        weight = torch.cat([pad(conv.weight, shift) for shift in shifts])
        y = conv2d(x, weight, stride=2, padding=conv.padding)
    else:
        y = conv2d(x, conv.weight, padding=conv.padding)
    # The bias shifts all four equally: adding it after the maximum is a quarter of the work.
    assert conv.bias is not None
    largest: Tensor = _LargestOfFour.apply(y, strided)
    return largest + conv.bias[:, None, None]


class SimpleCNN(nn.Module):
    """Encoder of images (N, C, H, W) -> (N, 84).

    Parameters
    ----------
    shape : (C, H, W)
        Shape of an image. If a side has fewer than 16 pixels, kernels are 3x3 with padding, since
        two 5x5 kernels would leave nothing.
    """

    embedding_size = 84

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        kernel, padding = (5, 0) if min(height, width) >= 16 else (3, 1)

        def after(size: int) -> int:
            return (size + 2 * padding - kernel + 1) // 2

        self.conv1 = nn.Conv2d(channels, 6, kernel, padding=padding)
        self.conv2 = nn.Conv2d(6, 16, kernel, padding=padding)
        self.fc1 = nn.Linear(16 * after(after(height)) * after(after(width)), 120)
        self.fc2 = nn.Linear(120, self.embedding_size)

    def forward(self, x: Tensor) -> Tensor:
        """Encode images x (N, C, H, W) as embeddings (N, 84)."""
        if x.is_cuda:
            x = max_pool2d(self.conv1(x), 2).relu()
            x = max_pool2d(self.conv2(x), 2).relu()
        else:
            x = _conv_pool(x, self.conv1, strided=True).relu_()
            x = _conv_pool(x, self.conv2, strided=False).relu_()
        hidden: Tensor = self.fc1(x.flatten(1)).relu()
        embedding: Tensor = self.fc2(hidden).relu()
        return embedding


def build(shape: tuple[int, int, int]) -> SimpleCNN:
    """Build the encoder for images of `shape` (C, H, W)."""
    return SimpleCNN(shape)

"""Simple CNN: two convolutions and three fully connected layers (Shah et al., section 5.1.2).

The paper gives no sizes; these are the classical ones of LeNet-5 (LeCun et al., 1998) for colour
images: 6 and 16 channels, kernels of 5, 120 and 84 units. The third fully connected layer is the
head of the bag classifier, so the embedding has 84 dimensions.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, pad

# Above it, a difference of float32 numbers that are not equal cannot lie below zero.
_LARGEST_NEGATIVE = -torch.finfo(torch.float32).tiny


class _LargestOfFour(torch.autograd.Function):
    """Elementwise maximum of four tensors; the first that holds it takes the gradient.

    It does what `max_pool2d` does, made of elementwise kernels that are vectorised on every CPU:
    PyTorch's own pooling is several times slower for a few channels.
    """

    @staticmethod
    def forward(ctx, *phases: Tensor) -> Tensor:
        a, b, c, d = phases
        y = torch.maximum(torch.maximum(a, b), torch.maximum(c, d))
        ctx.save_for_backward(y, a, b, c)
        return y

    @staticmethod
    def backward(ctx, left: Tensor) -> tuple[Tensor, ...]:
        y, *phases = ctx.saved_tensors
        grads = []
        for phase in phases:
            # The backward of ReLU: the gradient passes where phase - y is 0, and not where it is
            # less.
            grads.append(torch.ops.aten.threshold_backward(left, phase - y, _LARGEST_NEGATIVE))
            left = left - grads[-1]
        return *grads, left


def conv_max_pool(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """max_pool2d(conv(x), 2) by one convolution of stride 2, for a CPU.

    Each of the four positions in a pooling window has its own copy of the kernel, shifted by zeros,
    so that the maximum is taken over channels. A few channels become four times as many, which
    fills the vector registers and outweighs the zeros.
    """
    shifts = [(j, 1 - j, i, 1 - i) for i in (0, 1) for j in (0, 1)]
    weight = torch.cat([pad(conv.weight, shift) for shift in shifts])
    y = conv2d(x, weight, conv.bias.repeat(4), stride=2, padding=conv.padding)
    return _LargestOfFour.apply(*y.chunk(4, dim=1))


def fast_max_pool(x: Tensor) -> Tensor:
    """max_pool2d(x, 2) for a CPU."""
    x = x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]
    return _LargestOfFour.apply(*(x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)))


class SimpleCNN(nn.Module):
    """Encoder of images (N, C, H, W) -> (N, 84).

    Images of fewer than 16 pixels a side get kernels of 3 with padding, since two kernels of 5
    leave nothing of them.
    """

    embedding_size = 84

    def __init__(self, shape: tuple[int, int, int]):
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
        # Pooling before the ReLU gives the same values with a quarter of the comparisons.
        if x.is_cuda:
            x = max_pool2d(self.conv1(x), 2).relu()
            x = max_pool2d(self.conv2(x), 2).relu()
        else:
            x = conv_max_pool(x, self.conv1).relu()
            x = fast_max_pool(self.conv2(x)).relu()
        return self.fc2(self.fc1(x.flatten(1)).relu()).relu()


def build(shape: tuple[int, int, int]) -> SimpleCNN:
    """The encoder for images of `shape` (C, H, W)."""
    return SimpleCNN(shape)

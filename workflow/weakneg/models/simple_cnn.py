"""Simple CNN: two convolutions and three fully connected layers (Shah et al., section 5.1.2).

The paper gives no sizes; these are the classical ones of LeNet-5 (LeCun et al., 1998) for colour
images: 6 and 16 channels, kernels of 5, 120 and 84 units. The third fully connected layer is the
head of the bag classifier, so the embedding has 84 dimensions.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, pad

KIND = "images"

# Two different activations are further apart than this, unless they are next to nothing.
_NOTHING = torch.finfo(torch.float32).tiny


class _LargestOfFour(torch.autograd.Function):
    """Elementwise maximum of four parts of a tensor, for a CPU.

    The parts are the positions in the windows of a 2x2 max-pooling: blocks of channels
    (`by_channel`), or else every second row and column. It does what `max_pool2d` does, and like it
    gives the gradient to the first largest part; but it is made of elementwise kernels, which are
    vectorised, while PyTorch's pooling of a few channels is not and takes several times as long.
    """

    @staticmethod
    def forward(ctx, x: Tensor, by_channel: bool) -> Tensor:
        a, b, c, d = _parts(x, by_channel)
        y = torch.maximum(a, b)
        torch.maximum(y, c, out=y)
        torch.maximum(y, d, out=y)
        ctx.by_channel = by_channel
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        x, y = ctx.saved_tensors
        # Pooling leaves the last row and column of an odd size out.
        odd = not ctx.by_channel and (x.shape[2] % 2 or x.shape[3] % 2)
        result = torch.zeros_like(x) if odd else torch.empty_like(x)
        *parts, (_, last) = zip(
            _parts(x, ctx.by_channel), _parts(result, ctx.by_channel), strict=True
        )
        left, below = grad.clone(), torch.empty_like(y)
        for part, part_grad in parts:
            torch.sub(part, y, out=below)  # 0 where the part is the largest, else less
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
    """max_pool2d(conv(x), 2) for a CPU.

    strided: by one convolution of stride 2. Each of the four positions in a pooling window has its
        own copy of the kernel, shifted by zeros, so that the maximum is taken over channels. It
        pays where few channels leave the vector registers half empty: in the first layer.
    """
    if strided:
        shifts = [(j, 1 - j, i, 1 - i) for i in (0, 1) for j in (0, 1)]
        weight = torch.cat([pad(conv.weight, shift) for shift in shifts])
        y = conv2d(x, weight, stride=2, padding=conv.padding)
    else:
        y = conv2d(x, conv.weight, padding=conv.padding)
    # The bias moves all four alike: added behind the maximum it is a quarter of the work.
    return _LargestOfFour.apply(y, strided) + conv.bias[:, None, None]


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
        if x.is_cuda:
            x = max_pool2d(self.conv1(x), 2).relu()
            x = max_pool2d(self.conv2(x), 2).relu()
        else:
            x = _conv_pool(x, self.conv1, strided=True).relu_()
            x = _conv_pool(x, self.conv2, strided=False).relu_()
        return self.fc2(self.fc1(x.flatten(1)).relu()).relu()


def build(shape: tuple[int, int, int]) -> SimpleCNN:
    """The encoder for images of `shape` (C, H, W)."""
    return SimpleCNN(shape)

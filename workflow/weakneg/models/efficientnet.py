"""EfficientNet as PSLA uses it on spectrograms: one input channel, averaged over frequency.

Sources: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks"
(2019); Gong, Chung and Glass, "PSLA: Improving Audio Tagging With Pretraining, Sampling, Labeling,
and Aggregation" (2021), section III-A. The network is torchvision's. It pads both sides equally,
where PSLA's library pads one more at the end; sizes and numbers of weights are the same.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class EfficientNet(nn.Module):
    """Encoder of spectrograms (N, T, F) -> instances (N, ceil(T / 32), D).

    Instance i is centred on frame 32 i. The image that is convolved has frequency as its height and
    time as its width; (1056, 128) becomes 4 rows, which are averaged, of 33 columns.

    Parameters
    ----------
    network : callable
        torchvision's constructor. Its stem gets one input channel; its classifier, and the dropout
        before it, are left out.
    """

    frame_step = 32

    def __init__(self, network: Callable[..., Any]) -> None:
        super().__init__()
        whole = network(weights=None)
        self.embedding_size: int = whole.classifier[-1].in_features
        self.features: nn.Sequential = whole.features
        block = self.features[0]
        assert isinstance(block, nn.Sequential)
        assert isinstance(block[0], nn.Conv2d)
        stem = nn.Conv2d(1, block[0].out_channels, 3, stride=2, padding=1, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out")
        block[0] = stem
        # PyTorch's type hints lack memory_format.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """Encode spectrograms x (N, T, F) as instances (N, ceil(T / 32), D)."""
        image = x.transpose(1, 2).unsqueeze(1)
        encoded: Tensor = self.features(image)
        return encoded.mean(2).transpose(1, 2)

    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Start from torchvision's ImageNet weights, as published.

        Parameters
        ----------
        state : dict of str to Tensor
            torchvision's state dict. The stem's weights are summed over the three colours. (PSLA's
            library leaves the stem random.)
        """
        weights = {
            name.removeprefix("features."): value
            for name, value in state.items()
            if name.startswith("features.")
        }
        weights["0.0.weight"] = weights["0.0.weight"].sum(1, keepdim=True)
        self.features.load_state_dict(weights)

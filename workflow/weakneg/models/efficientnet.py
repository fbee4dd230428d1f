"""EfficientNet as PSLA uses it on spectrograms: one input channel, frequency averaged out.

Sources: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks"
(2019); Gong, Chung and Glass, "PSLA: Improving Audio Tagging With Pretraining, Sampling, Labeling,
and Aggregation" (2021), section III-A. The network is torchvision's, which pads evenly on both
sides where PSLA's library pads one more behind; sizes and numbers of weights are the same.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class EfficientNet(nn.Module):
    """Encoder of spectrograms (N, T, F) -> instances (N, ceil(T / 32), D).

    Instance i looks at the frames around 32 i. The image that is convolved has frequency as its
    height and time as its width; (1056, 128) becomes 4 rows, which are averaged, of 33 columns.

    network: torchvision's, with random weights; its stem gets one input channel, its classifier,
        with the dropout in front of it, is left out
    """

    def __init__(self, network: Callable[..., nn.Module]):
        super().__init__()
        whole = network(weights=None)
        self.embedding_size = whole.classifier[-1].in_features
        self.features = whole.features
        stem = self.features[0][0]
        self.features[0][0] = nn.Conv2d(
            *(1, stem.out_channels, stem.kernel_size, stem.stride, stem.padding), bias=False
        )
        nn.init.kaiming_normal_(self.features[0][0].weight, mode="fan_out")
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        image = x.transpose(1, 2).unsqueeze(1)
        return self.features(image).mean(2).transpose(1, 2)

    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Start from torchvision's weights for ImageNet, as published.

        The weights of the stem's three colours are summed. (PSLA's library leaves the stem random.)
        """
        weights = {
            name.removeprefix("features."): value
            for name, value in state.items()
            if name.startswith("features.")
        }
        weights["0.0.weight"] = weights["0.0.weight"].sum(1, keepdim=True)
        self.features.load_state_dict(weights)

"""ResNet18 (He et al., 2015) with the stem for CIFAR: a 3x3 convolution and no max-pooling."""

import torch
from torch import nn
from torchvision.models import resnet18

KIND = "images"


def build(shape: tuple[int, int, int]) -> nn.Module:
    """Build the encoder (N, C, H, W) -> (N, 512) for images of `shape` (C, H, W)."""
    model = resnet18(weights=None)
    model.conv1 = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    model.embedding_size = model.fc.in_features
    model.fc = nn.Identity()
    return model.to(memory_format=torch.channels_last)

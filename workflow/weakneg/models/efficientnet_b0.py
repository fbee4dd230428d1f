"""EfficientNet-B0 for spectrograms, see `weakneg.models.efficientnet`."""

from torchvision.models import efficientnet_b0

from weakneg.models.efficientnet import EfficientNet

KIND = "spectrograms"
IMAGENET = True  # can start from ImageNet weights, see `load_imagenet`


def build(shape: tuple[int, int]) -> EfficientNet:
    """Build the encoder; its weights do not depend on the `shape` (T, F) of the spectrograms."""
    return EfficientNet(efficientnet_b0)

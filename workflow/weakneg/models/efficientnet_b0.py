"""EfficientNet-B0 of spectrograms: see `weakneg.models.efficientnet`."""

from torchvision.models import efficientnet_b0

from weakneg.models.efficientnet import EfficientNet

KIND = "spectrograms"
IMAGENET = True  # may start from `load_imagenet`


def build(shape: tuple[int, int]) -> EfficientNet:
    """The encoder for spectrograms of `shape` (T, F), any: what is learnt depends on neither."""
    return EfficientNet(efficientnet_b0)

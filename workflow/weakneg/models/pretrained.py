"""Stage: get the weights that a model starts from, where it does not start from random ones."""

import os
from pathlib import Path

from torchvision.models import get_model_weights

from weakneg.io.download import download


def fetch_imagenet(model: str, path: str | os.PathLike) -> None:
    """Download torchvision's weights for ImageNet of the model of a name, checked, to `path`.

    Raises UserError when they cannot be had.
    """
    url = get_model_weights(model).DEFAULT.url
    # The first digits of the file's SHA-256 are published as a part of its name.
    digits = Path(url).stem.rpartition("-")[2]
    download(url, path, sha256=digits, instead="run again, or set model.weights to random")

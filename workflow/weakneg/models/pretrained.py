"""The weights that a model starts from, where it does not start from random ones."""

from pathlib import Path

from torchvision.models import get_model_weights

from weakneg.io.download import download
from weakneg.stages import stage


@stage
def fetch_imagenet(model: str, output: Path) -> None:
    """Download a model's weights for ImageNet, to start from.

    Parameters
    ----------
    model : str
        Name of the model in torchvision.
    output : Path
        The file of weights, checked by the first digits of its SHA-256.

    Raises
    ------
    UserError
        When the download fails or gives another file.
    """
    url = get_model_weights(model).DEFAULT.url
    # The first digits of the file's SHA-256 are published as a part of its name.
    digits = Path(url).stem.rpartition("-")[2]
    download(url, output, sha256=digits, instead="run again, or set model.weights to random")

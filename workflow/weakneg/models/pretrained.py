"""Pretrained weights that a model can start from."""

from pathlib import Path

from torchvision.models import get_model_weights

from weakneg.io.download import download
from weakneg.stages import stage


@stage
def fetch_imagenet(model: str, output: Path) -> None:
    """Download the ImageNet weights that a model starts from.

    Parameters
    ----------
    model : str
        Name of the model in torchvision.
    output : Path
        The file of weights; the first digits of its SHA-256 are checked.

    Raises
    ------
    UserError
        When the download fails, or the file is not the published one.
    """
    url = get_model_weights(model).DEFAULT.url
    # The first digits of the file's SHA-256 are part of its published name.
    digits = Path(url).stem.rpartition("-")[2]
    download(url, output, sha256=digits, instead="run again, or set model.weights to random")

"""Weights to start from: what is downloaded is checked before anything reads it."""

import hashlib
from types import SimpleNamespace

import pytest
from servers import Handler, serving

from weakneg.errors import UserError
from weakneg.io import download
from weakneg.models import pretrained

BODY = b"weights" * 1000
DIGITS = hashlib.sha256(BODY).hexdigest()[:8]


class Weights(Handler):
    def do_GET(self):
        self.reply(BODY, {})


@pytest.fixture
def published(monkeypatch):
    """published(digits) makes a server's file the weights of every network."""
    monkeypatch.setattr(download, "_RETRY_SECONDS", (0,))
    with serving(Weights) as address:

        def publish(digits: str) -> None:
            default = SimpleNamespace(url=f"{address}/network-{digits}.pth")
            weights = SimpleNamespace(DEFAULT=default)
            monkeypatch.setattr(pretrained, "get_model_weights", lambda _: weights)

        yield publish


def test_the_published_file_arrives(published, tmp_path):
    published(DIGITS)
    pretrained.fetch_imagenet("efficientnet_b0", tmp_path / "weights.pth")
    assert (tmp_path / "weights.pth").read_bytes() == BODY


def test_another_file_than_the_published_one_is_refused(published, tmp_path):
    published("0" * 8)
    with pytest.raises(UserError, match=r"expected 00000000.*set model\.weights to random"):
        pretrained.fetch_imagenet("efficientnet_b0", tmp_path / "weights.pth")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("model", ["efficientnet_b0", "efficientnet_b2"])
def test_torchvision_still_names_its_files_by_their_hash(model):
    url = pretrained.get_model_weights(model).DEFAULT.url
    digits = url.rpartition("-")[2].removesuffix(".pth")
    assert len(digits) == 8
    assert int(digits, 16)

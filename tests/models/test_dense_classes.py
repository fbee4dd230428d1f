"""The gradient of a classifier for many classes, written out, is that of autograd."""

import pytest
import torch
from torch import nn
from torch.nn.functional import linear

from weakneg.config.sections import ModelSettings
from weakneg.models import bag_classifier, dense_classes
from weakneg.models.bag_classifier import BagClassifier
from weakneg.models.dense import is_dense

C = 6
SETTINGS = ModelSettings(name="mlp", pooling="attention")
CPU = torch.device("cpu")


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_logits_and_gradients_are_those_of_autograd(dtype, padded, monkeypatch):
    if dtype == torch.float64:  # which oneDNN does not compute
        monkeypatch.setattr(dense_classes, "product", linear)
    torch.manual_seed(0)
    model = bag_classifier.load(SETTINGS, (7,), C).to(dtype)
    x, mask = torch.randn(4, 5, 7, dtype=dtype), None
    if padded:
        mask = torch.arange(5) < torch.tensor([5, 1, 3, 4])[:, None]
    slopes = torch.randn(4, C, dtype=dtype)
    expected, found = model(x, mask), dense_classes.logits(model, x, mask)
    torch.testing.assert_close(found, expected)
    gradients = (
        torch.autograd.grad(each, list(model.parameters()), slopes) for each in (found, expected)
    )
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("options", "n_classes"),
    [
        ({"pooling": "mean_softmax"}, C),
        ({"pooling": "psla"}, C),
        ({"name": "simple_cnn"}, C),
        ({"precision": "bfloat16"}, C),
        ({}, 1),
        ({}, None),
    ],
)
def test_what_is_not_written_out_is_left_to_autograd(options, n_classes):
    def possible(options, n_classes):
        settings = ModelSettings(**{"name": "mlp", "pooling": "attention"} | options)
        shape = (7,) if settings.name == "mlp" else (3, 32, 32)
        model = bag_classifier.load(settings, shape, n_classes)
        return dense_classes.possible(model, CPU)

    assert possible({}, C)
    assert not possible(options, n_classes)


class Doubled(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


def frozen(layer: nn.Linear) -> nn.Linear:
    return layer.requires_grad_(False)


SAME = nn.Linear(7, 7)
OTHERS = {
    "GELU": nn.Sequential(nn.Linear(7, 5), nn.GELU()),
    "dropout": nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Dropout(0.5)),
    "normalised": nn.Sequential(nn.LayerNorm(7), nn.Linear(7, 5), nn.ReLU()),
    "no last ReLU": nn.Sequential(nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 5)),
    "no bias": nn.Sequential(nn.Linear(7, 5, bias=False), nn.ReLU()),
    "frozen": nn.Sequential(frozen(nn.Linear(7, 5)), nn.ReLU()),
    "shared": nn.Sequential(SAME, nn.ReLU(), SAME, nn.ReLU()),
    "not only its layers": Doubled(nn.Linear(7, 5), nn.ReLU()),
    "not a sequence": nn.Linear(7, 5),
}


def test_layers_with_biases_and_relus_are_dense():
    layers = nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(inplace=True)
    assert is_dense(nn.Sequential(*layers))
    assert is_dense(nn.Sequential(*layers[:2]))


@pytest.mark.parametrize("other", OTHERS)
def test_any_other_encoder_is_left_to_autograd(other):
    encoder = OTHERS[other]
    encoder.embedding_size = 7 if other == "shared" else 5
    model = BagClassifier(encoder, "attention", n_classes=C)
    assert not is_dense(encoder)
    assert not dense_classes.possible(model, CPU)

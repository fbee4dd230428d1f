"""The gradient of a classifier for many classes, written out, is that of autograd."""

import pytest
import torch
from torch.nn.functional import linear

from weakneg.config.sections import ModelSettings
from weakneg.models import bag_classifier, dense_classes

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
        return dense_classes.possible(model, settings, CPU)

    assert possible({}, C)
    assert not possible(options, n_classes)

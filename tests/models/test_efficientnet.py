"""PSLA's network: its shapes, its size, its output and gradients by the formulas."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, conv2d, pad
from torchvision.models import efficientnet_b0 as torchvision_b0

from weakneg.config.sections import ModelSettings
from weakneg.models import bag_classifier, efficientnet_b0, efficientnet_b2
from weakneg.models.folding import folded

B2 = ModelSettings(name="efficientnet_b2", pooling="psla", attention_heads=4)
B0 = ModelSettings(name="efficientnet_b0", pooling="psla", attention_heads=4)
PSLA = (1056, 128)
SMALL = (96, 64)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@torch.inference_mode()
def test_shapes_of_psla_at_every_step():
    """Gong et al., section III-A: (1056, 128) -> 1408 channels of (4, 33) -> 33 instances."""
    model = bag_classifier.load(B2, PSLA).eval()
    seen = {}
    first, last = model.encoder.features[0], model.encoder.features[-1]
    for name, layer in (("stem", first), ("features", last)):
        layer.register_forward_hook(
            lambda _, inputs, output, name=name: seen.update(
                {name: (inputs[0].shape, output.shape)}
            )
        )
    x = torch.randn(2, 1, *PSLA)
    h, mask = model.instances(x, None)
    assert seen["stem"] == ((2, 1, 128, 1056), (2, 32, 64, 528))
    assert seen["features"] == ((2, 352, 4, 33), (2, 1408, 4, 33))
    assert h.shape == (2, 33, 1408)
    assert mask.shape == (2, 33)
    scores = model.score(x, None)
    assert scores.logits.shape == (2,)
    assert scores.embeddings.shape == (2, 1408)
    assert scores.gradient_directions.shape == (2, 8 * 1408)


def test_sizes_are_those_of_the_papers():
    """13.6 million with PSLA's heads for 527 classes; with one class the heads are small."""
    b2 = bag_classifier.load(B2, PSLA)
    # torchvision's B2 without its classifier (1408 x 1000, 1000) and two of three input channels.
    assert count(b2.encoder) == 9_109_994 - 1_409_000 - 2 * 32 * 9
    assert round((count(b2.encoder) + 8 * 1409 * 527) / 1e6, 1) == 13.6
    assert count(b2.head) == 8 * 1409 + 4
    b0 = bag_classifier.load(B0, PSLA)
    assert count(b0.encoder) == 5_288_548 - 1_281_000 - 2 * 32 * 9


@torch.inference_mode()
def test_published_weights_make_the_published_network_with_one_channel():
    """Of a grey image, in which the three colours are equal."""
    torch.manual_seed(0)
    published = torchvision_b0(weights=None).eval()
    ours = efficientnet_b0.build(SMALL).eval()
    ours.load_imagenet(published.state_dict())
    x = torch.randn(2, *SMALL)
    image = x.transpose(1, 2).unsqueeze(1).expand(-1, 3, -1, -1)
    expected = published.features(image).mean(2).transpose(1, 2)
    torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-5)


def psla_probability(h: Tensor, model: bag_classifier.BagClassifier) -> Tensor:
    """PSLA's MHeadAttention as its code says it, head by head, for instances h (B, n, D)."""
    channels = h.transpose(1, 2)[..., None]  # its convolutions of size 1 see (B, D, n, 1)
    heads, d = len(model.head.head_weight), h.shape[2]
    weight, bias = model.head.weight.view(2, heads, 1, d, 1, 1), model.head.bias.view(2, heads, 1)
    total = 0
    for head in range(heads):
        attention = conv2d(channels, weight[0, head], bias[0, head]).sigmoid().flatten(1)
        positive = conv2d(channels, weight[1, head], bias[1, head]).sigmoid().flatten(1)
        attention = attention.clamp(1e-7, 1 - 1e-7)
        attention = attention / attention.sum(1, keepdim=True)
        total = total + (attention * positive).sum(1) * model.head.head_weight[head]
    return total.clamp(1e-7, 1 - 1e-7)


@pytest.mark.parametrize("heads", [1, 4])
def test_the_output_is_psla_s(heads):
    torch.manual_seed(1)
    model = bag_classifier.load(B0.model_copy(update={"attention_heads": heads}), SMALL).eval()
    x = torch.randn(3, 1, *SMALL)
    with torch.inference_mode():
        h, _ = model.instances(x, None)
        torch.testing.assert_close(model(x).sigmoid(), psla_probability(h, model))


@pytest.mark.parametrize("label", ["known", "hypothesised"])
def test_gradients_of_the_last_layer_are_those_of_autograd(label):
    torch.manual_seed(2)
    model = bag_classifier.load(B0, SMALL).eval()
    with torch.no_grad():
        model.head.bias[4:] = torch.tensor([1.0, -1.0, 2.0, 0.0])
        x = torch.randn(3, 1, *SMALL)
        h, _ = model.instances(x, None)
        found = model.score(x).gradients(label)
    for clip, gradient in zip(h, found, strict=True):
        p = psla_probability(clip[None], model)
        target = (p > 0.5).float() if label == "hypothesised" else torch.zeros(1)
        (expected,) = torch.autograd.grad(binary_cross_entropy(p, target), model.head.weight)
        torch.testing.assert_close(gradient.view_as(expected), expected, rtol=1e-3, atol=1e-7)


def test_mean_pooling_is_the_mean_of_the_frames_probabilities():
    torch.manual_seed(3)
    settings = ModelSettings(name="efficientnet_b0", pooling="softmax_mean")
    model = bag_classifier.load(settings, SMALL).eval()
    x = torch.randn(2, 1, *SMALL)
    with torch.inference_mode():
        h, _ = model.instances(x, None)
        frames = model.head(h).softmax(-1)[..., 1]
        torch.testing.assert_close(model(x).sigmoid(), frames.mean(1))


@torch.inference_mode()
def test_an_instance_looks_at_frames_around_it():
    """What is 32 rows later in the spectrogram is one instance later, away from the borders."""
    torch.manual_seed(4)
    encoder = efficientnet_b0.build(SMALL).eval()
    # No squeeze and excitation, which looks at all of the clip.
    for module in encoder.modules():
        if type(module).__name__ == "SqueezeExcitation":
            module.forward = lambda x: x
    x = torch.zeros(1, 2048, 64)
    x[:, 1000:1010] = torch.randn(10, 64)
    later = pad(x, (0, 0, 32, 0))[:, :2048]
    torch.testing.assert_close(encoder(x)[:, 20:42], encoder(later)[:, 21:43])


def test_bfloat16_is_of_the_encoder_only():
    """Scores stay float32, and near those of full precision, relative to their spread."""
    torch.manual_seed(5)
    full = bag_classifier.load(B0, SMALL).eval()
    mixed = bag_classifier.load(B0.model_copy(update={"precision": "bfloat16"}), SMALL).eval()
    mixed.load_state_dict(full.state_dict())
    x = torch.randn(8, 1, *SMALL) * torch.linspace(0.1, 3, 8).view(-1, 1, 1, 1)
    with torch.inference_mode():
        expected, found = full.score(x), mixed.score(x)
    assert found.logits.dtype == found.embeddings.dtype == torch.float32
    assert found.gradient_directions.dtype == torch.float32
    assert not torch.equal(found.embeddings, expected.embeddings)
    error = (found.embeddings - expected.embeddings).norm() / expected.embeddings.norm()
    assert error < 0.03
    loss = mixed(x).sum()  # training goes through it
    assert all(p.dtype == torch.float32 for p in mixed.parameters())
    gradients = torch.autograd.grad(loss, list(mixed.parameters()))
    assert all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)


def test_random_weights_differ_by_seed_alone():
    def weights(seed):
        torch.manual_seed(seed)
        return efficientnet_b2.build(PSLA).features[0][0].weight

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_b2", "cnn"])
def test_folded_normalisations_change_no_score(name):
    torch.manual_seed(0)
    model = bag_classifier.load(ModelSettings(name=name, pooling="psla"), SMALL)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:  # as if it had learnt
        for values, low, high in (
            *((norm.weight, 0.8, 1.4), (norm.bias, -0.2, 0.2)),
            *((norm.running_mean, -0.1, 0.1), (norm.running_var, 0.8, 1.2)),
        ):
            torch.nn.init.uniform_(values, low, high)
    x = torch.randn(4, 1, *SMALL)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.inference_mode():
        expected = model.eval().score(x)
        light = folded(model)
        found = light.score(x)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in light.modules())
    assert expected.embeddings.std() > 0.01
    torch.testing.assert_close(found.embeddings, expected.embeddings, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_only_a_normalisation_right_behind_its_convolution_is_folded():
    conv, norm = torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)
    model = torch.nn.Sequential(conv, torch.nn.ReLU(), norm).eval()
    assert folded(model) is model

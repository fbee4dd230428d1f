"""The models: logits, embeddings and gradients of bags are what their definitions say."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, max_pool2d, nll_loss

from weakneg.config.sections import ModelSettings, models
from weakneg.errors import UserError
from weakneg.models import bag_classifier, resnet18
from weakneg.models.bag_classifier import BagClassifier
from weakneg.models.pooling import POOLINGS
from weakneg.models.simple_cnn import SimpleCNN, _conv_pool

LABELS = ("known", "hypothesised")
every_pooling = pytest.mark.parametrize("pooling", sorted(POOLINGS))
quick = settings(max_examples=40, deadline=None)


class Same(nn.Module):
    """An encoder that leaves the instances (N, D) as they are."""

    def __init__(self, d: int):
        super().__init__()
        self.embedding_size = d

    def forward(self, x: Tensor) -> Tensor:
        return x


class Case:
    """Bags of vectors of different sizes, padded with garbage, and a linear classifier of them.

    spread: size of the logits, roughly
    """

    def __init__(self, pooling: str, sizes=(1, 2, 5, 3), d=4, spread=1.0, seed=0, padding=2):
        generator = torch.Generator().manual_seed(seed)
        shape = (len(sizes), max(sizes) + padding, d)
        self.x = torch.randn(shape, generator=generator, dtype=torch.float64)
        self.mask = torch.arange(shape[1]) < torch.tensor(sizes)[:, None]
        # Which of the places hold instances is random too.
        order = torch.rand(self.mask.shape, generator=generator).argsort(1)
        self.mask = self.mask.gather(1, order)
        self.x[~self.mask] = 1e3 * self.x[~self.mask] + 500
        self.model = BagClassifier(Same(d), pooling).double()
        with torch.no_grad():
            weight = torch.randn(2, d, generator=generator, dtype=torch.float64)
            self.model.head.weight.copy_(weight * spread / math.sqrt(d))
            self.model.head.bias.copy_(torch.randn(2, generator=generator, dtype=torch.float64))

    def bags(self) -> list[Tensor]:
        """(n, D) per bag, without the padding."""
        return [x[mask] for x, mask in zip(self.x, self.mask, strict=True)]

    def scores(self):
        return self.model.score(self.x, self.mask)


def log_probabilities(pooling: str, scores: Tensor) -> Tensor:
    """(2,) log probabilities of a bag whose instances have scores (n, 2), by the definition."""
    if pooling == "mean_softmax":
        return scores.mean(0).log_softmax(0)
    if pooling == "mean_boosted":
        d = scores[:, 1] - scores[:, 0]
        logit = torch.where(d > 0, 5 * d, d).mean()
        return logsigmoid(torch.stack([-logit, logit]))
    probabilities = scores.softmax(1)
    if pooling == "softmax_mean":
        return probabilities.mean(0).log()
    return probabilities[probabilities[:, 1].argmax()].log()


def autograd(case: Case, labels: Tensor) -> Tensor:
    """(B, 2, D) gradient of the cross-entropy of each bag with respect to the last layer."""
    gradients = []
    for bag, label in zip(case.bags(), labels, strict=True):
        loss = nll_loss(
            log_probabilities(case.model_pooling, case.model.head(bag))[None], label[None]
        )
        gradients.append(torch.autograd.grad(loss, case.model.head.weight)[0])
    return torch.stack(gradients)


def case_of(pooling: str, **arguments) -> Case:
    case = Case(pooling, **arguments)
    case.model_pooling = pooling
    return case


@every_pooling
@pytest.mark.parametrize("label", LABELS)
@quick
@given(
    logits=st.lists(st.sampled_from([-40.0, -20.0, 0.5, 20.0, 40.0]), min_size=1, max_size=5),
    dtype=st.sampled_from([torch.float64, torch.float32]),
)
def test_gradients_of_sure_bags_keep_their_relative_accuracy(pooling, label, logits, dtype):
    """Where 1 - P has no digits left: P and 1 - P of 1e-18 are not 0."""
    model = BagClassifier(Same(2), pooling).to(dtype)
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        model.head.bias.zero_()
    boost = 5 if pooling == "mean_boosted" else 1  # float32 ends at exp(-103)
    x = torch.tensor([[[logit / boost, 1.0] for logit in logits]], dtype=dtype)
    scores = model.score(x, torch.ones(1, len(logits), dtype=torch.bool))

    head = model.head.double()
    y = int(label == "hypothesised" and scores.logits.item() > 0)
    loss = -log_probabilities(pooling, head(x[0].double()))[y]
    # The row of the other class holds the probability of that class alone: no digit is lost.
    row = torch.autograd.grad(loss, head.weight)[0][1 - y]
    # The second coordinate, which is 1 in every instance: no terms cancel.
    expected = row[1] if y == 0 else -row[1]
    assert expected != 0
    found = scores.gradients(label)[0, 1].double()
    rtol = 1e-11 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(found, expected, rtol=rtol, atol=0)


@every_pooling
@pytest.mark.parametrize("logits", [(1e4, 1e4), (-1e4, -1e4), (1e4, -1e4), (0.0, 0.0), (-200.0,)])
def test_no_logit_is_too_large(pooling, logits):
    d = torch.tensor([logits])
    mask = torch.ones_like(d, dtype=torch.bool)
    pool = POOLINGS[pooling]
    for values in (pool.logit(d, mask), pool.weights(d, mask), pool.embedding(d, mask)):
        assert torch.isfinite(values).all()


@every_pooling
def test_gradients_know_two_labels(pooling):
    with pytest.raises(ValueError, match="'known' or 'hypothesised', not 'true'"):
        case_of(pooling).scores().gradients("true")


@every_pooling
@quick
@given(seed=st.integers(0, 10_000), spread=st.sampled_from([0.1, 1.0, 5.0]))
def test_the_logit_is_that_of_the_probability_that_defines_the_pooling(pooling, seed, spread):
    case = case_of(pooling, seed=seed, spread=spread)
    logs = torch.stack([log_probabilities(pooling, case.model.head(bag)) for bag in case.bags()])
    expected = logs[:, 1] - logs[:, 0]
    torch.testing.assert_close(case.model(case.x, case.mask), expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(case.scores().logits, expected, rtol=1e-9, atol=1e-12)


@every_pooling
def test_training_sees_the_gradient_of_the_definition(pooling):
    """Autograd through `forward`, which training uses, against autograd through the definition."""
    case = case_of(pooling)
    labels = torch.tensor([0, 1, 1, 0])
    loss = nn.functional.binary_cross_entropy_with_logits(
        case.model(case.x, case.mask), labels.double(), reduction="sum"
    )
    found = torch.autograd.grad(loss, case.model.head.weight)[0]
    torch.testing.assert_close(found, autograd(case, labels).sum(0), rtol=1e-9, atol=1e-12)


@every_pooling
def test_the_embedding_is_the_mean_instance_or_the_most_positive_one(pooling):
    case = case_of(pooling)
    for bag, embedding in zip(case.bags(), case.scores().embeddings, strict=True):
        o = case.model.head(bag)
        largest = bag[(o[:, 1] - o[:, 0]).argmax()]
        expected = largest if pooling == "softmax_max" else bag.mean(0)
        torch.testing.assert_close(embedding, expected)


def test_closed_forms_of_the_gradients():
    """mean_softmax: (P - y) times the mean of h. softmax_mean: mean of q (1 - q) h, over 1 - P."""
    case = case_of("mean_softmax")
    for bag, u, guess in zip(
        case.bags(),
        case.scores().gradients("known"),
        case.scores().gradients("hypothesised"),
        strict=True,
    ):
        p = case.model.head(bag).mean(0).softmax(0)[1]
        torch.testing.assert_close(u, p * bag.mean(0))
        torch.testing.assert_close(guess, (p - float(p > 0.5)) * bag.mean(0))

    case = case_of("softmax_mean")
    for bag, u in zip(case.bags(), case.scores().gradients("known"), strict=True):
        q = case.model.head(bag).softmax(1)[:, 1:]
        torch.testing.assert_close(u, (q * (1 - q) * bag).mean(0) / (1 - q.mean()))


def _everything(scores) -> tuple[Tensor, ...]:
    return scores.logits, scores.embeddings, *(scores.gradients(label) for label in LABELS)


@every_pooling
def test_padding_changes_nothing(pooling):
    case = case_of(pooling)
    together = _everything(case.scores())
    for index, bag in enumerate(case.bags()):
        alone = case.model.score(bag[None], torch.ones(1, len(bag), dtype=torch.bool))
        for values, value in zip(together, _everything(alone), strict=True):
            torch.testing.assert_close(values[index], value[0])


@every_pooling
def test_what_is_in_the_padding_changes_nothing(pooling):
    case = case_of(pooling)
    before = _everything(case.scores())
    case.x[~case.mask] = -7.0
    for old, new in zip(before, _everything(case.scores()), strict=True):
        assert torch.equal(old, new)


@every_pooling
def test_the_order_of_the_instances_changes_nothing(pooling):
    case = case_of(pooling)
    before = _everything(case.scores())
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    case.x, case.mask = case.x[:, order], case.mask[:, order]
    for old, new in zip(before, _everything(case.scores()), strict=True):
        torch.testing.assert_close(old, new)


def test_all_poolings_agree_on_bags_of_one_instance():
    found = [_everything(case_of(name, sizes=(1, 1, 1)).scores()) for name in sorted(POOLINGS)]
    for others in found[1:]:
        for value, other in zip(found[0], others, strict=True):
            torch.testing.assert_close(value, other)


# ----------------------------------------------------------------------------- encoders
def plain_simple_cnn(model: SimpleCNN, x: Tensor) -> Tensor:
    x = max_pool2d(model.conv1(x).relu(), 2)
    x = max_pool2d(model.conv2(x).relu(), 2)
    return model.fc2(model.fc1(x.flatten(1)).relu()).relu()


@pytest.mark.parametrize(
    "shape", [(3, 32, 32), (1, 8, 8), (3, 29, 31), (1, 9, 11), (1, 16, 17)], ids=str
)
@pytest.mark.parametrize("image", ["noise", "constant", "stripes"])
def test_simple_cnn_is_two_convolutions_with_max_pooling_and_two_layers(shape, image):
    torch.manual_seed(0)
    model = SimpleCNN(shape).double()
    x = torch.randn(5, *shape, dtype=torch.float64)
    if image == "constant":
        x = torch.ones_like(x) * torch.arange(5)[:, None, None, None]
    if image == "stripes":
        x = (torch.arange(shape[2]) // 2 % 2).double().expand(5, *shape).clone()

    found, expected = [], []
    for forward, results in ((model, found), (lambda x: plain_simple_cnn(model, x), expected)):
        model.zero_grad()
        x_leaf = x.clone().requires_grad_()
        y = forward(x_leaf)
        (y * torch.arange(84)).sum().backward()
        results += [y.detach(), *(p.grad.clone() for p in model.parameters())]
        if image == "noise":  # where there are ties, rounding says which position gets it
            results.append(x_leaf.grad)
    assert found[0].shape == (5, 84)
    for value, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(value, reference, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("strided", [True, False])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (8, 9), (9, 8)], ids=str)
def test_pooling_breaks_ties_as_max_pool2d_does(size, strided):
    """Small integers: many ties, and no rounding that could break them."""
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 3, 3, padding=1)
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.copy_(torch.randint(-1, 2, parameter.shape))
    x = torch.randint(0, 2, (20, 2, *size)).float()

    results = []
    for function in (
        lambda x: _conv_pool(x, conv, strided=strided),
        lambda x: max_pool2d(conv(x), 2),
    ):
        leaf = x.clone().requires_grad_()
        y = function(leaf)
        loss = (y * (torch.arange(y.numel()).view_as(y) % 7)).sum()
        results.append((y, *torch.autograd.grad(loss, (leaf, conv.weight, conv.bias))))
    for value, reference in zip(*results, strict=True):
        assert torch.equal(value, reference)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_simple_cnn_has_the_layers_of_lenet5():
    model = BagClassifier(SimpleCNN((3, 32, 32)), "mean_softmax")
    encoder = model.encoder
    layers = (encoder.conv1, encoder.conv2, encoder.fc1, encoder.fc2, model.head)
    assert [_parameters(layer) for layer in layers] == [456, 2416, 48120, 10164, 170]
    assert _parameters(model) == 61326
    sizes = [(layer.in_features, layer.out_features) for layer in layers[2:]]
    assert sizes == [(400, 120), (120, 84), (84, 2)]


def test_resnet18_has_the_stem_for_small_images():
    encoder = resnet18.build((3, 32, 32)).eval()
    assert _parameters(encoder) == 11_168_832
    maps = []
    encoder.avgpool.register_forward_hook(lambda module, args, output: maps.append(args[0].shape))
    with torch.inference_mode():
        y = encoder(torch.randn(2, 3, 32, 32))
    assert y.shape == (2, 512)
    assert maps == [(2, 512, 4, 4)], "32 x 32 images keep 4 x 4 positions"


SHAPES = {"images": (1, 8, 8), "clips": (6,), "spectrograms": (24, 16)}  # of an instance
every_model = pytest.mark.parametrize(("name", "kind"), models().items())


@every_model
@every_pooling
def test_every_model_file_makes_a_classifier_of_bags(name, kind, pooling):
    settings = ModelSettings(name=name, pooling=pooling)
    model = bag_classifier.load(settings, SHAPES[kind]).eval()
    assert model.head.in_features == model.encoder.embedding_size
    if kind == "spectrograms":  # one in a bag, of which the encoder makes the instances
        x, mask = torch.randn(3, 1, *SHAPES[kind]), None
    else:
        x = torch.randn(3, 2, *SHAPES[kind])
        mask = torch.tensor([[True, True], [True, False], [True, True]])
    with torch.inference_mode():
        scores = model.score(x, mask)
        logits = model(x, mask)
    d = model.encoder.embedding_size
    assert scores.logits.shape == (3,)
    assert scores.embeddings.shape == scores.gradients("known").shape == (3, d)
    assert torch.equal(scores.logits, logits)


@pytest.mark.parametrize(
    ("name", "kind"), [each for each in models().items() if each[1] != "spectrograms"]
)
def test_padding_does_not_reach_the_training_of_any_model(name, kind):
    """Not even through the statistics of a batch normalisation."""
    torch.manual_seed(0)
    model = bag_classifier.load(ModelSettings(name=name), SHAPES[kind]).train()
    x = torch.randn(4, 3, *SHAPES[kind])
    mask = torch.tensor([[True, True, False], [False, True, False], [True] * 3, [True] * 3])
    torch.manual_seed(1)  # for dropout
    before = model(x, mask)
    x[~mask] = 9.0
    torch.manual_seed(1)
    assert torch.equal(model(x, mask), before)


@every_pooling
def test_a_classifier_of_images_ignores_padding(pooling):
    torch.manual_seed(0)
    model = BagClassifier(SimpleCNN((1, 8, 8)), pooling).double()
    x = torch.randn(3, 4, 1, 8, 8, dtype=torch.float64)
    mask = torch.tensor([[True, True, False, False], [True] * 4, [False, True, False, True]])
    labels = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)

    def gradients(bags):
        model.zero_grad()
        logits = torch.cat([model(*bag) for bag in bags])
        nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()
        return [logits.detach(), *(p.grad.clone() for p in model.parameters())]

    alone = [
        (x[i][m][None], torch.ones(1, int(m.sum()), dtype=torch.bool)) for i, m in enumerate(mask)
    ]
    for value, reference in zip(gradients([(x, mask)]), gradients(alone), strict=True):
        torch.testing.assert_close(value, reference)


# ----------------------------------------------------------------------------- padded spectrograms
class Rows(nn.Module):
    """An encoder of spectrograms (N, T, F): every `step`-th row is an instance."""

    def __init__(self, size: int, step: int):
        super().__init__()
        self.embedding_size, self.frame_step = size, step

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :: self.frame_step]


@pytest.mark.parametrize("pooling", ["attention", "psla", *sorted(POOLINGS)])
@pytest.mark.parametrize("step", [1, 5])
def test_a_padded_spectrogram_scores_as_it_would_alone(pooling, step):
    """Of any length, one frame at least, and with anything in the padding."""
    torch.manual_seed(0)
    model = BagClassifier(Rows(3, step), pooling)
    x = torch.randn(14, 1, 13, 3)
    lengths = torch.arange(14)
    sound = torch.arange(13) < lengths[:, None]
    with torch.no_grad():
        found = model.score(x, sound)
        for clip, length, logit, embedding in zip(
            x, lengths.tolist(), found.logits, found.embeddings, strict=True
        ):
            alone = model.score(clip[None, :, : max(length, 1)])
            torch.testing.assert_close(logit, alone.logits[0])
            torch.testing.assert_close(embedding, alone.embeddings[0])
        torch.testing.assert_close(model(x, sound), found.logits)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (None, "needs the attribute frame_step"),
        (3, "with frame_step 3, a spectrogram of 13 rows must have 5 instances, not 7"),
    ],
)
def test_an_encoder_of_spectrograms_says_where_its_instances_are(monkeypatch, step, said):
    """Else other frames would be masked than those of the padding."""

    def build(shape):
        encoder = Rows(shape[1], 2)
        encoder.forward = lambda x: x[:, ::2]
        encoder.frame_step = step
        if step is None:
            del encoder.frame_step
        return encoder

    own = SimpleNamespace(KIND="spectrograms", build=build)
    monkeypatch.setattr(bag_classifier.models, "module", lambda name: own)
    with pytest.raises(UserError, match=f"^model cnn: .*{said}"):
        bag_classifier.load(ModelSettings(name="cnn"), (13, 3))

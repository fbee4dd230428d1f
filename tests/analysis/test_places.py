"""Where the frames of clips are: as long as feature vectors say, or where a model looks."""

import numpy as np
import pytest
import torch
from short_runs import CPU, run_settings

from weakneg.analysis.places import places_of
from weakneg.bags.draw import Bags
from weakneg.config.stages import ScoreSettings
from weakneg.features.store import Store
from weakneg.models import bag_classifier
from weakneg.training.data import BagData

CLASSES = ["a", "b"]
MEL = {"sample_rate": 16_000, "mel_bins": 32, "frame_length_ms": 25.0, "frame_shift_ms": 10.0}


def spectrograms(n_rows, lengths):
    n = len(lengths)
    return Store(
        x=np.zeros((n, n_rows, 32), np.float16),
        id=np.arange(n),
        y=np.zeros((n, 2), np.uint8),
        class_names=tuple(CLASSES),
        mean=np.zeros(1),
        std=np.ones(1),
        kind="spectrograms",
        parameters=MEL | {"window": "hanning"},
        length=np.array(lengths),
        start=np.zeros(n),
    )


@pytest.mark.parametrize("name", ["cnn", "efficientnet_b0"])
def test_a_frame_of_a_spectrogram_is_where_the_model_looks(name):
    store = spectrograms(512, [512])
    bags = Bags(np.arange(1), np.zeros((1, 2), np.int8), np.full(1, np.nan), np.zeros((1, 1), int))
    settings = ScoreSettings(
        model=run_settings(name=name, pooling="attention").model,
        **{"score_batch_size": 1, "draw_per_seed": False, "classes": CLASSES},
    )
    places = places_of(store, BagData(store, bags, CPU), settings, None)
    torch.manual_seed(0)
    model = bag_classifier.load(settings.model, (512, 32), 2).eval()
    x = torch.randn(1, 1, 512, 32, requires_grad=True)
    h = model.instances(x, None)[0][0]
    assert len(places.edges) == len(h) + 1
    centres = (places.edges[:-1] + places.edges[1:]) / 2
    rows = 0.0125 + 0.01 * np.arange(512)  # centres of the rows, in seconds
    step = places.edges[1] - places.edges[0]
    for number in range(len(h) // 4, 3 * len(h) // 4):  # those that padding does not reach
        (slope,) = torch.autograd.grad(h[number].sum(), x, retain_graph=True)
        weight = slope[0, 0].square().sum(1).numpy()
        assert (weight * rows).sum() / weight.sum() == pytest.approx(centres[number], abs=step / 2)


def test_frames_and_time_end_with_the_sound():
    store = spectrograms(64, [64, 17, 16, 1])
    label = np.zeros((4, 2), np.int8)
    bags = Bags(np.arange(4), label, np.full(4, np.nan), np.arange(4)[:, None])
    settings = ScoreSettings(
        model=run_settings(name="cnn", pooling="attention").model,
        **{"score_batch_size": 1, "draw_per_seed": False, "classes": CLASSES},
    )
    places = places_of(store, BagData(store, bags, CPU), settings, None)
    assert places.mask.sum(1).tolist() == [8, 3, 2, 1]
    # The last row begins 10 ms after the one before, and lasts 25 ms.
    assert places.ends == pytest.approx([0.655, 0.185, 0.175, 0.025])

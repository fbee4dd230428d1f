"""From spectrograms and the times of labels to the tables of where models hear events."""

import numpy as np
import pandas as pd
import pytest
from by_position import train_run
from many_classes import settings
from partly_labelled import settings_of_methods
from sound_study import make_sound

from weakneg.bags.manifest import list_clips
from weakneg.config.stages import ScoreSettings
from weakneg.report.localisation import measure_event_detection, play_pointing_game

CLASSES = ["Dog", "Cat", "Owl"]
# All recordings are annotated from 0.5 s to 1 s, where the sound of their first class is; the model
# has a frame every 0.8 s.


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A trained model of made-up sound, and what the stages are given."""
    folder = tmp_path_factory.mktemp("study")
    make_sound(folder, CLASSES, 120)
    for split in ("train", "test"):
        list_clips(folder / f"{split}.h5", folder / f"{split}.csv")
    chosen = settings(classes=CLASSES, seeds=(0, 3), name="cnn", epochs=5, learning_rate=0.01)
    identity = {"study": "s", "class": "all", "strategy": "bce", "fingerprint": "f00d"}
    train_run(folder / "train.h5", folder / "train.csv", folder / "run", chosen, identity)
    return {
        "runs": [("bce", folder / "run")],
        "store": folder / "test.h5",
        "manifest": folder / "test.csv",
        "model_settings": ScoreSettings(
            model=chosen.model, score_batch_size=7, draw_per_seed=False, classes=CLASSES
        ),
        "settings": settings_of_methods(CLASSES, {"bce": ("Naive AN", "all")}),
        "threads": 1,
        "recordings": folder / "recordings.csv",
        "classes": {name: {"heard": [name], "labelled": []} for name in CLASSES},
    }


def test_the_game_is_played_in_clips_whose_frames_differ(study, tmp_path):
    play_pointing_game(**study, folder=tmp_path)
    table = pd.read_csv(tmp_path / "pointing.csv")
    assert table[["seed", "class"]].to_numpy().tolist() == [[s, c] for s in (0, 3) for c in CLASSES]
    labels = pd.read_csv(study["manifest"])
    for name, of_class in table.groupby("class"):
        lengths = labels["instances"][labels["labels"].str.contains(name)]
        n_frames = np.ceil(lengths / 8)  # of which the second is at 0.8 s
        assert (of_class["bags"] == len(lengths)).all()
        assert np.allclose(of_class["chance"], (1 / n_frames).mean(), atol=1e-5)
    assert "Mean over 3 classes and 2 seeds" in (tmp_path / "pointing.md").read_text()


def test_events_are_measured_in_all_clips_of_all_classes(study, tmp_path):
    pytest.importorskip("sed_scores_eval", reason="pip install -e '.[sed]' builds it")
    measure_event_detection(**study, folder=tmp_path)
    table = pd.read_csv(tmp_path / "events.csv")
    assert table["seed"].tolist() == [0, 3]
    assert (table["clips"] == 54).all()  # a tenth of 60 recordings could not be read
    assert (table["segment_f1"] > table["everywhere_f1"] + 0.2).all()
    of_classes = pd.read_csv(tmp_path / "events_by_class.csv")
    assert of_classes.groupby("seed")["class"].apply(list).tolist() == [CLASSES] * 2
    means = of_classes.groupby("seed")[["segment_f1", "psds1", "psds2"]].mean()
    assert np.allclose(means, table[["segment_f1", "psds1_mean", "psds2_mean"]], atol=1e-4)
    assert (table["psds2"] <= table["psds2_mean"]).all()
    assert "54 test clips, 3 classes; mean over 2 seeds" in (tmp_path / "events.md").read_text()

"""The figure of a study's sound."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from drawn import texts
from sound_study import SECONDS, SETTINGS, make_sound, names
from synthetic import settings_of

from weakneg.analysis.sound import ALL_CLIPS, read_sound
from weakneg.analysis.study import Study
from weakneg.audio.mel import LogMel
from weakneg.report.figures import draw_figure, sound
from weakneg.report.figures.sound import draw_overview
from weakneg.report.figures.style import house_style


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_sound(tmp_path_factory.mktemp("sound"), names(12), 120)


def settings_of_sound(classes):
    return settings_of(classes, ["random"], note="A note.", kind="spectrograms")


def figure_of(made, classes):
    with house_style():
        study = Study.of(settings_of_sound(classes))
        return draw_overview(read_sound(**made, classes=classes), study)


def spectrograms(figure):
    return [axes for axes in figure.axes if axes.images]


def test_it_says_how_many_recordings_were_lost_and_why(made):
    assert "18 of 180 recordings lost (9 private, 9 decode error)" in " ".join(
        " ".join(texts(figure_of(made, names(12)))).split()
    )


@pytest.mark.parametrize("n_classes", [1, 12])
def test_every_class_has_a_row_and_what_is_drawn_fits_the_page(made, n_classes):
    figure = figure_of(made, names(12)[:n_classes])
    figure.draw_without_rendering()
    drawn, page = figure.get_tightbbox(), figure.bbox_inches
    assert (drawn.min >= page.min - 0.01).all()
    assert (drawn.max <= page.max + 0.01).all()
    labels = [text for text in texts(figure) if text.startswith("Class")]
    rows = [tick.get_text() for tick in figure.axes[-4].get_yticklabels()]
    assert rows[0] == ALL_CLIPS
    assert len(rows) == n_classes + 1
    assert len(set(rows)) == n_classes + 1
    assert set(rows[1:]) <= set(labels)


def test_of_many_classes_the_largest_and_the_smallest_are_shown(tmp_path):
    made = make_sound(tmp_path, names(40), 100)  # the last twenty classes have fewer clips
    figure = figure_of(made, names(40))
    assert len(figure.axes[-4].get_yticklabels()) == 41
    sound = read_sound(**made, classes=names(40))
    train = sound.table[sound.table["split"] == "train"].set_index("class")["clips"][names(40)]
    shown = train[list(sound.examples)]
    assert len(shown) == 8
    assert (shown.iloc[0], shown.iloc[-1]) == (train.max(), train.min())


def test_axes_are_in_seconds_and_hertz(made):
    figure = figure_of(made, names(12)[:2])
    first, mel = spectrograms(figure)[0], LogMel.of(SETTINGS)
    labels = {"250 Hz": 250, "1 kHz": 1000, "4 kHz": 4000}
    assert [tick.get_text() for tick in first.get_yticklabels()] == list(labels)
    np.testing.assert_allclose(first.get_yticks(), [mel.bin_at(f) for f in labels.values()])
    assert first.get_xlim() == (0, SECONDS)
    assert spectrograms(figure)[-1].get_xlabel() == "seconds"


@pytest.mark.parametrize("hertz", [300, 1000, 3500, 7000])
def test_a_tone_is_loudest_at_the_bin_that_the_axis_says(hertz):
    import torch

    mel = LogMel(16000, 64, 25.0, 10.0, "hanning")
    tone = torch.sin(2 * torch.pi * hertz * torch.arange(16000) / 16000)
    assert abs(mel(tone).mean(0).argmax().item() - mel.bin_at(hertz)) <= 0.75


def test_bytes_are_the_same_in_another_process(made, tmp_path):
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from weakneg.report.figures import draw_figure\n"
        "made, settings, folder = json.loads(sys.argv[1])\n"
        "files = [Path(folder, f'sound.{kind}') for kind in ('pdf', 'png', 'svg')]\n"
        "options = {option: Path(path) for option, path in made.items()}\n"
        "draw_figure('sound', settings, files, **options, table=Path(folder, 'sound.csv'))\n"
    )
    options = {option: made[option] for option in ("recordings", "problems")}
    options |= {f"{split}_store": path for split, path in made["stores"].items()}
    settings = settings_of_sound(names(12)[:2])
    arguments = json.dumps([options, settings, str(tmp_path / "one")])
    subprocess.run([sys.executable, "-c", script, arguments], check=True)
    files = [tmp_path / "two" / f"sound.{kind}" for kind in ("pdf", "png", "svg")]
    table = tmp_path / "two" / "sound.csv"
    draw_figure("sound", settings, files, **options, table=table)
    for file in (*files, table):
        assert file.read_bytes() == (tmp_path / "one" / file.name).read_bytes()
    sound = read_sound(**made, classes=names(12)[:2])
    pd.testing.assert_frame_equal(pd.read_csv(table), sound.table, atol=5e-4, check_dtype=False)


def test_the_figure_and_its_table_are_of_one_reading(made, tmp_path, monkeypatch):
    read = []
    sound._overview.cache_clear()
    monkeypatch.setattr(
        sound, "read_sound", lambda *given: read.append(given) or read_sound(*given)
    )
    files = {option: made[option] for option in ("recordings", "problems")}
    files |= {f"{split}_store": path for split, path in made["stores"].items()}
    study = Study.of(settings_of_sound(names(12)[:2]))
    table = sound.table(**files, study=study)
    sound.draw(**files, study=study)
    assert len(read) == 1
    assert len(table) == 6

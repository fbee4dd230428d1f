"""The sound of the clips that a page lists."""

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from weakneg.audio.status_table import StatusRow, write_status
from weakneg.config.sections import AudioSettings
from weakneg.config.stages import OF_STORES
from weakneg.report import sounds

SETTINGS = AudioSettings(clip_seconds=1.0, mel_bins=32).model_dump(exclude=OF_STORES)


@pytest.fixture
def options(tmp_path):
    """A recording of one clip, one of three, one whose file is gone, and one that is not listed."""
    rows = []
    for name, seconds in {"short": 1.0, "long": 3.0, "gone": 1.0, "unlisted": 1.0}.items():
        path = tmp_path / f"{name}.wav"
        wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(22050 * seconds)) / 22050)
        soundfile.write(path, wave, 22050)
        rows.append(StatusRow(name, str(path), None, None, "ok", ""))
    (tmp_path / "gone.wav").unlink()
    write_status(tmp_path / "000.csv", rows)
    for table, ids in {"suspects": ["short", "gone"], "most_selected": ["long@1", "short"]}.items():
        ranked = pd.DataFrame({"rank": [1, 2], "id": ids})
        ranked.to_csv(tmp_path / f"{table}.csv", index=False)
    return {
        "status": [tmp_path / "000.csv"],
        "settings": SETTINGS,
        "suspects": tmp_path / "suspects.csv",
        "most_selected": tmp_path / "most_selected.csv",
        "output": tmp_path / "sounds.json",
    }


def test_the_listed_clips_that_can_be_read_are_heard_and_seen(options):
    sounds.cut_sounds(**options)
    found = json.loads(options["output"].read_text())
    assert [*found] == ["long@1", "short"]
    for parts in found.values():
        wave, rate = soundfile.read(io.BytesIO(base64.b64decode(parts["sound"])))
        assert len(wave) / rate == pytest.approx(1, abs=0.1)
        loudest = np.abs(np.fft.rfft(wave)).argmax() * rate / len(wave)
        assert loudest == pytest.approx(440, abs=5)
        picture = Image.open(io.BytesIO(base64.b64decode(parts["picture"])))
        assert picture.height == 32


def test_equal_sound_gives_equal_bytes(options, tmp_path):
    sounds.cut_sounds(**options)
    sounds.cut_sounds(**options | {"output": tmp_path / "again.json"})
    assert (tmp_path / "again.json").read_bytes() == options["output"].read_bytes()


def test_the_highest_ranks_come_first_where_there_is_no_room_for_all(options, monkeypatch):
    monkeypatch.setattr(sounds, "MOST_BYTES", 0)
    sounds.cut_sounds(**options)
    assert [*json.loads(options["output"].read_text())] == ["long@1"]

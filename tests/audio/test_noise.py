"""Background noise: a folder of recordings becomes clips of waveforms."""

import h5py
import numpy as np
import pytest
import torch
from sounds import RATE, noise, tone, write

from weakneg.audio.acquire.folder import audio_files
from weakneg.audio.noise import prepare_noise
from weakneg.audio.status_table import read_status
from weakneg.config.stages import NoiseClipSettings
from weakneg.errors import UserError
from weakneg.training.noise import open_noise

SETTINGS = NoiseClipSettings(sample_rate=RATE, clip_seconds=1.0, channel="mean")


@pytest.fixture
def folder(tmp_path):
    """Noise of 2.6 s, a stereo file at another rate in a folder below, and no sound."""
    (tmp_path / "noise" / "far").mkdir(parents=True)
    write(tmp_path / "noise" / "near.wav", noise(2.6))
    stereo = np.stack([tone(44_100, 0.4), -0.5 * tone(44_100, 0.4)], 1)
    write(tmp_path / "noise" / "far" / "stereo.WAV", stereo, 44_100)
    (tmp_path / "noise" / "readme.txt").write_text("not sound")
    (tmp_path / "noise" / "._near.wav").write_text("what a Mac puts beside near.wav")
    return tmp_path / "noise"


def prepare(folder, settings=SETTINGS):
    prepare_noise(settings, folder, folder.parent / "noise.csv", folder.parent / "noise.h5", 1)
    return folder.parent / "noise.h5"


def test_recordings_are_cut_resampled_and_mixed_to_one_channel(folder):
    with open_noise(prepare(folder), torch.device("cpu")) as found:
        [rows] = found.waveforms.batches([torch.arange(4)])
        assert found.length.tolist() == [6400, RATE, RATE, round(0.6 * RATE)]
    near = np.concatenate(
        [row[:n].numpy() for row, n in zip(rows[1:], found.length[1:], strict=True)]
    )
    # Each clip has mean 0.
    assert np.corrcoef(near, noise(2.6))[0, 1] > 0.999
    stereo = rows[0, :6400].numpy() / 32767
    assert np.abs(stereo - 0.25 * tone(RATE, 0.4))[100:-100].max() < 0.01
    assert not rows[0, 6400:].any()
    assert [row.id for row in read_status(folder.parent / "noise.csv")] == [
        "far/stereo.WAV",
        "near.wav",
    ]


def test_each_channel_is_a_clip_of_noise_where_each_is_heard(folder):
    each = SETTINGS.model_copy(update={"channel": "each"})
    with h5py.File(prepare(folder, each)) as file:
        assert file["channel"][...].tolist() == [1, 2, 1, 1, 1]


def test_what_cannot_be_used_is_named_and_left_out(folder, capsys):
    (folder / "bad.wav").write_bytes(b"RIFF, but no more")
    write(folder / "silent.wav", np.zeros(RATE, "f4"))
    with h5py.File(prepare(folder)) as file:
        assert len(file["waveform"]) == 4
    said = capsys.readouterr().err
    assert "noise that cannot be used: bad.wav (unreadable" in said
    assert "and 1 more" in said


def test_a_folder_without_usable_noise_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        audio_files(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no audio files"):
        audio_files(tmp_path / "empty")
    write(tmp_path / "empty" / "silent.wav", np.zeros(RATE, "f4"))
    with pytest.raises(UserError, match="empty holds no sound that can be used"):
        prepare(tmp_path / "empty")

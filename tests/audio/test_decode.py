"""Decoding: the sound of any file, or a reason why there is none."""

import math
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
import torch
import torchaudio
from sounds import RATE, bad_files, fake_ffmpeg, noise, read, reason, tone, write

from weakneg.audio import decode, ffmpeg, sources
from weakneg.audio.decode import open_audio, resample
from weakneg.audio.errors import AudioError
from weakneg.audio.ffmpeg import find_ffmpeg

needs_ffmpeg = pytest.mark.skipif(find_ffmpeg() is None, reason="ffmpeg is not installed")


def assert_is_the_tone(sound: decode.Sound, error: float) -> None:
    expected = tone()
    assert len(sound.waveform) == pytest.approx(RATE, abs=RATE * 0.06)  # codecs pad
    wave = sound.waveform[2000:14_000]  # some codecs begin late
    phases = np.exp(2j * np.pi * 440 / RATE * np.arange(len(wave)))
    amplitude = 2 * np.abs(wave @ phases) / len(wave)
    assert amplitude == pytest.approx(0.5, rel=error)
    assert wave.std() == pytest.approx(expected.std(), rel=error)  # and nothing else is in it


FORMATS = [
    ("wav", "PCM_16", 16_000, 1, 1e-3),
    ("wav", "PCM_U8", 8_000, 1, 2e-2),
    ("wav", "PCM_24", 96_000, 6, 1e-3),
    ("wav", "ULAW", 11_025, 1, 5e-2),
    ("flac", "PCM_16", 44_100, 2, 1e-3),
    ("ogg", "VORBIS", 44_100, 2, 2e-2),
    ("ogg", "OPUS", 48_000, 1, 2e-2),
    ("mp3", "MPEG_LAYER_III", 22_050, 1, 2e-2),
    ("aiff", "PCM_16", 22_050, 2, 1e-3),
    ("w64", "DOUBLE", 47_999, 1, 1e-3),
]


@pytest.mark.parametrize(("container", "subtype", "rate", "channels", "error"), FORMATS)
def test_any_container_rate_and_number_of_channels(
    tmp_path, container, subtype, rate, channels, error
):
    samples = np.repeat(tone(rate)[:, None], channels, axis=1)
    path = write(tmp_path / f"a.{container}", samples, rate, subtype=subtype)
    sound = read(path)
    assert sound.waveform.dtype == np.float32
    assert_is_the_tone(sound, error)
    assert sound.peak == pytest.approx(0.5, rel=0.25)  # codecs overshoot
    assert sound.level == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.3)


def test_channels_are_averaged(tmp_path):
    left, right = tone(), tone(hertz=3000)
    sound = read(write(tmp_path / "a.wav", np.stack([left, right], 1)))
    np.testing.assert_allclose(sound.waveform, (left + right) / 2, atol=1e-5)


def test_one_of_the_channels_can_be_chosen(tmp_path):
    quiet, loud = tone(), 1.5 * tone(hertz=3000)
    path = write(tmp_path / "a.wav", np.stack([quiet, loud, quiet - 0.2], 1))
    for channel, expected in (("first", quiet), ("loudest", loud)):
        with open_audio(path, RATE, channel=channel) as audio:
            np.testing.assert_allclose(audio.read(0.0, 1.0).waveform, expected, atol=1e-4)


def test_a_first_channel_that_is_silent_is_told_from_channels_that_cancel(tmp_path):
    path = write(tmp_path / "a.wav", np.stack([0 * tone(), tone()], 1))
    with open_audio(path, RATE, channel="first") as audio, pytest.raises(AudioError) as caught:
        audio.read(0.0, 1.0)
    assert caught.value.reason == "silent"
    assert "first channel" in str(caught.value)


def test_the_mean_is_removed(tmp_path):
    sound = read(write(tmp_path / "a.wav", tone() + 0.25))
    assert abs(sound.waveform.mean()) < 1e-6
    np.testing.assert_allclose(sound.waveform, tone(), atol=1e-4)


NAMES = ["-y.flac", "--help", "naïve ねこ.flac", " a b\t'\"$(x);&.flac", "http:x.flac", "%d.flac"]


@pytest.mark.parametrize("name", [*NAMES, "flac.mp3", "flac.raw", "flac.vox", "flac"])
def test_names_mean_nothing(tmp_path, monkeypatch, name):
    write(tmp_path / "whole.flac", tone(), subtype="PCM_16").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert_is_the_tone(read(name), 1e-3)


@pytest.mark.parametrize(
    ("rate", "new_rate"),
    [
        *((rate, RATE) for rate in (8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000)),
        *((RATE, 32_000), (1_009, 997), (997, 1_009)),
    ],
)
def test_resampling_is_that_of_torchaudio(rate, new_rate):
    x = np.random.default_rng(0).standard_normal(6_007)
    expected = torchaudio.functional.resample(torch.from_numpy(x), rate, new_rate)
    np.testing.assert_allclose(resample(x.astype("f4"), rate, new_rate), expected, atol=1e-5)


def test_resampling_between_rates_without_a_common_divisor_needs_little_memory():
    x = np.ones(96_001, np.float32)
    assert len(resample(x, 96_001, RATE)) == RATE  # the kernel of torchaudio would have 6 GB


def test_what_cannot_be_used_has_a_reason(tmp_path):
    bad = bad_files(tmp_path)
    opened = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    found = {name: reason(path) for name, (_, path) in bad.items()}
    assert found == {name: expected for name, (expected, _) in bad.items()}
    if opened:
        assert len(os.listdir("/proc/self/fd")) == opened


def test_a_part_is_read_alone(tmp_path, monkeypatch):
    samples = noise(60.0)
    path = write(tmp_path / "a.flac", samples, subtype="PCM_16")
    frames = []
    original = soundfile.SoundFile.read

    def spy(self, count, **how):
        frames.append(count)
        return original(self, count, **how)

    monkeypatch.setattr(soundfile.SoundFile, "read", spy)
    sound = read(path, start=41.5, end=43.25)
    assert frames == [28_000]
    expected = samples[664_000:692_000]
    np.testing.assert_allclose(sound.waveform, expected - expected.mean(), atol=1e-4)


@pytest.mark.parametrize("container", ["flac", "ogg", "mp3"])
def test_a_part_is_the_same_wherever_it_is(tmp_path, container):
    path = write(tmp_path / f"a.{container}", noise(20.0), subtype=None)
    whole = soundfile.read(path, dtype="float32")[0]
    for start in (0.5, 7.77, 18.9):
        expected = whole[round(start * RATE) :][:RATE]
        np.testing.assert_allclose(
            read(path, start, start + 1).waveform, expected - expected.mean(), atol=1e-6
        )


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_flac_decodes_to_the_numbers_of_libsndfile(tmp_path, subtype):
    samples = np.stack([noise(), tone()], 1)
    path = write(tmp_path / "a.flac", samples, subtype=subtype)
    with open_audio(path, RATE) as recording:
        got = recording.stretch(0.0, 1.0).samples
        part = recording.stretch(0.01, 0.98).samples
    expected = soundfile.read(path, dtype="float32")[0]
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(part, expected[160:-160])


def test_damaged_flac_gives_what_libsndfile_reads_of_it(tmp_path, monkeypatch):
    intact = write(tmp_path / "a.flac", noise(), subtype="PCM_16").read_bytes()
    path = tmp_path / "damaged.flac"
    rng = np.random.default_rng(0)

    def outcome() -> np.ndarray | str:
        try:
            return read(path).waveform
        except AudioError as error:
            return str(error)

    kinds = set()
    for _ in range(60):
        damaged = bytearray(intact)
        place = int(rng.integers(len(damaged)) if rng.random() < 0.5 else rng.integers(60))
        damage = rng.bytes(int(rng.integers(8)))  # none: cut there
        damaged[place : place + len(damage) if damage else None] = damage
        path.write_bytes(damaged)
        got = outcome()
        with monkeypatch.context() as patch:
            patch.setattr(sources, "_decode_flac", lambda file: np.empty((0, 0)))
            np.testing.assert_array_equal(got, outcome())
        kinds.add(type(got))
    assert kinds == {str, np.ndarray}


def test_a_part_ends_where_the_file_does(tmp_path):
    path = write(tmp_path / "a.wav", noise(3.0))
    assert len(read(path, start=2.0, end=9.0).waveform) == RATE
    with pytest.raises(AudioError, match=r"no sound from 3.5 s on") as error:
        read(path, start=3.5)
    assert error.value.reason == "empty"


# ---- ffmpeg --------------------------------------------------------------------------------------


@pytest.fixture
def aac(tmp_path) -> Path:
    """Three seconds, the second of which is the tone, in a container of videos."""
    wave = np.concatenate([noise(), tone(), noise(seed=1)])
    source = write(tmp_path / "source.wav", wave, subtype="PCM_16")
    path = tmp_path / "-a b.m4a"
    command = [find_ffmpeg(), "-v", "error", "-i", source, "-b:a", "128k", f"file:{path}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def without_ffmpeg(monkeypatch) -> None:
    monkeypatch.setattr(sources, "find_ffmpeg", lambda: None)


@needs_ffmpeg
def test_ffmpeg_reads_what_libsndfile_cannot(aac, monkeypatch):
    monkeypatch.chdir(aac.parent)
    assert_is_the_tone(read(aac.name, start=1.0, end=2.0), 2e-2)
    assert len(read(aac.name).waveform) == pytest.approx(3 * RATE, abs=2048)
    without_ffmpeg(monkeypatch)
    assert reason(aac) == "unreadable"


@needs_ffmpeg
def test_a_stream_that_does_not_tell_its_length(tmp_path):
    path = write(tmp_path / "a.flac", np.concatenate([noise(), tone()]), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the total number of samples has 36 bits
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert soundfile.info(path).frames > 1 << 60
    assert len(read(path).waveform) == 2 * RATE
    assert_is_the_tone(read(path, start=1.0), 1e-3)


@needs_ffmpeg
def test_ffmpeg_follows_no_playlist(tmp_path):
    write(tmp_path / "secret.wav", tone(), subtype="PCM_16")
    for address in (tmp_path / "secret.wav", "http://127.0.0.1:9/x.ts", "secret.wav"):
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n"
        (tmp_path / "list.m3u8").write_text(playlist)
        assert reason(tmp_path / "list.m3u8") == "unreadable"
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile secret.wav\n")
    assert reason(tmp_path / "list.ffconcat") == "unreadable"


def test_an_ffmpeg_that_hangs_is_ended(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"no sound" * 100)
    fake_ffmpeg(monkeypatch, tmp_path, "exec sleep 60")
    monkeypatch.setattr(ffmpeg, "_QUIET_SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(AudioError, match="ffmpeg gave no sound within") as error:
        read(tmp_path / "a.m4a")
    assert error.value.reason == "unreadable"
    assert time.monotonic() - began < 30


def test_of_what_ffmpeg_says_a_line_is_kept(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"no sound" * 100)
    fake_ffmpeg(monkeypatch, tmp_path, "echo broken >&2; yes aaaaaaaa | head -100000 >&2; exit 1")
    with pytest.raises(AudioError, match=r"\(broken\)$"):
        read(tmp_path / "a.m4a")


def test_ffmpeg_leaves_nothing_behind(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"no sound" * 100)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    whole = write(tmp_path / "whole.au", tone(seconds=20.0), endian="BIG")
    fake_ffmpeg(monkeypatch, tmp_path, f'cat "{whole}"; exec sleep 60')
    before = children()  # of other tests in this process
    with open_audio(tmp_path / "a.m4a", RATE) as recording:
        assert_is_the_tone(recording.read(0.0, 1.0), 1e-3)
        assert len(children() - before) == 1
    assert children() <= before
    assert list((tmp_path / "temporary").iterdir()) == []


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())

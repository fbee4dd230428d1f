"""Sound: any file becomes the same log-mels as in PSLA, or a recorded reason why it does not."""

import csv
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from by_position import compute_shard
from workspace import ROOT

from weakneg.audio import decode
from weakneg.audio.clips import _PIECE, clips_of, cut, in_order
from weakneg.audio.decode import AudioError, find_ffmpeg, open_audio, resample
from weakneg.audio.mel import WINDOWS, LogMel
from weakneg.audio.recordings import Recording
from weakneg.audio.status_table import StatusRow
from weakneg.bags.manifest import list_clips, read_bags
from weakneg.config.sections import AudioSettings
from weakneg.errors import UserError
from weakneg.features.from_shards import PSLA_MEAN, PSLA_STD
from weakneg.features.from_shards import join as join_features
from weakneg.features.store import open_store, read_store
from weakneg.io.hdf5 import content_digest
from weakneg.training.data import BagData

RATE = 16_000
SETTINGS = AudioSettings(clip_seconds=1.0).model_dump(exclude={"statistics"})
TEN_SECONDS = AudioSettings().model_dump(exclude={"statistics"})
PSLA = LogMel.of(TEN_SECONDS)

needs_ffmpeg = pytest.mark.skipif(find_ffmpeg() is None, reason="ffmpeg is not installed")


def tone(rate: int = RATE, seconds: float = 1.0, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype("f4")


def noise(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(RATE * seconds)).astype("f4")


def write(path: Path, samples: np.ndarray, rate: int = RATE, **how: str) -> Path:
    soundfile.write(str(path), samples, rate, **({"subtype": "FLOAT"} | how))
    return path


def read(path: str | os.PathLike, start=None, end=None) -> decode.Sound:
    """The whole of a file, or of its part."""
    with open_audio(path, RATE, start, end) as recording:
        return recording.read(0.0, recording.seconds)


def reason(path: str | os.PathLike) -> str:
    """Why a file cannot be used."""
    with pytest.raises(AudioError) as error:
        read(path)
    return error.value.reason


def assert_is_the_tone(sound: decode.Sound, error: float) -> None:
    expected = tone()
    assert len(sound.waveform) == pytest.approx(RATE, abs=RATE * 0.06)  # codecs pad
    wave = sound.waveform[2000:14_000]  # some codecs begin late
    phases = np.exp(2j * np.pi * 440 / RATE * np.arange(len(wave)))
    amplitude = 2 * np.abs(wave @ phases) / len(wave)
    assert amplitude == pytest.approx(0.5, rel=error)
    assert wave.std() == pytest.approx(expected.std(), rel=error)  # and nothing else is in it


# ---- decoding ----------------------------------------------------------------------------------

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


def bad_files(folder: Path) -> dict[str, tuple[str, Path]]:
    """What is wrong -> the reason that is given, and a file."""

    def raw(name: str, content: bytes) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    flac = write(folder / "whole.flac", noise(0.9), subtype="PCM_16").read_bytes()
    wav = write(folder / "whole.wav", tone(), subtype="PCM_16").read_bytes()
    fast = wav[:24] + (2**31 - 1).to_bytes(4, "little") + wav[28:]
    with_nan, with_infinity = tone(), tone()
    with_nan[5], with_infinity[7] = np.nan, -np.inf
    os.mkfifo(folder / "fifo")
    return {
        "missing": ("missing", folder / "nowhere.wav"),
        "a name that no file can have": ("unreadable", folder / ("x" * 300)),
        "a folder": ("missing", folder),
        "a pipe": ("missing", folder / "fifo"),
        "no bytes": ("empty", raw("empty.wav", b"")),
        "no samples": ("empty", write(folder / "none.wav", np.zeros(0, "f4"))),
        "a page of the web": ("unreadable", raw("page.mp3", b"<html>404 not found</html>" * 99)),
        "random bytes": ("unreadable", raw("random.wav", os.urandom(5000))),
        "a cut header": ("unreadable", raw("header.wav", wav[:20])),
        "cut short": ("unreadable", raw("cut.flac", flac[: len(flac) // 2])),
        "a rate of gigahertz": ("unreadable", raw("fast.wav", fast)),
        "zeros": ("silent", write(folder / "zeros.wav", np.zeros(RATE, "f4"))),
        "a constant": ("silent", write(folder / "constant.wav", np.full(RATE, 0.3, "f4"))),
        "opposite channels": (
            "silent",
            write(folder / "opposite.wav", np.stack([tone(), -tone()], 1)),
        ),
        "NaN": ("not_finite", write(folder / "nan.wav", with_nan)),
        "infinite": ("not_finite", write(folder / "infinite.wav", with_infinity)),
    }


def test_what_cannot_be_used_has_a_reason(tmp_path):
    bad = bad_files(tmp_path)
    opened = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    found = {name: reason(path) for name, (_, path) in bad.items()}
    assert found == {name: expected for name, (expected, _) in bad.items()}
    if opened:
        assert len(os.listdir("/proc/self/fd")) == opened


@pytest.mark.parametrize("samples", [1, 399])
def test_less_than_a_frame_is_too_short(tmp_path, samples):
    path = write(tmp_path / "a.wav", noise()[:samples] + tone()[:samples] + 0.1)
    ((_, error),) = clips_of(path, SETTINGS)
    assert error.reason == ("silent" if samples == 1 else "too_short")


def test_a_sound_beyond_all_measure_is_not_finite(tmp_path):
    ((_, error),) = clips_of(write(tmp_path / "a.wav", 1e25 * noise()), SETTINGS)
    assert error.reason == "not_finite"


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
        got = recording._samples(0, RATE)
        part = recording._samples(100, RATE - 200)
    expected = soundfile.read(path, dtype="float32")[0]
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(part, expected[100:-100])


def test_damaged_flac_gives_what_libsndfile_reads_of_it(tmp_path, monkeypatch):
    intact = write(tmp_path / "a.flac", noise(), subtype="PCM_16").read_bytes()
    path = tmp_path / "damaged.flac"
    rng = np.random.default_rng(0)

    def outcome() -> np.ndarray | str:
        try:
            with open_audio(path, RATE) as recording:
                return recording.read(0.0, 1.0).waveform
        except AudioError as error:
            return str(error)

    kinds = set()
    for _ in range(150):
        damaged = bytearray(intact)
        place = int(rng.integers(len(damaged)) if rng.random() < 0.5 else rng.integers(60))
        damage = rng.bytes(int(rng.integers(8)))  # none: cut there
        damaged[place : place + len(damage) if damage else None] = damage
        path.write_bytes(damaged)
        got = outcome()
        with monkeypatch.context() as patch:
            patch.setattr(decode, "_decode_flac", lambda file: np.empty((0, 0)))
            np.testing.assert_array_equal(got, outcome())
        kinds.add(type(got))
    assert kinds == {str, np.ndarray}


def test_a_part_ends_where_the_file_does(tmp_path):
    path = write(tmp_path / "a.wav", noise(3.0))
    assert len(read(path, start=2.0, end=9.0).waveform) == RATE
    with pytest.raises(AudioError, match=r"no sound from 3.5 s on") as error:
        read(path, start=3.5)
    assert error.value.reason == "empty"


# ---- ffmpeg ------------------------------------------------------------------------------------


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
    monkeypatch.setattr(decode, "find_ffmpeg", lambda: None)


def fake_ffmpeg(monkeypatch, folder: Path, script: str) -> None:
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(decode, "find_ffmpeg", lambda: str(path))


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


@needs_ffmpeg
def test_what_ffmpeg_decodes_is_bounded(aac, monkeypatch):
    monkeypatch.setattr(decode, "_CONVERSION_BYTES", 50_000)
    with pytest.raises(AudioError, match="more than") as error:
        read(aac)
    assert error.value.reason == "unreadable"


def test_a_conversion_that_hangs_is_ended(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"no sound" * 100)
    fake_ffmpeg(monkeypatch, tmp_path, "exec sleep 60")
    monkeypatch.setattr(decode, "_CONVERSION_SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(AudioError, match="not converted by ffmpeg within") as error:
        read(tmp_path / "a.m4a")
    assert error.value.reason == "unreadable"
    assert time.monotonic() - began < 30


def test_of_what_ffmpeg_says_a_line_is_kept(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"no sound" * 100)
    fake_ffmpeg(monkeypatch, tmp_path, "echo broken >&2; yes aaaaaaaa | head -100000 >&2; exit 1")
    with pytest.raises(AudioError, match=r"\(broken\)$"):
        read(tmp_path / "a.m4a")


def test_a_full_disk_is_no_fault_of_the_recording(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"no sound" * 100)
    fake_ffmpeg(monkeypatch, tmp_path, "exit 1")
    assert reason(tmp_path / "a.m4a") == "unreadable"
    monkeypatch.setattr(decode, "_NO_ROOM_BYTES", math.inf)
    status = write_status(tmp_path / "s.csv", [ok("a", tmp_path / "a.m4a")])
    with pytest.raises(UserError, match=r"no room for temporary files in .*: make room"):
        compute_shard(status, SETTINGS, tmp_path / "s.h5", 1)


def test_conversions_leave_nothing_behind(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"no sound" * 100)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    whole = write(tmp_path / "whole.wav", tone())
    fake_ffmpeg(monkeypatch, tmp_path, f'for last; do :; done; cp "{whole}" "${{last#file:}}"')
    assert_is_the_tone(read(tmp_path / "a.m4a"), 1e-3)
    assert list((tmp_path / "temporary").iterdir()) == []


# ---- log-mels ----------------------------------------------------------------------------------


def kaldi(waveform: torch.Tensor, mel: LogMel = PSLA) -> torch.Tensor:
    return torchaudio.compliance.kaldi.fbank(
        waveform[None],
        htk_compat=True,
        sample_frequency=mel.sample_rate,
        use_energy=False,
        window_type=mel.window,
        num_mel_bins=mel.mel_bins,
        dither=0.0,
        frame_length=mel.frame_length_ms,
        frame_shift=mel.frame_shift_ms,
    )


def test_real_sound_gives_the_log_mels_of_kaldi(esc10):
    for path in esc10[::12]:
        waveform = torch.from_numpy(read(path).waveform)
        torch.testing.assert_close(PSLA(waveform), kaldi(waveform), rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def esc10() -> list[Path]:
    folder = Path(os.environ.get("WEAKNEG_DATA", "")) / "esc10"
    files = sorted(folder.glob("*/*.ogg"))
    if "WEAKNEG_DATA" not in os.environ or not files:
        pytest.skip("ESC-10 is not in the folder that WEAKNEG_DATA names")
    return files


def synthetic() -> torch.Tensor:
    """(5, 160000) a tone, a sweep, noise, clicks in silence, and a loud offset."""
    t = torch.arange(160_000) / RATE
    generator = torch.Generator().manual_seed(0)
    whitenoise = torch.randn(160_000, generator=generator)
    clicks = (torch.arange(160_000) % 4001 == 0).float()
    sweep = torch.sin(2 * torch.pi * (50 * t + 390 * t**2))
    return torch.stack([torch.sin(2764.6 * t), sweep, whitenoise / 4, clicks, whitenoise / 99 + 1])


@pytest.mark.parametrize(
    "mel",
    [
        *(LogMel(RATE, 128, 25.0, 10.0, window) for window in WINDOWS),
        LogMel(32_000, 64, 32.0, 10.0, "hanning"),
        LogMel(22_050, 40, 25.0, 12.5, "hamming"),
        LogMel(8_000, 8, 10.0, 10.0, "povey"),
    ],
    ids=str,
)
def test_synthetic_sound_gives_the_log_mels_of_kaldi(mel):
    for waveform in synthetic():
        torch.testing.assert_close(mel(waveform), kaldi(waveform, mel), rtol=0, atol=1e-4)


@pytest.mark.parametrize("level", [0.0, 1e-12, 1e-9, 3e-7, 1e-3])
def test_digital_silence_makes_no_subnormal_numbers(level):
    """A processor takes fifty times as long with them: zeros, less the mean of their clip."""
    waveform = torch.full((RATE,), level)
    torch.testing.assert_close(PSLA(waveform), kaldi(waveform), rtol=0, atol=1e-4)
    squares = []
    original = torch.Tensor.square_

    def spy(self):
        squares.append(original(self))
        return squares[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "square_", spy)
        PSLA(waveform)
    found = torch.cat([each.flatten() for each in squares])
    subnormal = (found > 0) & (found < torch.finfo(torch.float32).tiny)
    assert subnormal.float().mean() < 0.01


def test_ten_seconds_are_998_frames():
    assert PSLA(torch.randn(160_000)).shape == (998, 128)
    assert PSLA.n_frames(160_000) == 998
    assert [PSLA.n_frames(samples) for samples in (0, 399, 400, 559, 560)] == [0, 0, 1, 1, 2]


def test_a_batch_gives_what_its_waveforms_give():
    waveforms = synthetic()
    torch.testing.assert_close(
        PSLA(waveforms), torch.stack([PSLA(each) for each in waveforms]), rtol=0, atol=0
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_log_mels_of_kaldi():
    waveforms = synthetic()
    expected = torch.stack([kaldi(each) for each in waveforms])
    found = PSLA(waveforms.cuda()).cpu()
    # In single precision a bin 90 dB below the loudest of its frame is rounding, Kaldi's too.
    audible = expected > expected.amax(-1, keepdim=True) - 9 * math.log(10)
    torch.testing.assert_close(found[audible], expected[audible], rtol=0, atol=1e-4)
    assert audible.float().mean() > 0.5


def test_frames_shorter_than_samples_are_refused():
    with pytest.raises(UserError, match=r"frame_shift_ms 0\.01 is too short for 16000 Hz"):
        LogMel(RATE, 128, 25.0, 0.01, "hanning")


# ---- clips -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "hop", "clips"),
    [
        (10, 10, [(0, 10)]),
        (0.5, 10, [(0, 0.5)]),  # the only one
        (14, 10, [(0, 10)]),
        (15, 10, [(0, 10), (10, 15)]),
        (20, 10, [(0, 10), (10, 20)]),
        (20, 5, [(0, 10), (5, 15), (10, 20)]),
        (13, 5, [(0, 10), (5, 13)]),
        (35, 20, [(0, 10), (20, 30)]),
        (46, 20, [(0, 10), (20, 30), (40, 46)]),
    ],
)
def test_long_recordings_are_cut(seconds, hop, clips):
    assert cut(seconds, 10, hop) == clips


def test_a_clip_of_a_long_recording_is_what_the_part_alone_gives(tmp_path):
    samples = noise(5.7)
    long = write(tmp_path / "long.wav", samples)
    settings = SETTINGS | {"hop_seconds": 0.75}
    clips = dict(clips_of(long, settings, start=0.5, end=5.5))
    assert list(clips) == ["@0", "@0.75", "@1.5", "@2.25", "@3", "@3.75", "@4.5"]
    assert [clip.end - clip.start for clip in clips.values()] == [1, 1, 1, 1, 1, 1, 0.5]
    for suffix, clip in clips.items():
        begin = round(RATE * (0.5 + float(suffix[1:])))
        part = samples[begin : min(begin + RATE, round(5.5 * RATE))]
        ((_, alone),) = clips_of(write(tmp_path / "part.wav", part), settings)
        np.testing.assert_array_equal(clip.log_mel, alone.log_mel)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_clips_at_odd_times_are_whole(tmp_path, rate):
    """No clip is a sample too long, and none is taken for cut short."""
    path = write(tmp_path / "a.wav", noise(3.0), rate)
    settings = SETTINGS | {"clip_seconds": 0.3337, "hop_seconds": 0.1111}
    for _, clip in clips_of(path, settings):
        assert len(clip.sound.waveform) <= math.ceil(0.3337 * RATE)
        assert len(clip.sound.waveform) == pytest.approx((clip.end - clip.start) * RATE, abs=2)


# ---- shards ------------------------------------------------------------------------------------


def write_status(path: Path, rows: list[tuple]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(StatusRow._fields)
        writer.writerows(rows)
    return path


def ok(recording: str, path: Path, start="", end="") -> tuple:
    return recording, path, start, end, "ok", ""


def texts(values: h5py.Dataset) -> list:
    return np.char.decode(values[...], "utf-8").tolist()


@pytest.fixture(scope="module")
def shard(tmp_path_factory) -> Path:
    """Good sound and bad, and a long recording with a silent second."""
    folder = tmp_path_factory.mktemp("shard")
    silence = np.zeros(RATE, "f4")
    write(folder / "long.wav", np.concatenate([noise(), silence, tone(seconds=1.6)]))
    write(folder / "short.wav", noise(0.3))
    write(folder / "loud.wav", (5 * tone()).clip(-1, 1))
    rows = [
        ("-gone", "", "", "", "private", "This video is private, so\nsorry"),
        ok("-1 ねこ, 'x'", folder / "short.wav"),
        ok("long", folder / "long.wav"),
        ok("loud", folder / "loud.wav", 0.25, 1),
        *(ok(f"bad: {name}", path) for name, (_, path) in bad_files(folder).items()),
        ok("part", folder / "long.wav", 2.5, 3.1),
    ]
    output = folder / "000.h5"
    status = write_status(folder / "status.csv", rows)
    compute_shard(status, SETTINGS | {"waveform": True}, output, threads=2)
    return output


def test_a_shard_holds_every_clip_with_sound_in_the_order_of_the_list(shard):
    with h5py.File(shard) as file:
        assert file["x"].dtype == np.float16
        assert file["x"].chunks == (1, 98, 128)
        clips = ["-1 ねこ, 'x'", "long@0", "long@2", "long@3", "loud", "part"]
        assert texts(file["id"]) == clips
        assert texts(file["recording"]) == [clip.split("@")[0] for clip in clips]
        assert file["start"][...].tolist() == [0, 0, 2, 3, 0, 0]
        np.testing.assert_allclose(file["end"], [0.3, 1, 3, 3.6, 0.75, 0.6])
        assert file["length"][...].tolist() == [28, 98, 98, 58, 73, 58]
        assert file.attrs["n_recordings"] == 5 + 16


def test_rows_hold_sound_and_zeros_behind_it(shard):
    with h5py.File(shard) as file:
        for x, length in zip(file["x"][...], file["length"], strict=True):
            assert not x[length:].any()
            assert (x[:length] != 0).any(1).all()
        samples = soundfile.read(shard.parent / "short.wav", dtype="float32")[0]
        expected = PSLA(torch.from_numpy(samples - samples.mean())).half().numpy()
        np.testing.assert_array_equal(file["x"][0, :28], expected)


def test_a_shard_says_what_is_wrong_with_which(shard):
    with h5py.File(shard) as file:
        problems = {name: rest for name, *rest in texts(file["problems"])}
    bad = {
        "missing": 3,
        "unreadable": 6,
        "empty": 2,
        "silent": 3,
        "not_finite": 2,
    }
    reasons = [text.split(":")[0] for name, (text, _) in problems.items() if name[:4] == "bad:"]
    assert {reason: reasons.count(reason) for reason in reasons} == bad
    assert problems["-gone"] == ["private: This video is private, so\nsorry", "excluded"]
    assert problems["long@1"] == ["silent: no sound louder than -100 dBFS", "excluded"]
    text, consequence = problems["loud"]
    assert text.startswith("clipped: ")
    assert consequence == "kept"
    assert {rest[1] for name, rest in problems.items() if name != "loud"} == {"excluded"}
    assert len(problems) == 16 + 3


def test_statistics_are_those_of_the_frames_with_sound(shard):
    with h5py.File(shard) as file:
        rows = zip(file["x"][...], file["length"], strict=True)
        real = np.concatenate([x[:length].ravel() for x, length in rows]).astype(float)
        assert file["count"][()] == len(real)
        assert file["sum"][()] == pytest.approx(real.sum())
        assert file["sum_of_squares"][()] == pytest.approx(np.square(real).sum())


def test_waveforms_are_kept_in_16_bits(shard):
    with h5py.File(shard) as file:
        samples = soundfile.read(shard.parent / "short.wav", dtype="float32")[0]
        waveform = file["waveform"][0]
        assert file["waveform"].dtype == np.int16
        error = waveform[:4800] / 32767 - (samples - samples.mean())
        assert np.abs(error).max() < 1 / 32767
        assert not waveform[4800:].any()
        assert file["peak"][4] == 1.0
        assert file["level"][0] == pytest.approx(20 * math.log10(samples.std()), abs=1e-3)


def test_the_same_sound_gives_the_same_bytes(shard, tmp_path):
    time.sleep(1.1)  # another second
    again = tmp_path / "again.h5"
    compute_shard(shard.parent / "status.csv", SETTINGS | {"waveform": True}, again, threads=1)
    assert again.read_bytes() == shard.read_bytes()


def test_clips_are_padded_or_cut_to_the_frames_asked_for(tmp_path):
    status = write_status(tmp_path / "s.csv", [ok("a", write(tmp_path / "a.wav", noise(12.0)))])
    for frames, length in ((1056, 998), (500, 500), (None, 998)):
        compute_shard(status, TEN_SECONDS | {"frames": frames}, tmp_path / "s.h5", 1)
        with h5py.File(tmp_path / "s.h5") as file:
            assert file["x"].shape == (1, frames or 998, 128)
            assert file["length"][...].tolist() == [length]
            assert file["count"][()] == length * 128


def test_no_more_is_computed_than_is_soon_written():
    """However long the list and the recordings are, memory holds some pieces."""
    begun, made = [], []

    def source(number: int):
        begun.append(number)
        for item in range(200):
            made.append((number, item))
            yield number, item

    items = []
    ordered = in_order((source(number) for number in range(20)), threads=2)
    for used, item in enumerate(ordered):
        assert len(begun) - item[0] <= 2 * 2 + 1
        assert len(made) - used <= (2 * 2 + 1) * _PIECE
        items.append(item)
    assert items == [(number, item) for number in range(20) for item in range(200)]


def test_progress_is_reported(tmp_path, capsys):
    sounds = [ok("a", write(tmp_path / "a.wav", noise())), ok("b", tmp_path / "a.wav")]
    compute_shard(write_status(tmp_path / "s.csv", sounds), SETTINGS, tmp_path / "s.h5", 1)
    assert "s.h5: 2 of 2 recordings" in capsys.readouterr().err


FULL_DISK = """
import resource, signal, sys
from weakneg.audio.shards import compute_shard
from weakneg.config.stages import ShardSettings
from weakneg.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    compute_shard(sys.argv[1], ShardSettings(**{settings}), sys.argv[2], 2)
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [100_000, 2_900_000])
def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(tmp_path, limit):
    path = write(tmp_path / "a.wav", noise(80.0))
    status = write_status(tmp_path / "status.csv", [ok("a", path)])
    output = tmp_path / "shards" / "000.h5"
    code = FULL_DISK.replace("{settings}", repr(SETTINGS))
    done = subprocess.run(
        [sys.executable, "-c", code, status, output, str(limit)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{output} cannot be written (File too large): make room and run again.\n"
    assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,path,start,end,status\n", "has no column message"),
        ("id,path,start,end,status,message\na,b,x,,ok,\n", "line 2: could not convert"),
        ("\xff", "cannot be read"),
    ],
)
def test_a_status_table_that_is_not_one_is_an_error(tmp_path, text, message):
    (tmp_path / "s.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=message):
        compute_shard(tmp_path / "s.csv", SETTINGS, tmp_path / "s.h5", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["s.csv"]


# ---- stores ------------------------------------------------------------------------------------

CLASSES = ("Bark, loud", "Hum", "Rain")
LISTED = [
    ("a", "train", "a.wav", "", "", "Hum;Rain", "", ""),
    ("b", "train", "b.wav", "", "", "Hum", "", ""),
    ("c", "train", "c.wav", "100", "103.7", "Bark, loud;Rain", "EVENTS", ""),
    ("gone", "train", "", "", "", "Hum", "", ""),
    ("d", "test", "d.wav", "", "", "", "", ""),
    ("e", "test", "e.wav", "", "", "Rain", "", ""),
]
EVENTS = [["Bark, loud", 100.2, 100.9], ["Rain", 100.95, 102.0], ["Bark, loud", 103.1, 103.1]]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A folder with shards, stores, the list and the problems."""
    folder = tmp_path_factory.mktemp("results")
    for number, row in enumerate(LISTED):
        seconds = 3.7 if row[0] == "c" else 0.8
        write(folder / f"{row[0]}.wav", noise(seconds, seed=number) * (1 + number))
    write_list(folder / "recordings.csv", LISTED)
    shards = {"train": [["a", "b"], ["gone"], ["c"]], "test": [["d", "e"]]}
    for split, parts in shards.items():
        for number, part in enumerate(parts):
            rows = [
                ("gone", "", "", "", "removed", "")
                if name == "gone"
                else ok(name, folder / f"{name}.wav")
                for name in part
            ]
            status = write_status(folder / "status.csv", rows)
            output = folder / "features" / "shards" / split / f"{number:03}.h5"
            compute_shard(status, SETTINGS | {"waveform": True}, output, 1)
    join(folder)
    return folder


def write_list(path: Path, rows: list[tuple]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(Recording._fields)
        for row in rows:
            writer.writerow([json.dumps(EVENTS) if cell == "EVENTS" else cell for cell in row])


def join(folder: Path, settings: dict | None = None, classes=CLASSES, recordings=None) -> None:
    shards = folder / "features" / "shards"
    join_features(
        recordings or folder / "recordings.csv",
        {split: sorted((shards / split).glob("*.h5")) for split in ("train", "test")},
        classes,
        SETTINGS | {"waveform": True, "statistics": "training"} | (settings or {}),
        *(folder / "features" / name for name in ("train.h5", "test.h5", "problems.csv")),
    )


def test_a_store_joins_its_shards(results):
    store = read_store(results / "features" / "train.h5")
    assert store.kind == "spectrograms"
    assert store.class_names == CLASSES
    assert store.id.tolist() == ["a", "b", "c@0", "c@1", "c@2", "c@3"]
    assert store.length.tolist() == [78, 78, 98, 98, 98, 68]
    assert store.start.tolist() == [0, 0, 100, 101, 102, 103]
    assert store.parameters["split"] == "train"
    assert store.x.dtype == np.float16
    parts = []
    for path in sorted((results / "features" / "shards" / "train").iterdir()):
        with h5py.File(path) as file:
            parts.append(file["x"][...])
    np.testing.assert_array_equal(store.x, np.concatenate(parts))
    with open_store(results / "features" / "train.h5") as opened:
        np.testing.assert_array_equal(opened.x[4], store.x[4])
        np.testing.assert_array_equal(opened.x[1:4:2], store.x[1:4:2])
        assert opened.waveform.shape == (6, RATE)
        assert opened.waveform[2].any()
    with h5py.File(results / "features" / "train.h5") as file:
        assert texts(file["recording"]) == ["a", "b", "c", "c", "c", "c"]


def test_the_digest_of_a_store_is_that_of_what_its_shards_hold(results, tmp_path):
    def digests(folder: Path) -> list[str]:
        with open_store(folder / "features" / "train.h5") as store:
            return [content_digest(store.x), content_digest(store.waveform)]

    before = digests(results)
    copied = Path(shutil.copytree(results, tmp_path / "copied"))
    assert digests(copied) == before
    shards = copied / "features" / "shards" / "train"
    write(copied / "a.wav", noise(0.8, seed=99))  # as long as it was
    status = write_status(copied / "s.csv", [ok(name, copied / f"{name}.wav") for name in "ab"])
    compute_shard(status, SETTINGS | {"waveform": True}, shards / "000.h5", 1)
    assert not set(digests(copied)) & set(before)
    (shards / "002.h5").unlink()
    with pytest.raises(UserError, match=r"train/002\.h5 is missing"):
        digests(copied)


@pytest.mark.parametrize("resident_bytes", [None, 0], ids=["resident", "streamed"])
def test_bags_of_a_joined_store_are_the_rows_of_its_shards(results, tmp_path, resident_bytes):
    list_clips(results / "features" / "train.h5", tmp_path / "train.csv")
    with open_store(results / "features" / "train.h5") as store:
        bags = read_bags(tmp_path / "train.csv", store, "Hum")[0]
        data = BagData(store, bags, torch.device("cpu"), resident_bytes)
        rows = torch.tensor([5, 0, 1, 2, 2])
        ((x, _),) = data.inputs([rows])
        (waveform,) = data.waveforms([rows])
        np.testing.assert_array_equal(x[:, 0], store.x[...][rows])
        np.testing.assert_array_equal(waveform, store.waveform[...][rows])
        log_mel = LogMel.of(data.audio)(waveform[1:3] / 32767)  # of those that are not too loud
        real = slice(None, store.length[0])
    np.testing.assert_allclose(log_mel[:, real], x[1:3, 0, real].float(), atol=0.05)


def test_a_clip_has_the_labels_of_the_events_that_overlap_it(results):
    train, test = (read_store(results / "features" / f"{split}.h5") for split in ("train", "test"))
    assert train.y.tolist() == [[0, 1, 1], [0, 1, 0], [1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert test.y.tolist() == [[0, 0, 0], [0, 0, 1]]


def test_both_stores_carry_the_statistics_of_training(results):
    train, test = (read_store(results / "features" / f"{split}.h5") for split in ("train", "test"))
    real = np.concatenate(
        [x[:n].ravel() for x, n in zip(train.x, train.length, strict=True)]
    ).astype(float)
    for store in (train, test):
        np.testing.assert_allclose(store.mean, [real.mean()])
        np.testing.assert_allclose(store.std, [real.std()])


def test_the_statistics_of_psla_are_an_option(results, tmp_path):
    folder = Path(shutil.copytree(results, tmp_path / "copy"))
    join(folder, {"statistics": "psla"})
    store = read_store(folder / "features" / "test.h5")
    assert (store.mean.tolist(), store.std.tolist()) == ([PSLA_MEAN], [PSLA_STD])


def test_problems_are_listed(results):
    rows = list(csv.reader((results / "features" / "problems.csv").open()))
    assert rows[:2] == [
        ["split", "id", "problem", "consequence"],
        ["train", "gone", "removed", "excluded"],
    ]
    assert all(row[2].startswith("clipped") for row in rows[2:])


def test_results_can_be_moved(results, tmp_path, monkeypatch):
    expected = read_store(results / "features" / "train.h5").x
    shutil.copytree(results / "features", tmp_path / "somewhere" / "else")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(read_store("somewhere/else/train.h5").x, expected)


def test_of_a_missing_shard_there_are_no_zeros(results, tmp_path):
    shutil.copytree(results / "features", tmp_path / "f")
    (tmp_path / "f" / "shards" / "train" / "002.h5").unlink()
    x = read_store(tmp_path / "f" / "train.h5").x
    assert np.isnan(x[2:]).all()
    assert not np.isnan(x[:2]).any()


def test_the_same_shards_give_the_same_bytes(results, tmp_path):
    before = (results / "features" / "train.h5").read_bytes()
    folder = Path(shutil.copytree(results, tmp_path / "copy"))
    time.sleep(1.1)
    join(folder)
    assert (folder / "features" / "train.h5").read_bytes() == before


def test_what_does_not_belong_together_is_an_error(results, tmp_path):
    folder = Path(shutil.copytree(results, tmp_path / "copy"))
    train = folder / "features" / "shards" / "train"

    def message(**changes) -> str:
        with pytest.raises(UserError) as error:
            join(folder, **changes)
        return str(error.value).replace(str(tmp_path), "")

    def listed(change) -> Path:
        write_list(tmp_path / "list.csv", change(LISTED))
        return tmp_path / "list.csv"

    assert "000.h5 was made with other settings" in message(settings={"mel_bins": 64})
    assert "line 2: 'Rain' is not one of the classes" in message(classes=CLASSES[:2])
    twice = listed(lambda rows: [*rows, rows[0]])
    assert "line 8: the id 'a' occurs twice" in message(recordings=twice)
    less = listed(lambda rows: rows[1:])
    assert "the 4 recordings in the shards of the train split are not the 3" in message(
        recordings=less
    )
    other = listed(lambda rows: [("z", *rows[0][1:]), *rows[1:]])
    assert "are not the 4 of its list" in message(recordings=other)
    wrong = listed(lambda rows: [(*rows[0][:6], '[["Hum", "x"]]', "")])
    assert "line 2: events cannot be read" in message(recordings=wrong)
    (tmp_path / "list.csv").write_text("id,split\n")
    assert "has no column file" in message(recordings=tmp_path / "list.csv")
    (train / "001.h5").write_bytes(b"x")
    assert "001.h5 is missing or no shard of features" in message()
    shutil.copy(train / "002.h5", train / "001.h5")
    assert "two clips of the train split have the id 'c@0'" in message()
    for path in train.iterdir():
        if path.name != "001.h5":
            path.unlink()
    shutil.copy(results / "features" / "shards" / "train" / "001.h5", train / "001.h5")
    assert "the train split has no clip whose sound could be used" in message()
    assert "could be used; most often (1 times, first of 'gone'): removed." in message()

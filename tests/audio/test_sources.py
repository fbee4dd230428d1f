"""The samples of a file: what decoding gives, whatever the header says and whatever is damaged."""

import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import ALL, RATE, SETTINGS, noise, write

from weakneg.audio import sources
from weakneg.audio.clips import Clip, clips_of
from weakneg.audio.decode import open_audio
from weakneg.audio.ffmpeg import find_ffmpeg
from weakneg.audio.lengths import Chunk, sound_chunk

pytestmark = pytest.mark.skipif(find_ffmpeg() is None, reason="ffmpeg is not installed")


def encode(path: Path, seconds: float, *options: str, seed: int = 0) -> Path:
    """Noise, encoded by ffmpeg; its loudness changes, so that bit rates do."""
    loudness = 1 + 0.8 * np.sin(np.arange(round(seconds * RATE)) * 4 / RATE)
    source = write(path.with_name("source.wav"), noise(seconds, seed) * loudness, subtype="PCM_16")
    run("-i", source, *options, path)
    return path


def run(*arguments: object) -> None:
    command = [find_ffmpeg(), "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


def decoded(path: Path) -> np.ndarray:
    """The samples of the first channel as ffmpeg decodes them, from the start."""
    command = [find_ffmpeg(), "-v", "error", "-i", path, "-ac", "1", "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, "f4")


def cut(path: Path) -> tuple[list[tuple[float, float]], list[str]]:
    """Start and end of the clips, of a second each, and what is said to be wrong."""
    items = [item for _, item in clips_of(path, SETTINGS)]
    clips = [(item.start, item.end) for item in items if isinstance(item, Clip)]
    return clips, [item.message for item in items if not isinstance(item, Clip)]


def seconds(*numbers: int) -> list[tuple[float, float]]:
    return [(number, number + 1) for number in numbers]


def assert_clips_are(path: Path, truth: np.ndarray, rate: int = RATE) -> None:
    """Every clip is the sound of its own time."""
    for _, clip in clips_of(path, SETTINGS | {"sample_rate": rate}):
        if isinstance(clip, Clip):
            expected = truth[round(clip.start * rate) :][: len(clip.sound.waveform)]
            found = clip.sound.waveform[: len(expected)]
            assert np.corrcoef(found, expected)[0, 1] > 0.99


def patched(path: Path, at: int, content: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[at : at + len(content)] = content
    path.write_bytes(data)
    return path


# ---- headers that are wrong ----------------------------------------------------------------------
@pytest.mark.parametrize("rate", ["-q:a 4", "-b:a 64k"])
def test_mp3_without_a_header_is_read_to_its_end(tmp_path, rate):
    path = encode(tmp_path / "a.mp3", 10.0, *rate.split(), "-write_xing", "0")
    clips, problems = cut(path)
    assert clips == seconds(*range(10))
    assert problems == []
    assert_clips_are(path, decoded(path))


@pytest.mark.parametrize("options", ["-write_xing 0", "-write_xing 1"])
def test_a_picture_before_mp3_is_no_sound(tmp_path, options):
    """Even one that cannot be decoded."""
    path = encode(tmp_path / "a.mp3", 0.58, "-q:a", "4", *options.split(), "-id3v2_version", "0")
    picture = b"\0image/png\0\3\0" + np.random.default_rng(0).bytes(30_000)
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\3\0\0" + size + frame + path.read_bytes())
    [(start, end)], problems = cut(path)
    assert start == 0
    assert end == pytest.approx(0.58, abs=0.12)  # padded by the codec
    assert problems == []


@pytest.mark.parametrize("times", [0.5, 2.0])
def test_a_wrong_number_of_frames_in_mp3(tmp_path, times):
    path = encode(tmp_path / "a.mp3", 6.0, "-q:a", "4")
    truth = decoded(path)
    at = path.read_bytes().find(b"Xing") + 8
    (frames,) = struct.unpack(">I", path.read_bytes()[at : at + 4])
    patched(path, at, struct.pack(">I", round(frames * times)))
    clips, problems = cut(path)
    assert [start for start, _ in clips[:6]] == [0, 1, 2, 3, 4, 5]
    assert [problem.startswith("unreadable: cut short") for problem in problems] == (
        [True] if times > 1 else []
    )
    assert_clips_are(path, truth)


SIZES = {"0": 0, "unknown": 0xFFFFFFFF, "2 s": 4 * RATE, "20 s": 40 * RATE}


@pytest.mark.parametrize("size", SIZES)
def test_a_wrong_size_in_wav(tmp_path, size):
    path = write(tmp_path / "a.wav", noise(10.0), subtype="PCM_16")
    patched(path, 40, struct.pack("<I", SIZES[size]))
    clips, problems = cut(path)
    assert clips == seconds(*range(10))
    assert [problem[:45] for problem in problems] == (
        ["unreadable: cut short: the sound ends after 1"] if size == "20 s" else []
    )
    assert_clips_are(path, noise(10.0))


def test_a_size_in_wav_that_wrapped_around(tmp_path):
    """Recorders write more than 4 GiB."""
    path = write(tmp_path / "a.wav", noise(2.0), subtype="PCM_16")
    size = (1 << 32) + 2 * RATE
    patched(path, 40, struct.pack("<I", size & 0xFFFFFFFF))
    os.truncate(path, 44 + size)  # the rest takes no room
    with open(path, "rb") as file:
        assert sound_chunk(file.fileno()) == Chunk(True, 2 * RATE, size)
    with open_audio(path, RATE) as audio:
        found = audio.read(0.5, 1.5).waveform
    expected = noise(2.0)[RATE // 2 :]
    np.testing.assert_allclose(found, expected - expected.mean(), atol=1e-3)


def test_chunks_after_the_samples_of_wav_are_no_sound(tmp_path):
    path = write(tmp_path / "a.wav", noise(2.0), subtype="PCM_16")
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 101) + b"INFO" + bytes(98))
    assert cut(path) == (seconds(0, 1), [])


def test_without_ffmpeg_what_is_not_read_has_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "find_ffmpeg", lambda: None)
    path = write(tmp_path / "a.wav", noise(3.0), subtype="PCM_16")
    patched(path, 40, struct.pack("<I", 4 * RATE))
    clips, problems = cut(path)
    assert clips == seconds(0, 1)
    text = f"unreadable: the header says 2.00 s; {2 * RATE} bytes after that are not read"
    assert problems == [text]


def flac_says(path: Path, samples: int) -> Path:
    first = path.read_bytes()[21] & 0xF0
    return patched(path, 21, bytes([first | samples >> 32]) + struct.pack(">I", samples))


@pytest.mark.parametrize("length", [1.0, 4.0, 10.0])
@pytest.mark.parametrize("times", [0.5, 2.0])
def test_a_wrong_length_in_flac(tmp_path, times, length):
    path = write(tmp_path / "a.flac", noise(length), subtype="PCM_16")
    flac_says(path, round(times * length * RATE))
    clips, problems = cut(path)
    assert clips == seconds(*range(round(length)))
    text = f"the sound ends after {length:.2f} s, its header says {2 * length:.2f} s"
    assert problems == ([f"unreadable: cut short: {text}"] if times > 1 else [])
    assert_clips_are(path, noise(length))


def test_a_part_is_found_in_a_piece_of_flac(tmp_path):
    """Its frames have the times of the original, and libsndfile cannot enter it."""
    source = encode(tmp_path / "a.flac", 20.0)
    run("-ss", "5", "-t", "10", "-i", source, "-c", "copy", tmp_path / "piece.flac")
    truth = decoded(tmp_path / "piece.flac")
    assert cut(tmp_path / "piece.flac")[0][:10] == seconds(*range(10))
    with open_audio(tmp_path / "piece.flac", RATE, 4.5, 6.0) as audio:
        found = audio.read(0.0, ALL).waveform
    expected = truth[round(4.5 * RATE) : 6 * RATE]
    np.testing.assert_allclose(found, expected - expected.mean(), atol=1e-4)


# ---- damage --------------------------------------------------------------------------------------
def test_a_damaged_place_in_flac_costs_the_clips_that_hold_it(tmp_path):
    path = write(tmp_path / "a.flac", noise(120.0), subtype="PCM_16")
    middle = path.stat().st_size // 2
    patched(path, middle, np.random.default_rng(0).bytes(64))
    clips, [problem] = cut(path)
    missing = set(range(120)) - {start for start, _ in clips}
    assert missing <= {59, 60}
    assert problem.startswith(("unreadable: damaged from 59.", "unreadable: damaged from 60."))
    assert_clips_are(path, noise(120.0))


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.mp3", "-b:a 64k"), ("a.ogg", "-c:a libvorbis"), ("a.opus", "-c:a libopus")],
)
def test_what_follows_damage_keeps_its_time(tmp_path, name, options):
    path = encode(tmp_path / name, 20.0, *options.split())
    truth = decoded(path)
    patched(path, path.stat().st_size // 2, bytes(2000))
    clips, [problem] = cut(path)
    missing = set(range(20)) - {start for start, _ in clips}
    assert problem.startswith("unreadable: damaged from ")
    assert 1 <= len(missing) <= 4
    assert max(missing) - min(missing) == len(missing) - 1
    assert_clips_are(path, truth, len(truth) // 20 // 1000 * 1000)


def test_silence_stands_for_what_is_missing_in_a_container_with_times(tmp_path):
    path = encode(tmp_path / "a.mka", 20.0, "-c:a", "flac")
    patched(path, path.stat().st_size // 2, np.random.default_rng(0).bytes(64))
    clips, [problem] = cut(path)
    assert problem.startswith("unreadable: damaged: ffmpeg may have left out some of it")
    last = [clip for _, clip in clips_of(path, SETTINGS) if isinstance(clip, Clip)][-1]
    assert (last.start, last.end) == clips[-1] == (19, 20)
    loudness = 1 + 0.8 * np.sin(np.arange(20 * RATE) * 4 / RATE)
    expected = (noise(20.0) * loudness)[19 * RATE :]
    np.testing.assert_allclose(last.sound.waveform, expected - expected.mean(), atol=1e-3)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.aiff"])
def test_a_file_that_was_cut_has_one_row(tmp_path, name):
    path = encode(tmp_path / name, 60.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    clips, [problem] = cut(path)
    assert 10 <= len(clips) <= 20
    assert problem.startswith("unreadable: cut short: the sound ends after 1")


# ---- other kinds of files ------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["a.m4a", "a.aac", "a.wma", "a.mka", "a.mp2", "a.wv"])
def test_a_part_is_a_slice_of_the_whole(tmp_path, name):
    path = encode(tmp_path / name, 12.0)
    truth = decoded(path)
    for start, end in ((0.0, 1.0), (3.333, 5.0), (11.0, 11.9)):
        with open_audio(path, RATE, start, end) as audio:
            found = audio.read(0.0, ALL).waveform
        expected = truth[round(start * RATE) : round(end * RATE)]
        np.testing.assert_allclose(found, expected - expected.mean(), atol=1e-5)
    assert cut(path)[1] == []


def test_what_can_only_be_read_forwards(tmp_path):
    """libsndfile cannot seek in GSM."""
    path = write(tmp_path / "a.wav", noise(10.0), 8_000, subtype="GSM610")
    clips, problems = cut(path)
    assert clips == seconds(*range(20))
    assert problems == []
    with open_audio(path, RATE) as audio:
        late, early = audio.read(5.0, 1.0).waveform, audio.read(2.0, 1.0).waveform
        assert np.array_equal(late, audio.read(5.0, 1.0).waveform)
    assert not np.array_equal(late, early)


def test_what_ffmpeg_decodes_is_streamed(tmp_path):
    """Memory holds some clips, however long the recording is and wherever a clip begins."""
    path = encode(tmp_path / "a.mka", 90.0, "-c:a", "pcm_s16le", "-ac", "2")
    with open_audio(path, RATE) as audio:
        for offset in (0.0, 0.5, 89.0):
            audio.stretch(offset, 1.0)
            held = sum(block.nbytes for block in audio._source._blocks)
            assert held < 3 * (1 << 20)
        assert audio.stretch(10.0, 1.0).end == 11.0  # back to the start
    truth = soundfile.read(tmp_path / "source.wav", dtype="float32")[0]
    assert_clips_are(path, truth)

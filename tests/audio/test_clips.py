"""Clips: long recordings are cut, and nothing is computed long before it is written."""

import math

import numpy as np
import pytest
from sounds import RATE, SETTINGS, noise, tone, write

from weakneg.audio.clips import _PIECE, clips_of, cut, in_order
from weakneg.audio.decode import open_audio


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
def test_long_recordings_are_cut(tmp_path, seconds, hop, clips):
    path = write(tmp_path / "a.wav", noise(seconds))
    with open_audio(path, RATE) as audio:
        parts = list(cut(audio, 10, hop))
    assert [(start, end) for start, end, _ in parts] == clips
    assert [len(part.samples) for *_, part in parts] == [(b - a) * RATE for a, b in clips]


@pytest.mark.parametrize(
    ("seconds", "hop", "more"),
    [
        (10, 10, []),
        (0.5, 10, []),
        (10.02, 10, []),  # less than the shortest rest
        (10.03, 10, [(0.03, 10.03)]),
        (14, 10, [(4, 14)]),
        (15, 10, []),  # the last clip reaches the end
        (31, 20, [(21, 31)]),
        (28.9, 3, []),
    ],
)
def test_what_is_left_at_the_end_is_one_more_clip(tmp_path, seconds, hop, more):
    path = write(tmp_path / "a.wav", noise(seconds))
    with open_audio(path, RATE) as audio:
        without = [(start, end) for start, end, _ in cut(audio, 10, hop)]
    with open_audio(path, RATE) as audio:
        parts = list(cut(audio, 10, hop, 0.025))
    assert all(len(part.samples) == 10 * RATE for *_, part in parts[1:] if more)
    clips = [(start, end) for start, end, _ in parts]
    assert clips[: len(clips) - len(more)] == without
    assert clips[len(clips) - len(more) :] == [pytest.approx(clip) for clip in more]
    assert seconds - clips[-1][1] < 0.025


@pytest.mark.parametrize("clip_seconds", [0.3, 0.7, 1.1, 3.3])
def test_half_a_clip_is_a_clip_and_an_end_that_was_reached_is_the_end(tmp_path, clip_seconds):
    """Times are not exact: 2.25 - 2.1 is less than 0.15, and 0.1 + 0.7 less than 0.8."""
    clip = round(clip_seconds * RATE)
    for rest, clips in ((clip // 2, 8), (clip // 2 - 1, 7)):
        path = write(tmp_path / "a.wav", noise(25)[: 7 * clip + rest])
        with open_audio(path, RATE) as audio:
            assert len([*cut(audio, clip_seconds, clip_seconds)]) == clips
    path = write(tmp_path / "a.wav", noise(4)[: clip + RATE // 10])
    with open_audio(path, RATE) as audio:
        assert len([*cut(audio, clip_seconds, 0.1)]) == 2


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
        np.testing.assert_array_equal(clip.features, alone.features)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_clips_at_odd_times_are_whole(tmp_path, rate):
    """No clip is a sample too long, and none is taken for cut short."""
    path = write(tmp_path / "a.wav", noise(3.0), rate)
    settings = SETTINGS | {"clip_seconds": 0.3337, "hop_seconds": 0.1111}
    for _, clip in clips_of(path, settings):
        assert len(clip.sound.waveform) <= math.ceil(0.3337 * RATE)
        assert len(clip.sound.waveform) == pytest.approx((clip.end - clip.start) * RATE, abs=2)


@pytest.mark.parametrize("samples", [1, 399])
def test_less_than_a_frame_is_too_short(tmp_path, samples):
    path = write(tmp_path / "a.wav", noise()[:samples] + tone()[:samples] + 0.1)
    ((_, problem),) = clips_of(path, SETTINGS)
    assert problem.message.split(":")[0] == ("silent" if samples == 1 else "too_short")


def test_a_sound_beyond_all_measure_is_not_finite(tmp_path):
    ((_, problem),) = clips_of(write(tmp_path / "a.wav", 1e25 * noise()), SETTINGS)
    assert problem.message.startswith("not_finite: ")


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

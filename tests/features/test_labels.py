"""Labels of clips, from the events of their recordings."""

import math
import time

import numpy as np
import pytest

from weakneg.audio.recordings import Recording
from weakneg.config.sections import AudioSettings
from weakneg.datasets import UNKNOWN
from weakneg.features.labels import clips_with_events, events_outside, label_clips

RATE = 16_000


def cut(seconds: float, length: float, hop: float) -> list[tuple[float, float]]:
    """Start and end of the clips of a recording."""
    return [(n * hop, n * hop + length) for n in range(round((seconds - length) / hop + 0.5))]


def labelled(events, clips, rate=RATE, least=0) -> list[set[int]]:
    """For each event, given as onset and offset, the numbers of the clips that it labels."""
    listed = {"r": Recording("r", "train", "", None, None, (), ())}
    found = []
    for onset, offset in events:
        listed["r"] = listed["r"]._replace(events=(("x", onset, offset),))
        y, lost = label_clips(
            np.array(["r"] * len(clips)),
            *np.array(clips, float).T,
            listed,
            ["other", "x"],
            rate,
            AudioSettings.model_validate({"min_overlap": least}).min_overlap,
        )
        assert not y[:, 0].any()
        found.append(set(np.flatnonzero(y[:, 1]).tolist()))
        assert bool(lost) != bool(found[-1])
    return found


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.48, 0.7, 0.96, 1.1, 2.4, 3.3, 4.7, 9.6, 10 / 3])
@pytest.mark.parametrize("share", [1, 0.5, 0.1], ids="hop {} of a clip".format)
def test_events_from_one_clip_to_another_label_these_only(seconds, share):
    """Starts of clips are multiples of the hop, which are rarely the numbers in a list."""
    hop = seconds * share
    clips = cut(300 * hop + seconds, seconds, hop)
    places = range(0, len(clips) - 3)
    events = [(float(f"{hop * n:.6f}"), float(f"{hop * (n + 2):.6f}")) for n in places]
    around = round(1 / share) - 1
    for n, found in zip(places, labelled(events, clips), strict=True):
        assert found == {m for m in range(n - around, n + 2) if m >= 0}, (n, events[n])


@pytest.mark.parametrize("least", [0, 0.02, 0.3, 7.0, {"event": 0.5}, {"clip": 0.5}, {"clip": 1}])
@pytest.mark.parametrize("hop", [0.1, 0.4, 1.0, 1.7])
def test_an_event_labels_the_clips_that_hold_enough_of_it(least, hop):
    """The definition, pair by pair and in whole samples, for events and clips of all lengths."""
    rng = np.random.default_rng(0)
    rate = 1000
    clips = [clip for clip in cut(30.3, 1.0, hop) if rng.random() > 0.1]  # some are silent
    onsets = rng.integers(0, 33_000, 300)
    lengths = rng.choice([1, 3, 40, 600, 1000, 1500, 5000], 300)
    events = [(a / rate, (a + b) / rate) for a, b in zip(onsets, lengths, strict=True)]
    for (onset, length), found in zip(
        zip(onsets, lengths, strict=True),
        labelled(events, clips, rate, least),
        strict=True,
    ):
        for number, (start, end) in enumerate(clips):
            start, end = round(start * rate), round(end * rate)
            overlap = min(onset + length, end) - max(onset, start)
            match least:
                case {"event": share}:
                    needed = share * length
                case {"clip": share}:
                    needed = share * (end - start)
                case seconds:
                    needed = max(1, seconds * rate)
            # The whole of an event, or of a clip, is always enough.
            assert (number in found) == (overlap >= min(needed, length, end - start))


def test_an_event_without_duration_labels_the_clip_that_it_is_in():
    clips = cut(4.0, 1.0, 1.0)
    assert labelled([(0, 0), (1, 1), (2.5, 2.5), (4, 4)], clips) == [{0}, {1}, {2}, set()]


def test_clips_may_be_in_any_order_and_of_any_recording():
    """Without events the labels are those of the recording; events of others do not count."""
    listed = {
        "a": Recording("a", "train", "", None, None, ("x",), (("x", 1.5, 1.6),)),
        "b": Recording("b", "train", "", None, None, ("y", "x")),
        "c": Recording("c", "train", "", None, None, ()),
        "gone": Recording("gone", "train", "", None, None, (), (("y", 0, 9),)),
    }
    recording = np.array(["b", "a", "c", "a", "b", "a"])
    start = np.array([0.0, 2, 0, 1, 1, 0])
    y, lost = label_clips(recording, start, start + 1, listed, ["x", "y"], RATE, 0.0)
    assert y.tolist() == [[1, 1], [0, 0], [0, 0], [1, 0], [1, 1], [0, 0]]
    assert lost == []


def test_events_are_outside_when_they_share_no_sample_with_the_recording():
    events = [("x", *times) for times in [(0, 1), (4.9, 9), (5, 6), (1e300, 1e301), (5.00001, 5.1)]]

    def outside(start, seconds, events):
        recording = Recording("r", "train", "", start, None, (), tuple(events))
        return [event for _, event, _ in events_outside(recording, seconds, math.inf, RATE)]

    assert outside(None, 5.0, events) == events[2:]
    assert outside(1.0, 3.9, events) == [events[0], *events[1:]]
    assert outside(None, 5.0, []) == []


def test_forty_thousand_events_take_no_time():
    """Clips times events are 576 million here: minutes, one by one."""
    start = np.arange(4 * 3600) * RATE
    onset = np.random.default_rng(0).uniform(0, 4 * 3600, 40_000)
    events = [("x", each, each + 0.5) for each in onset.tolist()]
    begun = time.process_time()
    first, after = clips_with_events(events, start, start + RATE, RATE, 0.0)
    assert time.process_time() - begun < 2
    assert {b - a for a, b in zip(first, after, strict=True)} == {1, 2}


# ---- what nobody knows -------------------------------------------------------------------------
def three_valued(recording: Recording, clips, rate=RATE, least=0.0, unlisted="unknown"):
    """Values of the class x for the clips of a recording."""
    y, _ = label_clips(
        np.array(["r"] * len(clips)),
        *np.array(clips, float).T,
        {"r": recording},
        ["other", "x"],
        rate,
        least,
        unlisted,
    )
    if not any(label == "other" for label, *_ in recording.negatives):
        assert (y[:, 0] == (UNKNOWN if unlisted == "unknown" else 0)).all()
    return y[:, 1].tolist()


@pytest.mark.parametrize("least", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(60))
def test_a_clip_is_negative_where_all_of_it_was_listened_to(seed, least):
    """The definition, sample by sample."""
    rng = np.random.default_rng(seed)
    rate, n = 10, 200
    clips = cut(n / rate, 1.0, float(rng.choice([0.5, 1.0])))

    def spans(most):
        onsets = rng.integers(0, n, rng.integers(0, most))
        return [("x", a / rate, (a + rng.integers(1, 40)) / rate) for a in onsets.tolist()]

    recording = Recording("r", "train", "", None, None, (), tuple(spans(4)), "", tuple(spans(16)))
    heard, looked_for = np.zeros(2 * n, bool), np.zeros(2 * n, bool)
    for found, events in ((heard, recording.events), (looked_for, recording.negatives)):
        for _, onset, offset in events:
            found[round(onset * rate) : round(offset * rate)] = True
    without = recording._replace(negatives=())
    positive = three_valued(without, clips, rate, least, "negative")
    expected = []
    for (start, end), label in zip(clips, positive, strict=True):
        clip = slice(round(start * rate), round(end * rate))
        silent = looked_for[clip].all() and not heard[clip].any()
        expected.append(1 if label else 0 if silent else UNKNOWN)
    assert three_valued(recording, clips, rate, least) == expected
    # To a study that takes everything for negative, nothing changes.
    assert three_valued(recording, clips, rate, least, "negative") == positive


def test_an_event_too_short_for_its_label_makes_a_clip_unknown():
    everywhere = (("x", 0.0, math.inf),)
    recording = Recording("r", "train", "", None, None, (), (("x", 0.5, 1.1),), "", everywhere)
    clips = cut(4.0, 1.0, 1.0)
    assert three_valued(recording, clips) == [1, 1, 0, 0]
    assert three_valued(recording, clips, least=0.3) == [1, UNKNOWN, 0, 0]


def test_spans_that_meet_are_one_and_a_gap_of_a_sample_is_a_gap():
    listed = Recording("r", "train", "", None, None, ("other",))
    for gap, label in ((0.0, 0), (1.1 / RATE, UNKNOWN)):
        spans = (("x", 1.0 + gap, 3.0), ("x", 0.0, 1.0), ("x", 0.2, 0.4))
        clips = [(0.0, 2.0), (2.0, 3.0), (2.0, 3.1)]
        y, _ = label_clips(
            *(np.array(["r"] * 3), *np.array(clips).T, {"r": listed._replace(negatives=spans)}),
            *(["other", "x"], RATE, 0.0, "unknown"),
        )
        assert y.tolist() == [[1, label], [1, 0], [1, UNKNOWN]]

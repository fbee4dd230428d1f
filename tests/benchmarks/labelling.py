"""Labelling clips by their events: sorted once, and pair by pair as before.

    python tests/benchmarks/labelling.py --events 40000 --hours 4

One recording is cut into clips of a second; the labels of both ways must be equal.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from weakneg.audio.recordings import Recording
from weakneg.features.labels import label_clips

CLASSES = tuple(f"class {number}" for number in range(10))


def pair_by_pair(recording: Recording, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Label the clips as this was done until version 0.1."""
    number = {name: c for c, name in enumerate(CLASSES)}
    y = np.zeros((len(start), len(CLASSES)), np.uint8)
    for row, begin, stop in zip(y, start, end, strict=True):
        labels = [event[0] for event in recording.events if overlaps(event, begin, stop)]
        row[[number[label] for label in labels]] = 1
    for event in recording.events:  # looks for those in no clip
        overlaps(event, start, end).any()
    return y


def overlaps(event, start, end):
    """Whether an event overlaps `start` to `end`, numbers or arrays of them."""
    _, onset, offset = event
    return (onset < end) & ((offset > start) | ((onset == offset) & (onset == start)))


def sorted_once(recording: Recording, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Label the clips as the workflow does."""
    ids = np.full(len(start), recording.id)
    return label_clips(ids, start, end, {recording.id: recording}, CLASSES, 16_000, 0.0).y


def seconds(function: Callable, *arguments) -> tuple[float, np.ndarray]:
    """CPU time of a call, and its result."""
    begun = time.process_time()
    result = function(*arguments)
    return time.process_time() - begun, result


def main() -> None:
    """Compare both ways."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, nargs="+", default=[4_000, 40_000])
    parser.add_argument("--hours", type=float, default=4.0)
    options = parser.parse_args()
    start = np.arange(options.hours * 3600)
    end = start + 1
    for n_events in options.events:
        rng = np.random.default_rng(0)
        onset = rng.uniform(0, options.hours * 3600 - 5, n_events).round(3).tolist()
        length = rng.uniform(0.1, 5.0, n_events).round(3).tolist()
        events = tuple(
            (CLASSES[number % len(CLASSES)], a, round(a + b, 3))
            for number, (a, b) in enumerate(zip(onset, length, strict=True))
        )
        recording = Recording("r", "train", "r.wav", None, None, (), events)
        new, labels = seconds(sorted_once, recording, start, end)
        old, expected = seconds(pair_by_pair, recording, start, end)
        assert np.array_equal(labels, expected), "the labels differ"
        print(
            f"{len(start):,} clips, {n_events:,} events: pair by pair {old:.2f} s, sorted once "
            f"{new:.3f} s, ratio {old / new:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

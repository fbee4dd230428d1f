"""Labels of clips, from the labels and the events of their recordings.

Times are compared in whole samples at the sample rate of the study: the start of a clip, a multiple
of the hop, and an offset in a list are rarely the same floating-point number when they are the same
moment.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from weakneg.audio.recordings import Event, Recording
from weakneg.config.sections import OverlapShare
from weakneg.datasets import UNKNOWN, Unlisted


class ListedEvent(NamedTuple):
    """An event of the list.

    Attributes
    ----------
    recording : str
        Id of its recording.
    event : (str, float, float)
        Label, onset and offset, in seconds from the start of the recording.
    channel : int
        The channel that the list names, from 1; 0 if it names none.
    """

    recording: str
    event: Event
    channel: int


class Labels(NamedTuple):
    """Labels of clips.

    Attributes
    ----------
    y : ndarray, (N, C) uint8
        1 where the clip has the label, 0 where it does not, `UNKNOWN` where that is not known.
    lost : list of ListedEvent
        The events of recordings with clips that label none of these.
    """

    y: np.ndarray
    lost: list[ListedEvent]


def label_clips(
    recording: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    listed: Mapping[str, Recording],
    classes: Sequence[str],
    sample_rate: int,
    min_overlap: float | OverlapShare,
    unlisted: Unlisted = "negative",
    channel: np.ndarray | None = None,
) -> Labels:
    """Label the clips of a split.

    A clip has the labels of the events that overlap it as much as `min_overlap` says, or
    those of its recording where the recording has no events.

    If what is not listed is unknown, a clip without a label is negative only where the class was
    looked for and not heard from its start to its end: it lies in the negatives of its recording,
    and no event of the class shares a sample with it. A clip that holds less of an event than
    `min_overlap` is neither clearly positive nor clearly negative, so that it is unknown.

    If each channel is heard, a clip of a channel is labelled by what the list says of that channel,
    or of all of them.

    Parameters
    ----------
    recording : ndarray, (N,) str
        Id of the recording of each clip.
    start, end : ndarray, (N,) float64
        Start and end of each clip, in seconds from the start of its recording.
    listed : mapping of str to Recording
        The recordings by id.
    classes : sequence of str
        Names of the classes, in the order of the columns of `y`.
    sample_rate : int
        Hz; times that round to the same sample are equal.
    min_overlap : float or OverlapShare
        See `AudioSettings`.
    unlisted : {"negative", "unknown"}
        See `DatasetSettings`.
    channel : ndarray, (N,) int64, optional
        The channel of each clip, from 1, if each is heard.

    Returns
    -------
    Labels
        The labels.
    """
    if channel is not None:
        of_recordings = partial(
            label_clips,
            start=start,
            end=end,
            classes=classes,
            sample_rate=sample_rate,
            min_overlap=min_overlap,
            unlisted=unlisted,
        )
        return _label_channels(recording, channel, listed, of_recordings)
    column = {name: c for c, name in enumerate(classes)}
    start, end = _samples(start, sample_rate), _samples(end, sample_rate)
    rest = 0 if unlisted == "negative" else UNKNOWN
    y = np.full((len(recording), len(classes)), rest, np.uint8)
    lost: list[ListedEvent] = []
    names, number = np.unique(recording, return_inverse=True)
    order = np.lexsort((end, start, number))
    bounds = np.searchsorted(number[order], np.arange(len(names) + 1))
    for name, low, high in zip(names.tolist(), bounds[:-1], bounds[1:], strict=True):
        clips, events = order[low:high], listed[name].events
        of_recording = y[clips]
        if unlisted == "unknown":
            for label in {label for label, _, _ in listed[name].negatives} & column.keys():
                negative = _negative(listed[name], label, start[clips], end[clips], sample_rate)
                of_recording[negative, column[label]] = 0
        if not events:
            of_recording[:, [column[label] for label in listed[name].labels]] = 1
            y[clips] = of_recording
            continue
        ranges = clips_with_events(events, start[clips], end[clips], sample_rate, min_overlap)
        for event, first, after in zip(events, *ranges, strict=True):
            of_recording[first:after, column[event[0]]] = 1
            if first >= after:
                lost.append(ListedEvent(name, event, 0))
        y[clips] = of_recording
    return Labels(y, lost)


def _label_channels(
    recording: np.ndarray,
    channel: np.ndarray,
    listed: Mapping[str, Recording],
    of_recordings: Callable[..., Labels],
) -> Labels:
    """Label clips of channels, each of which is labelled like a recording."""
    pairs = [*zip(recording.tolist(), channel.tolist(), strict=True)]
    heard: dict[str, list[int]] = {}
    parts = {}
    for name, number in dict.fromkeys(pairs):
        heard.setdefault(name, []).append(number)
        parts[_part(name, number)] = listed[name].of_channel(number)
    found = of_recordings(np.array([_part(*pair) for pair in pairs]), listed=parts)
    not_in = {(part, event) for part, event, _ in found.lost}
    lost = [
        ListedEvent(name, event, number)
        for name, channels in heard.items()
        for event, number in zip(listed[name].events, listed[name].channel_of_events, strict=True)
        if all((_part(name, each), event) in not_in for each in channels if number in (0, each))
    ]
    return Labels(found.y, lost)


def _part(recording: str, channel: int) -> str:
    return f"{recording}@ch{channel}"


def _negative(
    recording: Recording, label: str, start: np.ndarray, end: np.ndarray, sample_rate: int
) -> np.ndarray:
    """Which clips of a recording, in ascending order, are known not to hold a class: (n,) bool."""
    onset, offset = _bounds((each for each in recording.negatives if each[0] == label), sample_rate)
    order = np.argsort(onset)
    onset, reached = onset[order], np.maximum.accumulate(offset[order])
    # Spans that touch or overlap are one; the next begins after a gap.
    begins = np.flatnonzero(np.append(True, onset[1:] > reached[:-1]))
    onset, reached = onset[begins], reached[np.append(begins[1:], len(reached)) - 1]
    span = np.searchsorted(onset, start, "right") - 1
    negative: np.ndarray = (span >= 0) & (end <= reached[span])
    events = [each for each in recording.events if each[0] == label]
    touched = clips_with_events(events, start, end, sample_rate, min_overlap=0.0)
    for first, after in zip(*touched, strict=True):
        negative[first:after] = False
    return negative


def clips_with_events(
    events: Sequence[Event],
    start: np.ndarray,
    end: np.ndarray,
    sample_rate: int,
    min_overlap: float | OverlapShare,
) -> tuple[list[int], list[int]]:
    """Find the clips of a recording that each event labels.

    An event labels the clips that it overlaps by at least `min(p, q)`, where p is a length that
    depends on the clip only, q on the event only, and neither is longer than its clip or event. All
    four distances between an end of one and a beginning of the other must be that long. Along the
    clips, these distances grow or shrink, so that the clips of an event are consecutive and their
    bounds are found by bisection.

    Parameters
    ----------
    events : sequence of (str, float, float)
        Label, onset and offset in seconds.
    start, end : ndarray, (n,) int64
        Clips in ascending order, in samples at `sample_rate`.
    sample_rate : int
        Hz.
    min_overlap : float or OverlapShare
        See `AudioSettings`.

    Returns
    -------
    first, after : list of int
        Each event labels clips `first` to `after - 1`; none if `after` is not above `first`.
    """
    onset, offset = _bounds(events, sample_rate)
    p, q = end - start, offset - onset
    if not isinstance(min_overlap, OverlapShare):
        p = np.minimum(p, np.maximum(1, _samples(min_overlap, sample_rate)))
    elif min_overlap.clip is not None:
        p = _share(p, min_overlap.clip)
    elif min_overlap.event is not None:
        q = _share(q, min_overlap.event)
    first = np.minimum(np.searchsorted(end - p, onset), np.searchsorted(end, onset + q))
    after = np.maximum(
        np.searchsorted(start + p, offset, "right"), np.searchsorted(start, offset - q, "right")
    )
    return first.tolist(), after.tolist()


def events_outside(
    recording: Recording, seconds: float, channels: float, sample_rate: int
) -> list[ListedEvent]:
    """Find the events that lie outside their recording.

    Parameters
    ----------
    recording : Recording
        The recording.
    seconds : float
        Duration of the part of it that is used.
    channels : float
        Its number of channels; infinity if it is not known, or does not matter.
    sample_rate : int
        Hz.

    Returns
    -------
    list of ListedEvent
        Those that share no sample with the part, or are in a channel that the recording lacks.
    """
    begin, numbers = recording.start or 0.0, recording.channel_of_events
    onset, offset = _bounds(recording.events, sample_rate)
    first, after = _samples(begin, sample_rate), _samples(begin + seconds, sample_rate)
    outside = (onset >= after) | (offset <= first) | (np.array(numbers) > channels)
    found = zip(recording.events, numbers, outside.tolist(), strict=True)
    return [ListedEvent(recording.id, event, number) for event, number, out in found if out]


def _bounds(events: Iterable[Event], sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Onsets and offsets in samples; an event has at least one sample."""
    times = np.array([event[1:] for event in events]).reshape(-1, 2)
    onset, offset = _samples(times, sample_rate).T
    return onset, np.maximum(offset, onset + 1)


def _share(samples: np.ndarray, share: float) -> np.ndarray:
    """A share of lengths in whole samples, at least one, up to rounding errors."""
    return np.ceil(samples * share - 1e-6).clip(1).astype(np.int64)


def _samples(seconds: ArrayLike, sample_rate: int) -> np.ndarray:
    """Seconds as whole numbers of samples, int64."""
    # Times in a list may be any number; those beyond a century are as good as one.
    samples: np.ndarray = np.asarray(seconds) * float(sample_rate)
    return samples.clip(0, 1 << 52).round().astype(np.int64)

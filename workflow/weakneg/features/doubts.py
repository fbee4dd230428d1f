"""What the recordings themselves say against their list."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from weakneg.audio.recordings import Recording
from weakneg.errors import UserError
from weakneg.features.labels import ListedEvent, events_outside

if TYPE_CHECKING:  # they import PyTorch, for which `describe` does not wait
    from weakneg.audio.mel import LogMel
    from weakneg.audio.shards import Heard

_NAMED = 5  # classes that a message names


class Size(NamedTuple):
    """What there is of a recording that was read to its end.

    Attributes
    ----------
    seconds : float
        Duration of the listed part.
    channels : float
        Number of channels; infinity if it is not known, or if none is heard for itself.
    """

    seconds: float
    channels: float


class Doubt(NamedTuple):
    """Something that the list may have wrong: `Problem` without the split.

    Attributes
    ----------
    id : str
        The recording.
    problem : str
        What is doubtful.
    consequence : str
        What was done about it.
    """

    id: str
    problem: str
    consequence: str


def outside_events(
    listed: Mapping[str, Recording], sizes: Mapping[str, Size], sample_rate: int
) -> list[ListedEvent]:
    """Find the events that lie outside their recordings.

    Parameters
    ----------
    listed : mapping of str to Recording
        The recordings by id.
    sizes : mapping of str to Size
        Those that were read to their end.
    sample_rate : int
        Of the study, Hz.

    Returns
    -------
    list of ListedEvent
        The events.
    """
    return [
        event
        for name, size in sizes.items()
        for event in events_outside(listed[name], *size, sample_rate)
    ]


def check_outside(
    outside: Iterable[ListedEvent],
    listed: Mapping[str, Recording],
    sizes: Mapping[str, Size],
    max_outside: float,
) -> None:
    """Refuse a list of which too many events lie outside their recordings.

    Parameters
    ----------
    outside : iterable of ListedEvent
        What `outside_events` returns.
    listed, sizes
        As for `outside_events`.
    max_outside : float
        The largest share of the events of a class.

    Raises
    ------
    UserError
        Naming the class with the largest share, and one of its events.
    """
    examples = {each.event[0]: each for each in reversed(list(outside))}
    counts, totals = _counts(outside), _totals(listed, sizes)
    shares = {label: count / totals[label] for label, count in counts.items()}
    worst = max(shares, key=lambda label: shares[label], default="")
    if worst and shares[worst] > max_outside:
        example = examples[worst]
        others = sum(share > max_outside for share in shares.values()) - 1
        classes = "1 more class" if others == 1 else f"{others} more classes"
        more = f" (and too many of {classes})" if others else ""
        remedy = "give onset and offset in seconds from the start of the file that is listed"
        if example.channel > sizes[example.recording].channels:
            remedy = "list the files that the labels were made on, correct the channels"
        raise UserError(
            f"{counts[worst]:,} of the {totals[worst]:,} events of {worst!r} lie outside their "
            f"recordings{more}, such as {_said(example)} of "
            f"{example.recording!r}, which {_extent(example, listed, sizes)}: {remedy}, or raise "
            f"audio.max_outside ({max_outside:g}) in the study."
        )


def event_doubts(
    outside: Iterable[ListedEvent],
    lost: Iterable[ListedEvent],
    listed: Mapping[str, Recording],
    sizes: Mapping[str, Size],
) -> list[Doubt]:
    """List the events that label no clip.

    Parameters
    ----------
    outside : iterable of ListedEvent
        What `outside_events` returns.
    lost : iterable of ListedEvent
        All events that label no clip of their recording.
    listed, sizes
        As for `outside_events`.

    Returns
    -------
    list of Doubt
        One per event.
    """
    consequence = "the event is left out"
    found = [
        Doubt(
            event.recording,
            f"{_said(event)} is outside the recording, which {_extent(event, listed, sizes)}",
            consequence,
        )
        for event in outside
    ]
    known = set(outside)
    return found + [
        Doubt(event.recording, f"{_said(event)} is in none of its clips", consequence)
        for event in lost
        if event not in known
    ]


def same_sound(listed: Mapping[str, Recording], heard: Mapping[str, "Heard"]) -> list[Doubt]:
    """List the recordings with the same bytes as one of the other split or with other labels.

    Parameters
    ----------
    listed : mapping of str to Recording
        The recordings by id.
    heard : mapping of str to Heard
        Those that were read to their end.

    Returns
    -------
    list of Doubt
        One per recording.
    """
    of_digest: dict[str, list[Recording]] = {}
    for name, found in heard.items():
        of_digest.setdefault(found.digest, []).append(listed[name])
    doubts = []
    for same in of_digest.values():
        firsts: dict[tuple[str, frozenset[str]], Recording] = {}
        for recording in same:
            firsts.setdefault((recording.split, _labels(recording)), recording)
        for recording in same if len(firsts) > 1 else ():
            other = next(
                first
                for key, first in firsts.items()
                if key != (recording.split, _labels(recording))
            )
            text = f"the same bytes as {other.id!r}"
            if other.split != recording.split:
                text += f" in the {other.split} split"
            if _labels(other) != _labels(recording):
                text += f", which has the labels {'; '.join(sorted(_labels(other))) or 'none'}"
            doubts.append(Doubt(recording.id, text, "kept"))
    return doubts


def summary(
    outside: Iterable[ListedEvent],
    lost: Iterable[ListedEvent],
    same: Iterable[Doubt],
    listed: Mapping[str, Recording],
    heard: Mapping[str, "Heard"],
    mel: "LogMel | None",
) -> list[str]:
    """Say in a few lines what is doubtful.

    Parameters
    ----------
    outside, lost
        As for `event_doubts`.
    same : iterable of Doubt
        What `same_sound` returns.
    listed, heard
        As for `same_sound`.
    mel : LogMel, optional
        What makes the spectrograms; None for embeddings.

    Returns
    -------
    list of str
        Lines without the name of the file that lists everything.
    """
    from weakneg.audio.bandwidth import misses_most_of, unheard

    lines = []
    counts, n_lost = _counts(outside), len(set(lost) - set(outside))
    if counts or n_lost:
        total = _totals(listed, heard).total()
        classes = [f"{label} {count:,}" for label, count in counts.most_common(_NAMED)]
        classes += [f"{len(counts) - _NAMED} more classes"] * (len(counts) > _NAMED)
        named = f" ({', '.join(classes)})" if classes else ""
        text = f"{counts.total():,} of {total:,} events lie outside their recordings{named}"
        if n_lost:
            text += f", {n_lost:,} more label no clip"
        lines.append(text)
    if n_same := len(list(same)):
        lines.append(
            f"{n_same:,} recordings have the same bytes as one that is in the other split or has "
            "other labels"
        )
    rates = [found.sample_rate for found in heard.values()]
    if mel and (wide := [rate for rate in rates if misses_most_of(mel, rate)]):
        lines.append(unheard(len(wide), len(rates), max(wide), mel))
    return lines


def _counts(events: Iterable[ListedEvent]) -> Counter[str]:
    """Number of events of each label."""
    return Counter(each.event[0] for each in events)


def _totals(listed: Mapping[str, Recording], heard: Iterable[str]) -> Counter[str]:
    """Number of events of each label in the recordings that were heard."""
    return Counter(label for name in heard for label, _, _ in listed[name].events)


def _labels(recording: Recording) -> frozenset[str]:
    return frozenset(recording.labels) | {label for label, _, _ in recording.events}


def _said(event: ListedEvent) -> str:
    label, onset, offset = event.event
    text = f"{label} from {onset:g} " + ("s on" if offset == math.inf else f"to {offset:g} s")
    return f"{text} in channel {event.channel}" if event.channel else text


def _extent(event: ListedEvent, listed: Mapping[str, Recording], sizes: Mapping[str, Size]) -> str:
    """What there is of the recording that an event lies outside of."""
    (seconds, channels), start = sizes[event.recording], listed[event.recording].start
    if event.channel > channels:
        return f"has {channels:g} channel{'s' * (channels > 1)}"
    if start is None:
        return f"lasts {seconds:g} s"
    return f"is used from {start:g} to {start + seconds:g} s"

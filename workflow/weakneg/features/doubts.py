"""What the recordings themselves say against their list."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from weakneg.audio.bandwidth import misses_most_of, unheard
from weakneg.audio.mel import LogMel
from weakneg.audio.recordings import Event, Recording
from weakneg.audio.shards import Heard
from weakneg.errors import UserError
from weakneg.features.labels import events_outside

_NAMED = 5  # classes that a message names

Pair = tuple[str, Event]
"""A recording and one of its events."""


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
    listed: Mapping[str, Recording], heard: Mapping[str, Heard], sample_rate: int
) -> list[Pair]:
    """Find the events that lie outside their recordings.

    Parameters
    ----------
    listed : mapping of str to Recording
        The recordings by id.
    heard : mapping of str to Heard
        Those that were read to their end.
    sample_rate : int
        Of the study, Hz.

    Returns
    -------
    list of (str, (str, float, float))
        Recording and event.
    """
    return [
        (name, event)
        for name, found in heard.items()
        for event in events_outside(
            listed[name].events, listed[name].start or 0.0, found.seconds, sample_rate
        )
    ]


def check_outside(
    outside: Iterable[Pair],
    listed: Mapping[str, Recording],
    heard: Mapping[str, Heard],
    max_outside: float,
) -> None:
    """Refuse a list of which too many events lie outside their recordings.

    Parameters
    ----------
    outside : iterable of (str, (str, float, float))
        What `outside_events` returns.
    listed, heard
        As for `outside_events`.
    max_outside : float
        The largest share of the events of a class.

    Raises
    ------
    UserError
        Naming the class with the largest share, and one of its events.
    """
    examples = {event[0]: (name, event) for name, event in reversed(list(outside))}
    counts, totals = _counts(outside), _totals(listed, heard)
    shares = {label: count / totals[label] for label, count in counts.items()}
    worst = max(shares, key=lambda label: shares[label], default="")
    if worst and shares[worst] > max_outside:
        name, (_, onset, offset) = examples[worst]
        others = sum(share > max_outside for share in shares.values()) - 1
        classes = "1 more class" if others == 1 else f"{others} more classes"
        more = f" (and too many of {classes})" if others else ""
        raise UserError(
            f"{counts[worst]:,} of the {totals[worst]:,} events of {worst!r} lie outside their "
            f"recordings{more}, such as {onset:g} to {offset:g} s of {name!r}, which "
            f"{_extent(listed[name], heard[name])}: give onset and offset in seconds from the "
            f"start of the file that is listed, or raise audio.max_outside ({max_outside:g}) in "
            "the study."
        )


def event_doubts(
    outside: Iterable[Pair],
    lost: Iterable[Pair],
    listed: Mapping[str, Recording],
    heard: Mapping[str, Heard],
) -> list[Doubt]:
    """List the events that label no clip.

    Parameters
    ----------
    outside : iterable of (str, (str, float, float))
        What `outside_events` returns.
    lost : iterable of (str, (str, float, float))
        Recording and event of all events that label no clip of their recording.
    listed, heard
        As for `outside_events`.

    Returns
    -------
    list of Doubt
        One per event.
    """
    consequence = "the event is left out"
    found = [
        Doubt(
            name,
            f"{_said(event)} is outside the recording, which {_extent(listed[name], heard[name])}",
            consequence,
        )
        for name, event in outside
    ]
    known = set(outside)
    return found + [
        Doubt(name, f"{_said(event)} is in none of its clips", consequence)
        for name, event in lost
        if (name, event) not in known
    ]


def same_sound(listed: Mapping[str, Recording], heard: Mapping[str, Heard]) -> list[Doubt]:
    """List the recordings with the same bytes as one of the other split or with other labels.

    Parameters
    ----------
    listed, heard
        As for `outside_events`.

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
    outside: Iterable[Pair],
    lost: Iterable[Pair],
    same: Iterable[Doubt],
    listed: Mapping[str, Recording],
    heard: Mapping[str, Heard],
    mel: LogMel | None,
) -> list[str]:
    """Say in a few lines what is doubtful.

    Parameters
    ----------
    outside, lost, listed, heard
        As for `event_doubts`.
    same : iterable of Doubt
        What `same_sound` returns.
    mel : LogMel, optional
        What makes the spectrograms; None for embeddings.

    Returns
    -------
    list of str
        Lines without the name of the file that lists everything.
    """
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


def _counts(pairs: Iterable[Pair]) -> Counter[str]:
    """Number of events of each label."""
    return Counter(label for _, (label, _, _) in pairs)


def _totals(listed: Mapping[str, Recording], heard: Iterable[str]) -> Counter[str]:
    """Number of events of each label in the recordings that were heard."""
    return Counter(label for name in heard for label, _, _ in listed[name].events)


def _labels(recording: Recording) -> frozenset[str]:
    return frozenset(recording.labels) | {label for label, _, _ in recording.events}


def _said(event: Event) -> str:
    label, onset, offset = event
    return f"{label} from {onset:g} " + ("s on" if offset == math.inf else f"to {offset:g} s")


def _extent(recording: Recording, heard: Heard) -> str:
    if recording.start is None:
        return f"lasts {heard.seconds:g} s"
    return f"is used from {recording.start:g} to {recording.start + heard.seconds:g} s"

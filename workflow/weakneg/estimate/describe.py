"""A first look at a study of the user's own recordings: `python -m weakneg describe`."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from weakneg.bags.split import n_chosen, n_validation
from weakneg.config.sections import AudioSettings
from weakneg.config.study import Study
from weakneg.datasets import UNKNOWN
from weakneg.errors import UserError
from weakneg.report.markdown import markdown_table
from weakneg.stages import command

_SHOWN = 5  # recordings that are left out, and events outside, of each kind


class Header(NamedTuple):
    """What the header of an audio file says.

    Attributes
    ----------
    seconds : float
        Duration.
    sample_rate, channels : int
        Hz, and number of channels.
    """

    seconds: float
    sample_rate: int
    channels: int


@command
def describe(study: str, /) -> None:
    """Describe your own recordings as a study sees them, in seconds, before anything is computed.

    Prints the format of the list and what it leaves unknown; recordings, hours and clips; the
    sample rates and what of them is heard; the clips of each class in both splits; what is left out
    and why. Durations are those that the headers of the files state.

    Parameters
    ----------
    study : str
        A file of workflow/studies, or the path of one.

    Raises
    ------
    UserError
        When the study has a mistake, or is not about a list of recordings.
    """
    from weakneg.config.load import load_study

    loaded = load_study(study)
    if not loaded.dataset.lists_recordings:
        raise UserError(f"{study} is not about recordings of your own, which `describe` describes.")
    for line in description(loaded):
        print(line)


def description(study: Study) -> Iterator[str]:
    """Yield the lines that `describe` prints, for a study of the user's own recordings."""
    from weakneg.audio.acquire.folder import acquire
    from weakneg.audio.outcome import OK
    from weakneg.audio.recordings import recordings_of
    from weakneg.config.classes import class_names, questions
    from weakneg.config.source import FolderSource
    from weakneg.features.doubts import Size, check_outside, event_doubts, outside_events
    from weakneg.features.labels import label_clips

    audio, dataset = study.audio, study.dataset
    assert audio is not None
    assert dataset.folder is not None
    yield from questions(dataset)
    listed = {row.id: row for row in recordings_of(dataset, Path(dataset.folder))}
    left_out: dict[str, list[str]] = {}
    headers: dict[str, Header] = {}
    for row, outcome in acquire(list(listed.values()), FolderSource(), Path(dataset.folder)):
        if outcome.status != OK:
            left_out.setdefault(outcome.status, []).append(f"{row.id}: {outcome.message}")
            continue
        assert outcome.path is not None
        header = _header(outcome.path)
        if not outcome.path.stat().st_size or (header and not header.seconds):
            left_out.setdefault("empty", []).append(row.id)
        elif header is None:
            kind = "not read here (ffmpeg may read them when the study runs)"
            left_out.setdefault(kind, []).append(row.id)
        else:
            headers[row.id] = header
    splits = {"train": "training", "test": "testing"}
    each = audio.channel == "each"
    clips = {
        split: [
            (name, *times, channel)
            for name, header in headers.items()
            if listed[name].split == split
            for times in clip_times(header.seconds, audio)
            for channel in range(1, 1 + (header.channels if each else 1))
        ]
        for split in splits
    }
    hours = sum(header.seconds for header in headers.values()) / 3600
    counts = " and ".join(f"{len(clips[split]):,} for {use}" for split, use in splits.items())
    yield (
        f"{len(headers):,} of {len(listed):,} recordings are there: {hours:,.2f} hours, "
        f"{counts} (clips of up to {audio.clip_seconds:g} s)"
    )
    if headers:
        yield _heard(headers, audio, study.encoder is not None)
    names_of_all = class_names(dataset)
    columns = []
    for split in splits:
        found = map(list, zip(*clips[split], strict=True)) if clips[split] else [[]] * 4
        names, start, end, channel = found
        labelled = label_clips(
            np.array(names, str),
            np.array(start, float),
            np.array(end, float),
            listed,
            names_of_all,
            audio.sample_rate,
            audio.min_overlap,
            dataset.unlisted,
            np.array(channel, int) if each else None,
        )
        columns += [(labelled.y == value).sum(0).tolist() for value in (1, 0, UNKNOWN)]
    yield from _table(study.classes, names_of_all, columns, [*splits.values()])
    yield from _whole_pools(study, names_of_all, columns)
    yield from _stop(study, names_of_all, columns)
    for kind, names in left_out.items():
        yield from _some(f"left out, {kind}", names)
    sizes = {
        name: Size(header.seconds, header.channels if each else math.inf)
        for name, header in headers.items()
    }
    outside = outside_events(listed, sizes, audio.sample_rate)
    doubts = [f"{name}: {text}" for name, text, _ in event_doubts(outside, [], listed, sizes)]
    yield from _some("events outside their recordings", doubts)
    try:
        check_outside(outside, listed, sizes, audio.max_outside)
    except UserError as error:
        yield f"the study would stop: {error}"


def clip_times(seconds: float, audio: AudioSettings) -> list[tuple[float, float]]:
    """Start and end of the clips of a recording, as `weakneg.audio.clips.cut` cuts it.

    Parameters
    ----------
    seconds : float
        Duration of the recording.
    audio : AudioSettings
        The settings of clips.

    Returns
    -------
    list of (float, float)
        In seconds.
    """
    length, hop = audio.clip_seconds, audio.hop_seconds or audio.clip_seconds
    found = [(0.0, min(length, seconds))]
    while (start := len(found) * hop) and found[-1][1] < seconds - 1e-6:
        end = min(start + length, seconds)
        if end - start < length / 2 - 1e-6:
            break
        found.append((start, end))
    return found


def _header(path: Path) -> Header | None:
    import soundfile

    try:
        info = soundfile.info(path)
    except (OSError, RuntimeError):
        return None
    return Header(info.frames / info.samplerate, info.samplerate, info.channels)


def _heard(headers: dict[str, Header], audio: AudioSettings, encoded: bool) -> str:
    """The rates of files, and what of them the encoder is given, or the spectrograms show."""
    rates = Counter(header.sample_rate for header in headers.values())
    counted = ", ".join(f"{rate / 1000:g} kHz ({n:,})" for rate, n in rates.most_common(_SHOWN))
    several = sum(header.channels > 1 for header in headers.values())
    of_each = {
        "mean": "which are averaged",
        "first": "of which the first is heard",
        "loudest": "of which the loudest is heard",
        "each": "each of which is heard for itself",
    }[audio.channel]
    mixed = f"; {several:,} have several channels, {of_each}" if several else ""
    if encoded:
        given = f"{audio.sample_rate / 1000:g} kHz"
        return f"sample rates: {counted}{mixed}; the encoder is given {given}"
    high = audio.high_hz or audio.sample_rate / 2
    return (
        f"sample rates: {counted}{mixed}; spectrograms show {audio.low_hz:g} Hz to "
        f"{high / 1000:g} kHz"
    )


def _table(
    classes: Sequence[str], of_list: Sequence[str], columns: list[list[int]], uses: list[str]
) -> Iterator[str]:
    """Clips of each class: positive, negative and, where there are any, unknown."""
    kinds = [f"{use}: {kind}" for use in uses for kind in ("positive", "negative", "unknown")]
    shown = [
        (kind, column)
        for kind, column in zip(kinds, columns, strict=True)
        if not kind.endswith("unknown") or any(column)
    ]
    rows = [
        (name, *(f"{column[of_list.index(name)]:,}" for _, column in shown)) for name in classes
    ]
    yield markdown_table(("class", *(kind for kind, _ in shown)), rows)


def _whole_pools(study: Study, of_list: Sequence[str], columns: list[list[int]]) -> Iterator[str]:
    """The classes of which an epoch takes all negative and unknown clips.

    Validation holds out as many as where clips have no groups.
    """
    ratio = study.sampling.negatives_per_positive
    if study.task == "multilabel" or isinstance(ratio, list):
        return
    fraction = study.training.validation_fraction
    for name in study.classes:
        place = of_list.index(name)
        positive, negative, unknown = (column[place] for column in columns[:3])
        if min(positive, negative) < 2:
            continue  # the study would stop
        positive -= n_validation(positive, fraction)
        pool = negative - n_validation(negative, fraction) + unknown
        if n_chosen(ratio, positive, pool) == pool:
            yield (
                f"{name}: {pool:,} training clips to choose from after validation, where "
                f"{ratio * positive:,.0f} are wanted: every strategy trains on all of them, so "
                "that nothing is compared; add negatives, or lower sampling: "
                "negatives_per_positive"
            )


def _stop(study: Study, of_list: Sequence[str], columns: list[list[int]]) -> Iterator[str]:
    """What the study would say of the first class with too few positive or negative clips."""
    from weakneg.features.classes import require_both

    observed = study.dataset.unlisted == "unknown"
    try:
        for split, kinds in (("training", columns[:3]), ("test", columns[3:])):
            for name in study.classes:
                positive, negative, unknown = (kind[of_list.index(name)] for kind in kinds)
                require_both(name, split, positive, negative, unknown, observed)
    except UserError as error:
        yield f"the study would stop: {error}"


def _some(what: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"{what}: {len(lines):,}"
        yield from (f"  {line}" for line in lines[:_SHOWN])
        if len(lines) > _SHOWN:
            yield f"  and {len(lines) - _SHOWN:,} more"

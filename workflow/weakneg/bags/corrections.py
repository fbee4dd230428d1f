"""Manifests of clips in which labels of a class are corrected by what somebody heard."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from weakneg.bags.manifest import CLIP_COLUMNS, LABEL_SEPARATOR, NEGATIVES_COLUMN, manifest_lines
from weakneg.config.stages import CorrectionSettings
from weakneg.datasets.corrections import (
    SAME_START_SECONDS,
    Answer,
    Correction,
    channel_of,
    read_corrections,
    recording_of,
    refuse_contradiction,
)
from weakneg.errors import UserError
from weakneg.io.csv import write_table
from weakneg.stages import stage


@stage
def correct_clips(
    class_name: str,
    settings: CorrectionSettings,
    manifest: Path,
    corrections: list[Path],
    output: Path,
) -> None:
    """Write the manifest of the clips of a split for a class some of whose labels are corrected.

    Where the class was heard, the clip gets its label; where it was not, it becomes a negative; and
    where it could not be told, the clip is left out: it is no bag of this class.

    Parameters
    ----------
    class_name : str
        The class.
    settings : CorrectionSettings
        Which split, and where the recordings are.
    manifest : Path
        The manifest of the split that serves all classes.
    corrections : list of Path
        The lists of what was heard: see `weakneg.datasets.corrections`.
    output : Path
        The manifest to write.

    Raises
    ------
    UserError
        Naming the line, when a list or the manifest has a mistake, or a clip that is corrected does
        not exist, or is corrected by two different answers.
    """
    lines = [values for _, values in manifest_lines(manifest, CLIP_COLUMNS)]
    of_recording = clips_of_recordings(lines)
    first: dict[int, Correction] = {}
    for each in _of_class(class_name, settings, corrections):
        recording = recording_of(each.id, of_recording, settings.folder)
        if recording is None:
            continue  # its recording is in the other split, or was left out
        # Lists may call a clip night.wav, night.wav@0 or night.wav@0-ch1.
        clip = _clip(each, of_recording[recording], lines)
        refuse_contradiction(first.setdefault(clip, each), each.answer)
    answers = {clip: each.answer for clip, each in first.items()}
    rows = (
        _corrected(values, class_name, answers.get(number))
        for number, values in enumerate(lines)
        if answers.get(number) != "unsure"
    )
    write_table(output, list(lines[0]), ([*row.values()] for row in rows))


def _of_class(
    class_name: str, settings: CorrectionSettings, files: Iterable[Path]
) -> Iterator[Correction]:
    for file in files:
        for each in read_corrections(str(file)):
            if each.class_name == class_name:
                yield each


def clips_of_recordings(lines: Sequence[Mapping[str, str]]) -> dict[str, list[int]]:
    """Positions of the clips of each recording; a clip of one is <recording>@<start or channel>."""
    found: dict[str, list[int]] = {}
    for number, values in enumerate(lines):
        found.setdefault(values["id"], []).append(number)
        recording, separator, _ = values["id"].rpartition("@")
        if separator:
            found.setdefault(recording, []).append(number)
    return found


def _clip(each: Correction, clips: Sequence[int], lines: Sequence[Mapping[str, str]]) -> int:
    """The position of the clip that is corrected."""
    channels = {number: channel_of(lines[number]["id"]) for number in clips}
    if each.channel is not None:
        # `predict` calls the only channel of a recording the first, too.
        clips = [number for number in clips if (channels[number] or 1) == each.channel]
        if not clips:
            raise UserError(
                f"{each.where}: {each.id!r} has no clip in channel {each.channel}: remove the line."
            )
    elif len(clips) > 1 and len({*channels.values()}) > 1:
        raise UserError(
            f"{each.where}: {each.id!r} has clips of several channels: name the one that was "
            f"heard, such as {lines[clips[0]]['id']!r}."
        )
    starts = [float(lines[number]["start"]) for number in clips]
    if each.start is None and len(clips) == 1:
        return clips[0]
    if each.start is None:
        raise UserError(
            f"{each.where}: {each.id!r} has {len(clips)} clips: say in the column start which of "
            "them was heard."
        )
    nearest = min(range(len(clips)), key=lambda n: abs(starts[n] - (each.start or 0)))
    if abs(starts[nearest] - each.start) > SAME_START_SECONDS:
        raise UserError(
            f"{each.where}: no clip of {each.id!r} starts at {each.start:g} s, the nearest at "
            f"{starts[nearest]:g} s: remove the line. (`predict --no-tail` without --overlap "
            "scores no other clips.)"
        )
    return clips[nearest]


def _corrected(values: Mapping[str, str], name: str, answer: Answer | None) -> dict[str, str]:
    """A line of the manifest with its corrected label."""
    row = dict(values)
    if answer is None:
        return row
    for column, means in (("labels", "yes"), (NEGATIVES_COLUMN, "no")):
        if column in row:
            names = [each for each in row[column].split(LABEL_SEPARATOR) if each not in ("", name)]
            row[column] = LABEL_SEPARATOR.join(names + [name] * (answer == means))
    return row

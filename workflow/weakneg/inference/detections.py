"""Scores as the files of other tools: `python -m weakneg detections`."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from weakneg.errors import UserError
from weakneg.io.csv import write_frame, write_table
from weakneg.io.files import replace_when_whole
from weakneg.stages import command
from weakneg.training.thresholds import Point, Threshold

if TYPE_CHECKING:
    import pandas as pd

_MODEL = ["study", "class", "strategy", "seeds"]
_MADE = ["date", "time", "site"]
_APPLIED = ["threshold", "calibrated"]  # columns that `predict` writes if asked
_CHANNEL = "channel"  # a column that it writes for studies that heard each
_VALIDATION = ("precision", "recall", *Point._fields[1:])
_TOUCH = 1e-6  # seconds; times in the table have nine digits


Thresholds: TypeAlias = Mapping[str, float]
"""Class -> the score from which on a clip is detected."""


class Detection(NamedTuple):
    """Neighbouring clips of a recording that are taken for a class.

    Attributes
    ----------
    recording : str
        Path of the recording.
    start, end : float
        Seconds in it.
    class_name : str
        The class.
    score : float
        The highest of the clips.
    date, time, site : str
        When it starts and where it was recorded; empty if they are not known.
    channel : int
        The channel, from 1, if the study heard each; otherwise 0.
    """

    recording: str
    start: float
    end: float
    class_name: str
    score: float
    date: str = ""
    time: str = ""
    site: str = ""
    channel: int = 0


@command
def detections(
    scores: Path,
    /,
    format: Literal["csv", "raven", "audacity", "kaleidoscope", "wide", "parquet"],
    output: Path,
    threshold: Threshold | None = None,
    models: list[Path] | None = None,
    top: int | None = None,
) -> None:
    """Write the scores of `predict` for another tool.

    A clip is detected if its score is at least the threshold. Clips of a recording that touch or
    overlap become one detection, with the highest of their scores; those of different channels do
    not. raven and audacity get a folder with a file for each recording (audacity: for each channel,
    if the study heard each), also where nothing was detected; _thresholds.csv in it says what was
    applied, and what that gave on the validation bags. csv and kaleidoscope are one table of
    detections, with the threshold in a column. wide (a row for each clip, a column for each class)
    and parquet hold all scores.

    Parameters
    ----------
    scores : Path
        The CSV file that `predict` has written, with one model for each class.
    format : str
        csv, raven, audacity, kaleidoscope, wide or parquet.
    output : Path
        The file, or the folder, to write.
    threshold : Rule
        Score from which on a clip is detected, such as 0.4, or how to choose it for each class from
        the validation bags of its model: best-f1, best-gmean, precision:0.9 or recall:0.8. Only for
        detections; by default what `predict --threshold` has written.
    models : list of Path
        Folders of the runs that made the scores, or their model.pt, for thresholds that are chosen.
    top : int
        Keep only so many detections of each class, those with the highest scores.

    Raises
    ------
    UserError
        When the file is not a table of scores, several models have scored a class, an option is
        missing or not used, a model is missing or has not kept its validation bags, no threshold
        has the precision, or the folder exists.
    """
    table = read_scores(scores)
    if format in _OF_SCORES:
        if threshold is not None or top is not None:
            raise UserError(f"--format {format} holds all scores: leave out --threshold and --top.")
        _OF_SCORES[format](table, output)
        return
    if threshold is None and "threshold" not in table:
        raise UserError(
            f"--format {format} holds detections: say from which score on, as in --threshold 0.5, "
            "or choose it from validation, as in --threshold best-f1 --models results/mine/runs/*/*"
        )
    applied = _thresholds(table, threshold, models or [])
    thresholds = dict(zip(applied["class"], applied["threshold"], strict=True))
    found = detect(table, thresholds, top)
    recordings = list(dict.fromkeys(table["recording"]))
    if format in _IN_FOLDERS:
        _write_folder(format, table, applied, found, thresholds, output)
    else:
        _IN_TABLES[format](found, thresholds, output, _CHANNEL in table)
    n, of = len(found), len(recordings)
    print(f"{output}: {n:,} detection{'s' * (n != 1)} in {of:,} recording{'s' * (of != 1)}")


def detect(
    table: "pd.DataFrame", thresholds: Thresholds, top: int | None = None
) -> list[Detection]:
    """Join neighbouring clips with scores of at least a threshold.

    Parameters
    ----------
    table : DataFrame
        The columns recording, start, end, class and score, and channel if each was heard.
    thresholds : mapping
        Class -> the lowest score that counts.
    top : int, optional
        How many detections of each class to keep, those with the highest scores.

    Returns
    -------
    list of Detection
        In the order of recordings and time.
    """
    found: list[Detection] = []
    channels = [_CHANNEL] if _CHANNEL in table else []
    columns = ["recording", "class", "start", "end", "score", *_MADE, *channels]
    above = table.loc[table["score"] >= table["class"].map(thresholds), columns].sort_values(
        ["recording", "class", *channels, "start"], kind="stable"
    )
    for recording, name, start, end, score, *more in above.itertuples(index=False):
        each = Detection(recording, start, end, name, score, *more)
        last = found[-1] if found else None
        if last is not None and _continues(last, each):
            found[-1] = last._replace(end=max(last.end, end), score=max(last.score, score))
        else:
            found.append(each)
    if top is not None:
        of_class: dict[str, list[Detection]] = {}
        for each in sorted(found, key=lambda each: -each.score):
            of_class.setdefault(each.class_name, []).append(each)
        found = [each for its_own in of_class.values() for each in its_own[:top]]
    return sorted(found)


def _continues(last: Detection, each: Detection) -> bool:
    """Whether a clip continues a detection of the same class in the same channel."""
    place, next_place = ((d.recording, d.class_name, d.channel) for d in (last, each))
    return place == next_place and each.start <= last.end + _TOUCH


def read_scores(path: Path) -> "pd.DataFrame":
    """The scores, without rows of problems; one model for each class."""
    import pandas as pd

    needed = ["recording", "start", "end", *_MODEL, "score"]
    try:
        # Classes may be called NA or nan, and files 0123 or 1e5.
        text = dict.fromkeys(("recording", *_MODEL, *_MADE), str)
        table = pd.read_csv(path, keep_default_na=False, dtype=text)
        table = table.reindex(columns=dict.fromkeys([*table.columns, *_MADE]), fill_value="")
        needed[3:3] = [_CHANNEL] if _CHANNEL in table else []
        needed += [*_MADE, *(name for name in _APPLIED if name in table)]
        table = table.loc[table["score"] != "", needed]
        numbers = [name for name in ("start", "end", "score", "threshold") if name in table]
        table = table.astype(dict.fromkeys(numbers, float))
        if _CHANNEL in table:
            table = table.astype({_CHANNEL: float}).astype({_CHANNEL: int})
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} cannot be read as scores ({error}): name the file that `predict` has written."
        ) from None
    models = table.drop_duplicates(_MODEL)
    twice = models.loc[models["class"].duplicated(), "class"]
    if len(twice):
        several = models[models["class"] == twice.iloc[0]]
        named = " and ".join("/".join(row) for row in several[["study", "strategy"]].to_numpy())
        raise UserError(
            f"{path} has scores of several models of {twice.iloc[0]!r} ({named}): score with one "
            "model for each class."
        )
    return table


def _thresholds(
    table: "pd.DataFrame", threshold: Threshold | None, models: list[Path]
) -> "pd.DataFrame":
    """A row for each model with its threshold, and what that gives on its validation bags."""
    rows = table.drop_duplicates(_MODEL)
    if threshold is None:
        return rows[[*_MODEL, "threshold"]]
    if threshold.name == "score" and not models:
        return rows[_MODEL].assign(threshold=threshold.target)
    # Imported here: only models need PyTorch.
    from weakneg.inference.thresholds import Model, thresholds_from_files

    named = [Model(*row) for row in rows[_MODEL].to_numpy()]
    chosen = thresholds_from_files(named, threshold, "calibrated" in table, models)
    rows = rows[_MODEL].assign(threshold=[each for each, _ in chosen.values()])
    points = [point for _, point in chosen.values()]
    if not all(points):
        return rows
    return rows.assign(**{name: [getattr(each, name) for each in points] for name in _VALIDATION})


# ---- all scores ----------------------------------------------------------------------------------
def _wide(table: "pd.DataFrame", output: Path) -> None:
    clips = ["recording", "start", "end", *([_CHANNEL] if _CHANNEL in table else []), *_MADE]
    wide = table.pivot(index=clips, columns="class", values="score").reset_index()
    write_table(output, list(wide.columns), wide.itertuples(index=False))


def _parquet(table: "pd.DataFrame", output: Path) -> None:
    import pyarrow as pa

    from weakneg.io import parquet

    parquet.write_table(output, pa.Table.from_pandas(table, preserve_index=False))


# ---- tables of detections ------------------------------------------------------------------------
def _csv(found: Sequence[Detection], thresholds: Thresholds, output: Path, channels: bool) -> None:
    place = ("recording", "start", "end", *([_CHANNEL] if channels else []))
    rows = []
    for each in found:
        channel, threshold = [each.channel] if channels else [], thresholds[each.class_name]
        made = (each.date, each.time, each.site)
        rows.append((*each[:3], *channel, each.class_name, each.score, threshold, *made))
    write_table(output, (*place, "class", "score", "threshold", *_MADE), rows)


def _kaleidoscope(
    found: Sequence[Detection], thresholds: Thresholds, output: Path, channels: bool
) -> None:
    place = ("INDIR", "FOLDER", "IN FILE", *(["CHANNEL"] if channels else []))
    header = (*place, "OFFSET", "DURATION", "DATE", "TIME")
    rows = []
    for each in found:
        path = Path(each.recording).absolute()
        file = (str(path.parent.parent), path.parent.name, path.name)
        channel = [each.channel - 1] if channels else []  # Kaleidoscope counts from 0
        times = (each.start, round(each.end - each.start, 6))
        when, threshold = (each.date, each.time), thresholds[each.class_name]
        rows.append((*file, *channel, *times, *when, each.class_name, "", each.score, threshold))
    write_table(output, (*header, "AUTO ID", "MANUAL ID", "SCORE", "THRESHOLD"), rows)


# ---- a file for each recording -------------------------------------------------------------------
def _raven(recording: str, found: Iterable[Detection], thresholds: Thresholds) -> str:
    header = (
        *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)"),
        *("High Freq (Hz)", "Begin File", "Species", "Confidence", "Threshold (score)"),
    )
    high = _highest_hz(recording)
    rows = [
        (
            # Readers such as crowsetta take times and frequencies without a point for no numbers.
            *(number, "Spectrogram 1", each.channel or 1, each.start, each.end, 0.0, high),
            *(os.path.basename(recording), each.class_name, f"{each.score:.4f}"),
            thresholds[each.class_name],
        )
        for number, each in enumerate(found, 1)
    ]
    # Raven knows no quotes.
    return "".join("\t".join(map(str, row)) + "\n" for row in (header, *rows))


def _audacity(recording: str, found: Iterable[Detection], thresholds: Thresholds) -> str:
    lines = (f"{each.start:.6f}\t{each.end:.6f}\t{each.class_name}\n" for each in found)
    return "".join(lines)


def _highest_hz(recording: str) -> float:
    """The highest frequency in a recording; Raven needs one to draw a selection."""
    import soundfile

    try:
        rate: float = soundfile.info(recording).samplerate
    except (OSError, RuntimeError):  # moved, or only ffmpeg reads it
        return 8000.0
    return rate / 2


def _ending(format: str, channel: int) -> str:
    """How the name of a file ends: tables of Raven have a column for the channel."""
    if format == "raven":
        return ".selections.txt"
    return f".ch{channel}.txt" if channel else ".txt"


def _write_folder(
    format: str,
    table: "pd.DataFrame",
    applied: "pd.DataFrame",
    found: Iterable[Detection],
    thresholds: Thresholds,
    output: Path,
) -> None:
    """Write a file for each recording, or channel, of the table, in folders as they are."""
    if output.exists():
        raise UserError(f"{output} exists: name a new folder.")
    channels = table[_CHANNEL] if _CHANNEL in table else [0] * len(table)
    of_file: dict[tuple[str, str], list[Detection]] = {
        (recording, _ending(format, channel)): []
        for recording, channel in zip(table["recording"], channels, strict=True)
    }
    for each in found:
        of_file[each.recording, _ending(format, each.channel)].append(each)
    home = os.path.commonpath([os.path.dirname(os.path.abspath(each)) for each, _ in of_file])
    with replace_when_whole(output) as temporary:
        for (recording, ending), its_own in of_file.items():
            inside = os.path.relpath(os.path.abspath(recording), home)
            path = Path(temporary, f"{inside}{ending}")
            path.parent.mkdir(parents=True, exist_ok=True)
            text = _IN_FOLDERS[format](recording, its_own, thresholds)
            path.write_text(text, encoding="utf-8", newline="")
        write_frame(Path(temporary, "_thresholds.csv"), applied)


_OF_SCORES: dict[str, Callable[["pd.DataFrame", Path], None]] = {"wide": _wide, "parquet": _parquet}
_IN_TABLES: dict[str, Callable[[Sequence[Detection], Thresholds, Path, bool], None]] = {
    "csv": _csv,
    "kaleidoscope": _kaleidoscope,
}
_IN_FOLDERS: dict[str, Callable[[str, Iterable[Detection], Thresholds], str]] = {
    "raven": _raven,
    "audacity": _audacity,
}

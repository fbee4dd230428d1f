"""Clips to listen to and to correct: `python -m weakneg clips`."""

import base64
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from weakneg.errors import UserError
from weakneg.inference.detections import read_scores
from weakneg.io.files import replace_when_whole
from weakneg.stages import command

if TYPE_CHECKING:
    import pandas as pd

    from weakneg.audio.clips import Clip

_LONGEST_NAME = 60  # characters of the name of a recording in that of a clip
_FRAME_SHIFT_MS = 20.0  # of the pictures: wide enough to see a call, small enough for 50 of them


class Listed(NamedTuple):
    """A clip that the page lists.

    Attributes
    ----------
    recording : str
        Path of the recording.
    start, end : float
        Seconds in it.
    score : float
        That of the class.
    file : str
        Name of its WAV file.
    channel : int
        Its channel, from 1, if the study heard each; otherwise 0.
    """

    recording: str
    start: float
    end: float
    score: float
    file: str
    channel: int = 0

    @property
    def id(self) -> str:
        """Id on the page, and in the list that it saves."""
        channel = f"-ch{self.channel}" if self.channel else ""
        return f"{self.recording}@{self.start:g}{channel}"


@command
def clips(
    scores: Path,
    /,
    output: Path,
    top: int = 50,
    doubtful: bool = False,
    class_name: str | None = None,
    study: str | None = None,
) -> None:
    """Cut the clips of a class with the highest scores, to listen to them and to correct labels.

    The folder that is written has the clips as WAV files, the first ranks first, and the page
    clips.html, which plays them, shows their spectrograms, and asks whether the class is heard. It
    saves the answers as a list that the key `corrections` of a study reads.

    Parameters
    ----------
    scores : Path
        The CSV file that `predict` has written, with one model for each class.
    output : Path
        The folder to write.
    top : int
        How many clips.
    doubtful : bool
        Those with scores closest to 0.5, about which the model is undecided, instead of the
        highest.
    class_name : str
        The class; it may be left out if only one was scored.
    study : str
        A study of these recordings: only clips of which neither its list nor its corrections say
        whether they hold the class.

    Raises
    ------
    UserError
        When the file is not a table of scores, there is no such class, a recording cannot be read,
        or the folder exists.
    """
    from weakneg.report.page.render import render

    if output.exists():
        raise UserError(f"{output} exists: name a new folder.")
    if top < 1:
        raise UserError(f"--top must be at least 1, not {top}.")
    table, name = _of_class(read_scores(scores), class_name, scores)
    if study is not None:
        table = _unknown(table, name, study)
    listed = [*_ranked(table, top, doubtful)]
    sounds: dict[str, dict[str, str]] = {}
    with replace_when_whole(output) as temporary:
        folder = Path(temporary)
        folder.mkdir(exist_ok=True)
        for each in listed:
            parts = _cut(each, folder / each.file)
            sounds[each.id] = {k: base64.b64encode(part).decode() for k, part in parts.items()}
        page = render(
            "clips.html",
            class_name=name,
            summary={"name": str(table["study"].iloc[0])},
            table=_table(listed, name),
            n_scored=len(table),
            doubtful=doubtful,
            sounds=sounds,
        )
        (folder / "clips.html").write_text(page, encoding="utf-8", newline="\n")
    print(f"{output / 'clips.html'}: {len(listed):,} of {len(table):,} clips, for {name!r}")


def _of_class(
    table: "pd.DataFrame", class_name: str | None, scores: Path
) -> tuple["pd.DataFrame", str]:
    """The scores of a class, and its name."""
    from weakneg.config.messages import no_such

    names = [*dict.fromkeys(table["class"])]
    if not names:
        raise UserError(f"{scores} has no scores: name recordings that can be scored to `predict`.")
    if class_name is None and len(names) > 1:
        raise UserError(
            f"{scores} has scores of {len(names)} classes: name one of them, as in --class-name "
            f"{names[0]!r}."
        )
    name = names[0] if class_name is None else class_name
    if name not in names:
        raise UserError(f"--class-name: {no_such(name, f'a class of {scores}', names)}")
    return table[table["class"] == name], name


def _unknown(table: "pd.DataFrame", name: str, study: str) -> "pd.DataFrame":
    """The scores of clips of which a study does not know whether they hold a class."""
    from weakneg.audio.recordings import recordings_of
    from weakneg.config.classes import class_names
    from weakneg.config.load import load_study
    from weakneg.config.messages import no_such
    from weakneg.datasets import UNKNOWN
    from weakneg.datasets.corrections import SAME_START_SECONDS, read_corrections, recording_of
    from weakneg.features.labels import label_clips

    loaded = load_study(study)
    dataset, audio = loaded.dataset, loaded.audio
    if audio is None or not dataset.lists_recordings:
        raise UserError(f"--study: {study} is not about recordings of your own.")
    classes = class_names(dataset)
    if name not in classes:
        raise UserError(f"--study: {no_such(name, f'a class of {study}', classes)}")
    folder = dataset.folder or ""
    listed = {row.id: row for row in recordings_of(dataset, Path(folder))}
    table = table.assign(id=[recording_of(path, listed, folder) for path in table["recording"]])
    table = table[table["id"].notna()]  # others cannot be corrected
    labelled = label_clips(
        table["id"].to_numpy(str),
        table["start"].to_numpy(float),
        table["end"].to_numpy(float),
        listed,
        classes,
        audio.sample_rate,
        audio.min_overlap,
        dataset.unlisted,
        table["channel"].to_numpy(int) if audio.channel == "each" and "channel" in table else None,
    )
    heard: set[int] = set()
    for each in (each for file in loaded.corrections or () for each in read_corrections(file)):
        if each.class_name != name:
            continue
        mine = table["id"] == recording_of(each.id, listed, folder)
        if each.channel is not None and "channel" in table:
            mine &= table["channel"] == each.channel
        starts = table.loc[mine, "start"]
        if each.start is not None:
            away = (starts - each.start).abs()
            starts = starts[away <= min(away.min(), SAME_START_SECONDS)]
        heard.update(starts.index)
    unknown = labelled.y[:, classes.index(name)] == UNKNOWN
    table = table[unknown & ~table.index.isin(heard)]
    if table.empty:
        raise UserError(
            f"--study: {study} says of each clip whether it holds {name!r}: if what its list does "
            "not name is unknown, say dataset: {unlisted: unknown}."
        )
    return table


def _ranked(table: "pd.DataFrame", top: int, doubtful: bool) -> Iterator[Listed]:
    """The clips to listen to, the first rank first."""
    rank = (table["score"] - 0.5).abs() if doubtful else -table["score"]
    first = table.assign(rank=rank).sort_values(["rank", "recording", "start"]).head(top)
    digits = len(str(len(first)))
    for number, row in enumerate(first.itertuples(index=False), 1):
        name = Path(row.recording).stem[:_LONGEST_NAME]
        channel = getattr(row, "channel", 0)
        where = f"{row.start:g}s_ch{channel}" if channel else f"{row.start:g}s"
        file = f"{number:0{digits}}_{row.score:.3f}_{name}_{where}.wav"
        yield Listed(row.recording, row.start, row.end, row.score, file, channel)


def _cut(each: Listed, path: Path) -> dict[str, bytes]:
    """Write the sound of a clip, at the rate of its recording; return what the page needs."""
    import soundfile

    from weakneg.audio.errors import AudioError
    from weakneg.report.sounds import as_mp3, as_png

    try:
        clip, rate = _read(each)
    except AudioError as error:
        raise UserError(
            f"{each.recording} cannot be read ({error.reason}: {error}): its path is relative to "
            "the folder in which `predict` was run."
        ) from None
    soundfile.write(path, clip.sound.waveform, rate, subtype="PCM_16")
    return {"sound": as_mp3(clip, rate), "picture": as_png(clip)}


def _read(each: Listed) -> tuple["Clip", int]:
    """A clip with the spectrogram of all that is in it, and the sample rate of its recording."""
    from weakneg.audio.clips import compute_clip
    from weakneg.audio.decode import open_audio
    from weakneg.config.sections import AudioSettings

    with open_audio(each.recording, 16000) as audio:
        rate = audio.file_rate
    seconds = each.end - each.start
    settings: dict[str, Any] = AudioSettings(
        sample_rate=rate, clip_seconds=seconds, frame_shift_ms=_FRAME_SHIFT_MS
    ).model_dump()
    with open_audio(each.recording, rate) as audio:
        stretch = audio.stretch(each.start, seconds)
        if each.channel:
            stretch = stretch.of_channel(each.channel)
        return compute_clip(audio, each.start, each.end, stretch, settings), rate


def _table(listed: list[Listed], class_name: str) -> Any:
    """The table of the page."""
    from weakneg.report.page.tables import Cell, Table

    rows = [
        [
            Cell(f"{rank}", rank),
            Cell(
                Path(each.recording).name,
                each.recording,
                link=urllib.parse.quote(each.file),
                note=f"channel {each.channel}" if each.channel else "",
            ),
            Cell(f"{each.start:g}", each.start),
            Cell(f"{each.score:.3f}", each.score),
        ]
        for rank, each in enumerate(listed, 1)
    ]
    return Table(
        "clips",
        "a name leads to the WAV file",
        ["Rank", "Recording", "Start, s", "Score"],
        rows,
        of_class=[class_name] * len(rows),
        of_clip=[(each.id, each.start) for each in listed],
    )

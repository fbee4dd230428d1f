"""Scoring of recordings with trained models."""

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

from weakneg.audio.bandwidth import misses_most_of, unheard
from weakneg.audio.clips import Clip, compute_clips, in_order
from weakneg.audio.decode import open_audio
from weakneg.audio.errors import AudioError
from weakneg.audio.files import is_audio, nearest, visible_files
from weakneg.audio.recorders import Made, made
from weakneg.errors import Interrupted, UserError
from weakneg.inference.embeddings import EmbeddingsFile, embeddings_file
from weakneg.inference.thresholds import calibrated_models, thresholds_of
from weakneg.inference.trained import (
    FrontEnd,
    Predictions,
    TrainedModel,
    by_file,
    read_models,
    score_classes,
)
from weakneg.inference.unfinished import Tables, unfinished_tables
from weakneg.io.progress import Progress
from weakneg.jobs.device import prepare
from weakneg.jobs.gpus import Device
from weakneg.stages import Threads, command
from weakneg.training.thresholds import Threshold

_MODEL = ("study", "class", "strategy", "seeds")

_BATCH = 32  # clips
_ENDINGS = 10  # of skipped files that are listed


class Piece(NamedTuple):
    """A clip of a recording, or what is wrong with it.

    Attributes
    ----------
    recording : str
        Path of the recording.
    start, end : float or None
        Seconds in the recording; None if the problem concerns all of it.
    clip : Clip or None
        None if there is a problem.
    problem : str
        "" if there is a clip.
    file_rate : int
        Sample rate of the recording, Hz; 0 if it could not be opened.
    channel : int or None
        The channel, from 1, if each is heard; None also if the problem concerns all of them.
    """

    recording: str
    start: float | None
    end: float | None
    clip: Clip | None
    problem: str
    file_rate: int = 0
    channel: int | None = None

    def place(self, each: bool) -> tuple[str, ...]:
        """The values of the columns that `clip_columns` names."""
        times = (self.start, self.end)
        texts = (self.recording, *("" if time is None else _decimal(time) for time in times))
        channel = "" if self.channel is None else str(self.channel)
        return (*texts, channel) if each else texts


class End(NamedTuple):
    """Follows the pieces of a recording."""

    recording: str


@command
def predict(
    recordings: list[Path],
    /,
    models: list[Path],
    output: Path,
    frames: Path | None = None,
    embeddings: Path | None = None,
    encoder: Path | None = None,
    tail: bool = True,
    overlap: float | None = None,
    threshold: Threshold | None = None,
    calibrated: bool = False,
    resume: bool = False,
    seeds: list[int] | None = None,
    device: Device = "",
    threads: Threads | None = None,
) -> None:
    """Score recordings with models; write a CSV file with a row for each clip and model.

    The columns are recording, start and end of the clip in it (seconds), its channel (from 1) if
    the study heard each, the model (study, class, strategy and seeds, separated by semicolons),
    score (0 to 1, mean over seeds), problem, and date, time and site of the clip, as far as the
    name or the header of the recording says them (see `weakneg.audio.recorders`). Recordings longer
    than a clip are cut like those of the study; a rest at the end that the study leaves out, since
    it is shorter than half a clip, is scored in one more clip, which ends with the recording. A
    clip or a recording that cannot be used gets one row with the problem and no score. With
    `threshold` and `calibrated`, a column of the same name follows.

    Parameters
    ----------
    recordings : list of Path
        Audio files, or folders of them; all audio files in these are scored.
    models : list of Path
        Folders of runs, or their model.pt, from studies with the same spectrograms or embeddings.
    output : Path
        The CSV file.
    frames : Path
        Another CSV file, for the scores of frames: a row for each frame that a model scores, except
        padding, with the clip, the time of its centre (seconds in the recording), the model, the
        score, and the part of the frame in that of the clip.
    embeddings : Path
        A Parquet file for the embeddings of clips and of their frames, a row for each clip, model
        and seed, and for each frame of it; `weakneg.inference.embeddings` lists the columns.
    encoder : Path
        The ONNX file of the encoder, for models of a study with one; by default the file that its
        embeddings were computed with, where that was.
    tail : bool
        Score what is left at the end of a recording, as far as it has a frame of a spectrogram.
    overlap : float
        Seconds by which clips overlap, less than their length; by default as in the study.
    threshold : Rule
        best-f1, best-gmean, precision:0.9, recall:0.8 or a score such as 0.4: the score from which
        on a clip is detected, chosen for each model from its validation bags. It is written to the
        column threshold, and `detections` uses it.
    calibrated : bool
        Turn scores into probabilities, with what the scores of the validation bags meant, where the
        class is as common as in the training list. Frames are not calibrated.
    resume : bool
        Keep the recordings that an interrupted run of the same command has finished, and score the
        others.
    seeds : list of int
        The score is the mean over these; by default over all seeds of a run.
    device : str
        auto, cpu, cuda or cuda:N; by default what WEAKNEG_DEVICE says, or auto.
    threads : int
        CPU threads; by default all.

    Raises
    ------
    UserError
        When a model or a file is missing or cannot be used, when no clip could be scored (the file
        is still written, with the problems), when it cannot be written, when two files have the
        same path, when the interrupted run had other models or options, when `resume` is to
        continue a file of embeddings, and when a model has not kept the validation bags that a
        threshold or calibration needs.
    Interrupted
        After Ctrl-C; what was finished is kept for `resume`.
    """
    threads = threads or os.cpu_count() or 1
    taken: dict[str, str] = {}
    for what, path in {"clips": output, "frames": frames, "embeddings": embeddings}.items():
        if path is None:
            continue
        if os.path.isdir(path):
            raise UserError(f"{path} is a folder: name a file to write.")
        other = taken.setdefault(os.path.realpath(path), what)
        if other != what:
            raise UserError(
                f"{path} is named for {other} and for {what}: give --{what} another name."
            )
    if embeddings and resume:
        raise UserError("--resume cannot continue a file of embeddings: leave out one of the two.")
    # Each thread computes a different clip or model.
    loaded = read_models(models, seeds, prepare(device, threads=1), encoder)
    cut = _overlapping(loaded[0].front_end, overlap)
    paths = find_recordings(recordings)
    more: dict[str, list[Any]] = {}  # column -> its value for each model
    if calibrated:
        loaded = calibrated_models(loaded)
        more["calibrated"] = ["yes"] * len(loaded)
    if threshold is not None:
        more["threshold"] = [_every_digit(each) for each in thresholds_of(loaded, threshold)]
    each = loaded[0].front_end.hears_each
    tables: dict[Path, Sequence[str]] = {output: (*columns_of(each), *more)}
    if frames:
        tables[frames] = (*clip_columns(each), "time", *_MODEL, "score", "part")
    made_of = _made_of(loaded, tail, bool(frames)) | {"overlap": overlap, **more}
    written = None
    try:
        with ExitStack() as stack:
            written = stack.enter_context(unfinished_tables(tables, made_of, resume))
            embedded = None
            if embeddings:
                embedded = stack.enter_context(embeddings_file(embeddings, each))
            left = _not_finished(paths, written, resume)
            wide = score_recordings(
                *(loaded, left, written, len(paths), tail, threads),
                embedded=embedded,
                cut=cut,
                more=list(more.values()),
            )
    except KeyboardInterrupt:
        n_finished = len(written.finished) if written else 0
        raise Interrupted(
            f"interrupted when {n_finished} of {len(paths)} recordings were scored: repeat the "
            "command with --resume to go on."
        ) from None
    except OSError as error:
        path = error.filename or output
        raise UserError(f"{path} cannot be written ({error.strerror or error}).") from error
    n_scored = sum(each.n_scored for each in written.finished.values())
    n_problems = sum(each.n_problems for each in written.finished.values())
    said = f"{output}: {n_scored} clips of {len(written.finished)} recordings were scored"
    if n_problems:
        said += f", {n_problems} could not be used (see the column problem)"
    if wide:
        line = unheard(len(wide), len(left), max(wide), loaded[0].front_end.log_mel)
        print(f"{output}: {line}", file=sys.stderr)
    if not n_scored:
        raise UserError(f"{said}.")
    print(said, file=sys.stderr)


def clip_columns(each: bool) -> tuple[str, ...]:
    """The columns that say which clip it is; `each`: whether each channel is heard."""
    return ("recording", "start", "end", *(["channel"] if each else []))


def columns_of(each: bool) -> tuple[str, ...]:
    """The columns of the table of clips."""
    return (*clip_columns(each), *_MODEL, "score", "problem", *Made._fields)


def _made_of(models: Sequence[TrainedModel], tail: bool, frames: bool) -> dict[str, Any]:
    """What the rows of the tables depend on, other than the recordings."""
    return {
        "models": [[*model.name, model.seeds, _digest(model.path)] for model in models],
        "tail": tail,
        "frames": frames,
    }


def _overlapping(front_end: FrontEnd, overlap: float | None) -> FrontEnd:
    """The same front end, but with clips that overlap by some seconds."""
    if overlap is None:
        return front_end
    settings = front_end.settings
    length = settings["clip_seconds"]
    hop = round(length - overlap, 9)
    if not (overlap >= 0 and hop * settings["sample_rate"] >= 1):
        raise UserError(f"--overlap {overlap:g} must be at least 0 and less than {length:g} s.")
    return front_end._replace(settings={**settings, "hop_seconds": hop})


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _not_finished(paths: Sequence[str], written: Tables, resume: bool) -> list[str]:
    """The recordings that an earlier run has not finished."""
    finished = written.finished
    if resume:
        kept = f"{len(finished)} finished recordings are kept" if finished else "nothing is kept"
        print(f"--resume: {kept}", file=sys.stderr)
    return [path for path in paths if path not in finished]


def score_recordings(
    models: Sequence[TrainedModel],
    paths: Sequence[str],
    written: Tables,
    n_recordings: int,
    tail: bool,
    threads: int,
    *,
    embedded: EmbeddingsFile | None = None,
    cut: FrontEnd | None = None,
    more: Sequence[Sequence[Any]] = (),
) -> list[int]:
    """Score recordings; return the sample rates of those that hold far higher frequencies.

    They are cut as `cut` says, by default as for the models. `more` are further columns, each with
    a value for each model.
    """
    front_end = models[0].front_end
    each = front_end.hears_each
    table, *of_frames = written.writers
    wide: list[int] = []
    n_scored, n_problems, rate = 0, 0, 0  # of the recording that is being written
    sources = (_pieces_and_end(path, cut or front_end, tail) for path in paths)
    with (
        closing(in_order(sources, threads)) as pieces,
        ThreadPoolExecutor(threads) as pool,
    ):
        for batch in _batches(_with_progress(pieces, n_recordings, len(written.finished))):
            scores = _score(models, batch, bool(of_frames), embedded is not None, pool)
            number = 0  # position of the clip in the batch
            for piece in batch:
                if isinstance(piece, End):
                    written.finish(piece.recording, n_scored, n_problems)
                    if front_end.encoder is None and misses_most_of(front_end.log_mel, rate):
                        wide.append(rate)
                    n_scored, n_problems, rate = 0, 0, 0
                    continue
                rate = piece.file_rate
                when = made(piece.recording).after(piece.start or 0)
                if piece.clip is None:
                    n_problems += 1
                    empty, none = [""] * (len(_MODEL) + 1), [""] * len(more)
                    table.writerow((*piece.place(each), *empty, piece.problem, *when, *none))
                    continue
                for place, (model, of_model) in enumerate(zip(models, scores, strict=True)):
                    score = _every_digit(of_model.clip[number])
                    values = (*when, *(column[place] for column in more))
                    clip = piece.place(each)
                    table.writerow((*clip, *model.name, model.seeds, score, "", *values))
                    for writer in of_frames:
                        writer.writerows(_frame_rows(piece, model, of_model, number))
                    if embedded is not None:
                        _add_embeddings(embedded, piece, model, of_model, number)
                n_scored += 1
                number += 1
    return wide


def find_recordings(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """List the given files, and the audio files in the given folders.

    Parameters
    ----------
    paths : iterable of path
        Files are taken as they are. Folders are searched at any depth, by the endings of the names,
        without hidden files; what is skipped is counted on stderr.

    Returns
    -------
    list of str
        Distinct paths; those in a folder in order of name.

    Raises
    ------
    UserError
        When a path does not exist, or a folder has no audio files.
    """
    found: dict[str, None] = {}
    for path in paths:
        if os.path.isfile(path):
            found[os.fspath(path)] = None
        elif os.path.isdir(path):
            inside = list(_audio_files(path))
            if not inside:
                raise UserError(
                    f"{path} has no audio files, judging by the endings of the names: name "
                    "recordings or folders of them."
                )
            found.update(dict.fromkeys(inside))
        else:
            guess = nearest(os.fspath(path), Path())
            raise UserError(f"{path} is missing{guess}: name recordings or folders of them.")
    return list(found)


def _audio_files(folder: str | os.PathLike[str]) -> Iterator[str]:
    skipped: Counter[str] = Counter()
    for path in visible_files(folder):
        if is_audio(path):
            yield str(path)
        else:
            skipped[path.suffix.lower() or "no ending"] += 1
    if skipped:
        endings = ", ".join(f"{count} {ending}" for ending, count in skipped.most_common(_ENDINGS))
        more = ", ..." if len(skipped) > _ENDINGS else ""
        print(
            f"{folder}: {skipped.total()} files are skipped for their endings ({endings}{more}): "
            "name those that are recordings",
            file=sys.stderr,
        )


def pieces_of(path: str, front_end: FrontEnd, tail: bool = False) -> Iterator[Piece]:
    """Cut a recording into clips and compute their features.

    Parameters
    ----------
    path : str
        The recording.
    front_end : FrontEnd
        That of the models.
    tail : bool
        Whether what is left at the end gives one more clip, if it has a frame of a spectrogram.

    Yields
    ------
    Piece
        At least one, with the clip or its problem.
    """
    settings = front_end.settings
    try:
        heard = settings.get("channel", "mean")
        with open_audio(path, settings["sample_rate"], channel=heard) as audio:
            for _, item in compute_clips(audio, settings, tail, front_end.compute):
                clip, problem = (item, "") if isinstance(item, Clip) else (None, item.message)
                of_clip = isinstance(item, Clip) or item.is_clip
                channel = (item.channel or 1) if of_clip and front_end.hears_each else None
                where = (path, item.start, item.end)
                yield Piece(*where, clip, problem, audio.file_rate, channel)
    except AudioError as error:
        yield Piece(path, None, None, None, f"{error.reason}: {error}")


def _pieces_and_end(path: str, front_end: FrontEnd, tail: bool) -> Iterator[Piece | End]:
    yield from pieces_of(path, front_end, tail)
    yield End(path)


def _batches(pieces: Iterable[Piece | End]) -> Iterator[list[Piece | End]]:
    """Yield lists of pieces that contain `_BATCH` clips each, or fewer in the last one."""
    batch: list[Piece | End] = []
    n_clips = 0
    try:
        for piece in pieces:
            batch.append(piece)
            n_clips += isinstance(piece, Piece) and piece.clip is not None
            if n_clips == _BATCH:
                yield batch
                batch, n_clips = [], 0
    except KeyboardInterrupt:  # recordings that are read to their end are finished first
        yield batch
        raise
    if batch:
        yield batch


def _score(
    models: Sequence[TrainedModel],
    batch: Sequence[Piece | End],
    frames: bool,
    embeddings: bool,
    pool: ThreadPoolExecutor,
) -> list[Predictions]:
    """Score the clips in a batch with each model; mean over its seeds."""
    clips = [piece.clip.features for piece in batch if isinstance(piece, Piece) and piece.clip]
    if not clips:
        return []
    x, sound = models[0].front_end.padded(clips)
    jobs = [
        [
            pool.submit(score_classes, classes, seed, x, sound, frames, embeddings)
            for seed in classes[0].networks
        ]
        for classes in by_file(models)
    ]
    of_files = [[job.result() for job in of_seeds] for of_seeds in jobs]
    return [
        Predictions.mean(scores) for of_seeds in of_files for scores in zip(*of_seeds, strict=True)
    ]


def _frame_rows(
    piece: Piece, model: TrainedModel, scores: Predictions, number: int
) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the frames of a clip, which is number `number` of its batch."""
    assert scores.frame is not None
    times = _frame_times(piece, model, scores.frame.shape[1])
    for frame, time in enumerate(times):
        score = _every_digit(scores.frame[number, frame])
        part = "" if scores.part is None else _every_digit(scores.part[number, frame])
        clip = piece.place(model.front_end.hears_each)
        yield (*clip, _decimal(time), *model.name, model.seeds, score, part)


def _frame_times(piece: Piece, model: TrainedModel, n_frames: int) -> list[float]:
    """Centres of the frames of a clip, up to its padding, in seconds of the recording."""
    assert piece.clip is not None
    assert piece.start is not None
    rows = range(0, len(piece.clip.features), model.frame_step)[:n_frames]
    return [piece.start + model.front_end.centre(row) for row in rows]


def _add_embeddings(
    file: EmbeddingsFile, piece: Piece, model: TrainedModel, scores: Predictions, number: int
) -> None:
    """Add the embeddings of a clip, which is number `number` of its batch."""
    assert piece.start is not None
    assert piece.end is not None
    for seed, bags, frames in scores.embeddings:
        times = _frame_times(piece, model, frames.shape[1])
        clip = (piece.recording, piece.start, piece.end)
        channel = () if piece.channel is None else (piece.channel,)
        file.add(
            (*clip, *channel), model.name, seed, bags[number], frames[number, : len(times)], times
        )


def _every_digit(score: float) -> str:
    """Scores near 1 differ only in their last digits."""
    return repr(float(score))


def _decimal(number: float) -> str:
    return f"{number:.9g}"


def _with_progress(
    pieces: Iterable[Piece | End], n_recordings: int, n_finished: int
) -> Iterator[Piece | End]:
    """Pass on the pieces, and report on stderr how many recordings are done."""
    with Progress("", n_recordings, "recordings", done=n_finished, parts="clips") as progress:
        for piece in pieces:
            yield piece
            ended = isinstance(piece, End)
            progress.add(units=int(ended), parts=int(not ended))

"""From recordings to clips and their features: log-mel spectrograms, or embeddings."""

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch

from weakneg.audio.decode import OTHER_UNIT_PEAK, AudioFile, Sound, Stretch, open_audio
from weakneg.audio.errors import TOO_SHORT, UNREADABLE, AudioError
from weakneg.audio.mel import LogMel

_PIECE = 16  # clips that a thread computes before they are written
_ROUNDING = 1e-6  # seconds; less than a sample, more than the rounding errors of times

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Clip:
    """A clip of a recording.

    Attributes
    ----------
    start, end : float
        Seconds from the start of the recording, or of the part of it that is listed.
    sound : Sound
        Waveform and levels.
    features : ndarray, (t, F)
        Log-mel spectrogram, float16, or embeddings, float32; without padding.
    channel : int or None
        The channel, from 1, if each of several is heard.
    """

    start: float
    end: float
    sound: Sound
    features: np.ndarray
    channel: int | None = None


class Extent(NamedTuple):
    """What there is of a recording.

    Attributes
    ----------
    seconds : float
        Duration of the part that is used, with what was lost.
    sample_rate : int
        Sample rate of the file, Hz.
    """

    seconds: float
    sample_rate: int


def cut(
    audio: AudioFile, clip_seconds: float, hop_seconds: float, shortest_rest: float = math.inf
) -> Iterator[tuple[float, float, Stretch]]:
    """Cut a recording into clips, as far as it goes: its length is known once its end is read.

    A clip starts every `hop_seconds` until one reaches the end. The last one may be shorter; it is
    left out if it is shorter than half of `clip_seconds`, unless it is the only one.

    Parameters
    ----------
    audio : AudioFile
        The open recording.
    clip_seconds : float
        Duration of a clip.
    hop_seconds : float
        Time from the start of a clip to that of the next.
    shortest_rest : float
        Length from which on what is left out at the end gives one more clip, of `clip_seconds`,
        that ends there; by default nothing does.

    Yields
    ------
    float, float, Stretch
        Start and end of each clip, in seconds from the start of the recording, and its samples.
    """
    number, reached = 0, 0.0
    while True:
        start = number * hop_seconds
        stretch = audio.stretch(start, clip_seconds)
        least = max(reached + _ROUNDING, start + clip_seconds / 2 - _ROUNDING)
        if number and stretch.end < least:
            break
        yield start, stretch.end, stretch
        number, reached = number + 1, stretch.end
    if shortest_rest == math.inf or reached < clip_seconds:
        return
    end = stretch.end
    if start > reached and not len(stretch.samples):  # it ends between two clips
        end = audio.stretch(reached, start - reached).end
    if end - reached >= shortest_rest:
        yield end - clip_seconds, end, audio.stretch(end - clip_seconds, clip_seconds)


def compute_clip(
    audio: AudioFile, start: float, end: float, stretch: Stretch, settings: Mapping[str, Any]
) -> Clip:
    """Compute the log-mel spectrogram of a clip.

    Parameters
    ----------
    audio : AudioFile
        The open recording.
    start, end : float
        Seconds from the start of the recording.
    stretch : Stretch
        The samples of the clip.
    settings : mapping
        As for `clips_of`.

    Returns
    -------
    Clip
        The clip.

    Raises
    ------
    AudioError
        When its sound is unusable.
    """
    sound = audio.sound(stretch, end - start)
    log_mel = LogMel.of(settings)
    if not log_mel.n_frames(len(sound.waveform)):
        raise AudioError(
            TOO_SHORT, f"{end - start:g} s, less than a frame of {log_mel.frame_length_ms:g} ms"
        )
    with torch.inference_mode():
        spectrogram = log_mel(torch.from_numpy(sound.waveform))[: settings["frames"]].half()
    return Clip(start, end, sound, spectrogram.numpy())


Compute: TypeAlias = Callable[[AudioFile, float, float, Stretch, Mapping[str, Any]], Clip]


class Problem(NamedTuple):
    """What is wrong with a part of a recording, or with all of it.

    Attributes
    ----------
    start, end : float or None
        Seconds from the start of the recording; None if it concerns all of it.
    is_clip : bool
        Whether the part is a clip, which cannot be used.
    message : str
        The reason and the details, such as "silent: no sound louder than -100 dBFS".
    kept : bool
        Whether the sound is used all the same.
    channel : int or None
        That of the clip, as in `Clip`.
    """

    start: float | None
    end: float | None
    is_clip: bool
    message: str
    kept: bool = False
    channel: int | None = None


def compute_clips(
    audio: AudioFile,
    settings: Mapping[str, Any],
    tail: bool = False,
    compute: Compute = compute_clip,
) -> Iterator[tuple[int, Clip | Problem]]:
    """Yield the clips of an open recording, and what is wrong with it, in the order of time.

    Parameters
    ----------
    audio : AudioFile
        The recording.
    settings : mapping
        As for `clips_of`.
    tail : bool
        Whether what is left out at the end gives one more clip, if it has a frame of a spectrogram.
    compute : callable
        Computes a clip, as `compute_clip` does; or `weakneg.audio.encoder.Encoder.compute_clip`.

    Yields
    ------
    int, Clip or Problem
        The number of clips so far, from 1, damaged ones included and those of several channels
        counted once; and a clip, a clip that cannot be used, a damaged stretch of the recording,
        once, however many clips it is in, or a remark about the recording.

    Raises
    ------
    AudioError
        When the recording has no sound.
    """
    clip_seconds = settings["clip_seconds"]
    hop_seconds = settings["hop_seconds"] or clip_seconds
    shortest_rest = settings["frame_length_ms"] / 1000 if tail else math.inf
    number, loudest = 0, 0.0
    for start, end, stretch in cut(audio, clip_seconds, hop_seconds, shortest_rest):
        number += 1
        yield from ((number, problem) for problem in _lost(audio, end))
        if stretch.damaged:
            continue
        for channel, heard in audio.channels(stretch):
            try:
                clip = compute(audio, start, end, heard, settings)
            except AudioError as error:
                text = f"{error.reason}: {error}"
                yield number, Problem(start, end, True, text, channel=channel)
                continue
            peak = clip.sound.peak
            if peak > OTHER_UNIT_PEAK >= loudest:
                text = f"unit: samples reach {peak:.6g}, but full scale is 1: divide them"
                yield number, Problem(None, None, False, text, kept=True)
            loudest = max(loudest, peak)
            yield number, replace(clip, channel=channel)
    yield from ((number, problem) for problem in _lost(audio))


def _lost(audio: AudioFile, before: float = math.inf) -> Iterator[Problem]:
    for start, end, message in audio.lost(before):
        yield Problem(start, end, False, f"{UNREADABLE}: {message}")


def clips_of(
    path: str | os.PathLike[str],
    settings: Mapping[str, Any],
    start: float | None = None,
    end: float | None = None,
    compute: Compute = compute_clip,
) -> Generator[tuple[str, Clip | Problem], None, Extent]:
    """Yield the clips of a recording, and what is wrong with it, one by one.

    Parameters
    ----------
    path : path
        The audio file.
    settings : mapping
        The settings of features: see `weakneg.config.stages.ShardSettings`. `waveform` is not used.
    start, end : float, optional
        The part of the file to use, in seconds; by default all of it.
    compute : callable
        As for `compute_clips`.

    Yields
    ------
    str, Clip or Problem
        The suffix of the clip's id, such as "@5", "@5-ch2" if each channel is heard, or "@ch2" if
        the recording is as short as a clip; empty if the recording is a single clip or if the
        problem is not that of a clip. And the clip, or the problem.

    Returns
    -------
    Extent
        What there is of the recording.

    Raises
    ------
    AudioError
        When the whole recording is unusable.
    """
    hop_seconds = settings["hop_seconds"] or settings["clip_seconds"]
    waiting: list[Clip | Problem] = []  # until there is a second clip
    number = 0
    channel = settings.get("channel", "mean")
    with open_audio(path, settings["sample_rate"], start, end, channel) as audio:
        for number, item in compute_clips(audio, settings, compute=compute):
            waiting.append(item)
            if number > 1:
                yield from ((_suffix(each, hop_seconds), each) for each in waiting)
                waiting.clear()
        extent = Extent(audio.seconds, audio.file_rate)
    hop_seconds = hop_seconds if number > 1 else None
    yield from ((_suffix(each, hop_seconds), each) for each in waiting)
    return extent


def _suffix(item: Clip | Problem, hop_seconds: float | None) -> str:
    """The start, unless there is no next one, and the channel.

    The start has six digits, unless these are too few to tell it from the next.
    """
    if isinstance(item, Problem) and not item.is_clip:
        return ""
    parts = []
    if hop_seconds is not None:
        assert item.start is not None
        text = f"{item.start:g}"
        if abs(float(text) - item.start) > hop_seconds / 4:
            text = f"{item.start:.12g}"
        parts.append(text)
    if item.channel is not None:
        parts.append(f"ch{item.channel}")
    return f"@{'-'.join(parts)}" if parts else ""


def in_order(sources: Iterable[Iterator[_Item]], threads: int) -> Generator[_Item, None, None]:
    """Yield the items of all sources, one source after the other, computed a few pieces ahead.

    Parameters
    ----------
    sources : iterable of iterators
        Each is advanced by one thread at a time.
    threads : int
        Threads that compute items. A single one is the calling thread.

    Yields
    ------
    object
        The next item.
    """
    if threads == 1:  # in the main thread, which reuses freed memory
        for source in sources:
            yield from source
        return

    def advance(source: Iterator[_Item]) -> tuple[Iterator[_Item], list[_Item]]:
        return source, list(islice(source, _PIECE))

    pool = ThreadPoolExecutor(threads)
    try:
        sources = iter(sources)
        ahead = deque(pool.submit(advance, source) for source in islice(sources, 2 * threads))
        while ahead:
            source, piece = ahead.popleft().result()
            if len(piece) == _PIECE:
                ahead.appendleft(pool.submit(advance, source))
            else:
                ahead.extend(pool.submit(advance, source) for source in islice(sources, 1))
            yield from piece
    finally:  # who stops early does not wait for what is ahead
        pool.shutdown(cancel_futures=True)

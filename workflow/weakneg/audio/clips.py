"""From recordings to clips and their log-mel spectrograms."""

import math
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from weakneg.audio.decode import TOO_SHORT, AudioError, AudioFile, Sound, open_audio
from weakneg.audio.mel import LogMel

_PIECE = 16  # clips that a thread computes before they are written

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
    log_mel : ndarray, (t, F) float16
        Log-mel spectrogram, without padding.
    """

    start: float
    end: float
    sound: Sound
    log_mel: np.ndarray


class Extent(NamedTuple):
    """What there is of a recording.

    Attributes
    ----------
    seconds : float
        Duration of the part that is used.
    sample_rate : int
        Sample rate of the file, Hz.
    """

    seconds: float
    sample_rate: int


def cut(
    seconds: float, clip_seconds: float, hop_seconds: float, shortest_rest: float = math.inf
) -> list[tuple[float, float]]:
    """Cut a recording into clips.

    A clip starts every `hop_seconds` until one reaches the end. The last one may be shorter; it is
    left out if it is shorter than half of `clip_seconds`, unless it is the only one. What it leaves
    over may become one more clip, which ends at the end of the recording.

    Parameters
    ----------
    seconds : float
        Duration of the recording.
    clip_seconds : float
        Duration of a clip.
    hop_seconds : float
        Time from the start of a clip to that of the next.
    shortest_rest : float
        Length from which on a rest at the end gives one more clip, of `clip_seconds`; by default
        none does.

    Returns
    -------
    list of (float, float)
        Start and end of each clip, in seconds from the start of the recording.
    """
    clips = [(0.0, min(clip_seconds, seconds))]
    number = 1
    while clips[-1][1] < seconds and seconds - number * hop_seconds >= clip_seconds / 2:
        start = number * hop_seconds
        clips.append((start, min(start + clip_seconds, seconds)))
        number += 1
    if seconds - clips[-1][1] >= shortest_rest:
        clips.append((seconds - clip_seconds, seconds))
    return clips


def compute_clip(audio: AudioFile, start: float, end: float, settings: Mapping[str, Any]) -> Clip:
    """Read a clip and compute its log-mel spectrogram.

    Parameters
    ----------
    audio : AudioFile
        The open recording.
    start, end : float
        Seconds from the start of the recording.
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
    sound = audio.read(start, end - start)
    log_mel = LogMel.of(settings)
    if not log_mel.n_frames(len(sound.waveform)):
        raise AudioError(
            TOO_SHORT, f"{end - start:g} s, less than a frame of {log_mel.frame_length_ms:g} ms"
        )
    with torch.inference_mode():
        spectrogram = log_mel(torch.from_numpy(sound.waveform))[: settings["frames"]].half()
    return Clip(start, end, sound, spectrogram.numpy())


def clips_of(
    path: str | os.PathLike[str],
    settings: Mapping[str, Any],
    start: float | None = None,
    end: float | None = None,
) -> Generator[tuple[str, Clip | AudioError], None, Extent]:
    """Yield the clips of a recording, or what is wrong with them, one by one.

    Parameters
    ----------
    path : path
        The audio file.
    settings : mapping
        The settings of features: see `weakneg.config.stages.ShardSettings`. `waveform` is not used.
    start, end : float, optional
        The part of the file to use, in seconds; by default all of it.

    Yields
    ------
    str, Clip or AudioError
        The suffix of the clip's id, empty if the recording is a single clip, and the clip, or the
        reason why its sound is unusable.

    Returns
    -------
    Extent
        What there is of the recording.

    Raises
    ------
    AudioError
        When the whole recording is unusable.
    """
    with open_audio(path, settings["sample_rate"], start, end) as audio:
        clip_seconds = settings["clip_seconds"]
        parts = cut(audio.seconds, clip_seconds, settings["hop_seconds"] or clip_seconds)
        for part in parts:
            suffix = "" if len(parts) == 1 else f"@{part[0]:g}"
            try:
                yield suffix, compute_clip(audio, *part, settings)
            except AudioError as error:
                yield suffix, error
        return Extent(audio.seconds, audio.file_rate)


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

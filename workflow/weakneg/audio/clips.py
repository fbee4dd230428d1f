"""From recordings to clips and their log-mel spectrograms."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from weakneg.audio.decode import TOO_SHORT, AudioError, AudioFile, Sound, open_audio
from weakneg.audio.mel import LogMel

_PIECE = 16  # clips that a thread computes before they are written


@dataclass(frozen=True)
class Clip:
    """A clip of a recording.

    start, end : seconds from the beginning of the (part of the) recording
    log_mel : (t, F) float16, without padding
    """

    start: float
    end: float
    sound: Sound
    log_mel: np.ndarray


def cut(seconds: float, clip_seconds: float, hop_seconds: float) -> list[tuple[float, float]]:
    """Start and end of the clips of a recording of that many seconds.

    Clips begin every `hop_seconds`, until one reaches the end. The last one is shorter if need be;
    it is left out if it has less than half of `clip_seconds`, unless it is the only one.
    """
    clips = [(0.0, min(clip_seconds, seconds))]
    number = 1
    while clips[-1][1] < seconds and seconds - number * hop_seconds >= clip_seconds / 2:
        start = number * hop_seconds
        clips.append((start, min(start + clip_seconds, seconds)))
        number += 1
    return clips


def compute_clip(audio: AudioFile, start: float, end: float, settings: Mapping[str, Any]) -> Clip:
    """The clip of a recording. Raises AudioError when its sound cannot be used."""
    sound = audio.read(start, end - start)
    log_mel = LogMel.of(settings)
    if not log_mel.n_frames(len(sound.waveform)):
        raise AudioError(TOO_SHORT, f"{end - start:g} s, a frame has {log_mel.frame_length_ms} ms")
    with torch.inference_mode():
        spectrogram = log_mel(torch.from_numpy(sound.waveform))[: settings["frames"]].half()
    return Clip(start, end, sound, spectrogram.numpy())


def clips_of(
    path: str | os.PathLike,
    settings: Mapping[str, Any],
    start: float | None = None,
    end: float | None = None,
) -> Iterator[tuple[str, Clip | AudioError]]:
    """The clips of a recording, or what was wrong with them, one after the other.

    The text is the suffix of the clip's id: empty when the recording is one clip.

    settings : as `shard_features` takes them, but for `waveform`
    start, end : seconds in the file, of the part that is wanted

    Raises AudioError when the whole recording cannot be used.
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


def in_order(sources: Iterable[Iterator], threads: int) -> Iterator:
    """The items of all sources, one source after the other, computed some pieces ahead."""

    if threads == 1:  # in the main thread, where memory that was freed is used again
        for source in sources:
            yield from source
        return

    def advance(source: Iterator) -> tuple[Iterator, list]:
        return source, list(islice(source, _PIECE))

    with ThreadPoolExecutor(threads) as pool:
        sources = iter(sources)
        ahead = deque(pool.submit(advance, source) for source in islice(sources, 2 * threads))
        while ahead:
            source, piece = ahead.popleft().result()
            if len(piece) == _PIECE:
                ahead.appendleft(pool.submit(advance, source))
            else:
                ahead.extend(pool.submit(advance, source) for source in islice(sources, 1))
            yield from piece

"""Background noise for augmentation: the recordings of a folder, cut into clips.

They are kept in a shard (see `weakneg.audio.shards`) with waveforms and without features, in which
`length` counts samples.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from weakneg.audio.acquire.folder import audio_files, find_folder
from weakneg.audio.clips import Clip
from weakneg.audio.decode import AudioFile, Stretch, n_samples
from weakneg.audio.shards import Array, in_16_bits, write_shard
from weakneg.audio.status_table import StatusRow, write_status
from weakneg.config.stages import NoiseClipSettings
from weakneg.errors import UserError
from weakneg.io.hdf5 import open_file
from weakneg.stages import Threads, stage


@stage
def prepare_noise(
    settings: NoiseClipSettings, folder: Path, table: Path, output: Path, threads: Threads
) -> None:
    """Cut recordings of noise into clips and resample them.

    Parameters
    ----------
    settings : NoiseClipSettings
        Sample rate, length of a clip and channel.
    folder : Path
        The folder of the recordings.
    table : Path
        The table of the recordings to write, as `weakneg.audio.status_table` says.
    output : Path
        The shard of waveforms to write.
    threads : int
        Number of clips that are computed at a time.

    Raises
    ------
    UserError
        When the folder has no usable sound.
    """
    top = find_folder(folder)
    rows = [
        StatusRow(path.relative_to(top).as_posix(), path.as_posix(), None, None, "ok", "")
        for path in audio_files(folder)
    ]
    write_status(table, rows)
    samples = n_samples(settings.clip_seconds, settings.sample_rate)
    waveform = Array("waveform", (samples,), np.int16, in_16_bits)
    cut = settings.model_dump()
    write_shard(table, cut, output, threads, [waveform], lambda _: (0.0, 0.0, 0), _without_features)
    with open_file(output, "delete it, so that the next run makes it again") as file:
        n_clips = len(file["id"])
        problems = np.char.decode(file["problems"][...], "utf-8").tolist()
    lost = [(name, problem) for name, problem, consequence in problems if consequence != "kept"]
    if lost:
        (name, problem), *more = lost
        others = f", and {len(more)} more" if more else ""
        print(f"noise that cannot be used: {name} ({problem}){others}", file=sys.stderr)
    if not n_clips:
        raise UserError(f"augmentation.noise.folder: {folder} holds no sound that can be used.")


def _without_features(
    audio: AudioFile, start: float, end: float, stretch: Stretch, settings: Mapping[str, Any]
) -> Clip:
    """A clip that is only a waveform; parameters as `weakneg.audio.clips.compute_clip`."""
    sound = audio.sound(stretch, end - start)
    return Clip(start, end, sound, np.empty((len(sound.waveform), 0), np.float32))

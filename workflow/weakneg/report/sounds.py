"""The sound of the clips that a page lists, small enough to be in it."""

import base64
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import soundfile
from matplotlib.image import imsave
from pydantic import Json

from weakneg.audio.clips import Clip, clips_of
from weakneg.audio.decode import resample
from weakneg.audio.errors import AudioError
from weakneg.audio.outcome import OK
from weakneg.audio.status_table import read_status
from weakneg.io.files import replace_when_whole
from weakneg.report.page.tables import MOST_SELECTED, SUSPECTS, read_tidy
from weakneg.stages import stage

MOST_BYTES = 1_500_000  # of all clips: a page of 40 classes and 20 strategies has less than 10 MB
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_NO_VERSION: dict[str, Any] = {"Software": None}
_COMPRESSION = 0.5  # about 25 kbit/s for speech at 16 kHz
_DECIBELS = 80 * np.log(10) / 10  # range of the picture, in the unit of log-mel spectrograms


@stage
def cut_sounds(
    status: list[Path],
    settings: Json[dict[str, Any]],
    suspects: Path,
    most_selected: Path,
    output: Path,
) -> None:
    """Put the sound and the spectrogram of the listed clips into one file, the first ranks first.

    Parameters
    ----------
    status : list of Path
        The status tables of the shards.
    settings : dict
        How clips are cut, see `weakneg.config.stages.ShardSettings`.
    suspects, most_selected : Path
        The tables suspects.csv and most_selected.csv.
    output : Path
        JSON file to write: id of a clip -> its sound (MP3) and its spectrogram (PNG), in base64;
        about `MOST_BYTES` in all.

    Raises
    ------
    UserError
        When a table is missing or damaged.
    """
    recordings = {row.id: row for path in status for row in read_status(path) if row.status == OK}
    found: dict[str, dict[str, str]] = {}
    size = 0
    for clip_id in _listed(suspects, most_selected):
        if size > MOST_BYTES:
            break
        # A clip that is cut from a recording has the id <recording>@<seconds>.
        row = recordings.get(clip_id) or recordings.get(clip_id.rpartition("@")[0])
        clip = (
            None if row is None else _clip(row.id, clip_id, row.path, settings, row.start, row.end)
        )
        if clip is not None:
            parts = {"sound": as_mp3(clip, settings["sample_rate"]), "picture": as_png(clip)}
            size += sum(map(len, parts.values()))
            found[clip_id] = {k: base64.b64encode(part).decode() for k, part in parts.items()}
    with replace_when_whole(output) as temporary:
        temporary.write_text(json.dumps(found, sort_keys=True) + "\n", encoding="utf-8")


def _listed(suspects: Path, most_selected: Path) -> Iterable[str]:
    """Ids of the clips that the page lists, by rank."""
    ranked = [
        (rank, clip_id)
        for path, most in ((suspects, SUSPECTS), (most_selected, MOST_SELECTED))
        for rank, clip_id in read_tidy(path)[["rank", "id"]].itertuples(index=False, name=None)
        if rank <= most
    ]
    return dict.fromkeys(clip_id for _, clip_id in sorted(ranked))


def _clip(recording: str, clip_id: str, path: str, *cut: Any) -> Clip | None:
    """A clip of a recording; None if it cannot be read any more."""
    try:
        clips: Iterator[tuple[str, Any]] = clips_of(path, *cut)
        return next((c for suffix, c in clips if recording + suffix == clip_id), None)
    except AudioError:
        return None


def as_mp3(clip: Clip, rate: int) -> bytes:
    """The sound of a clip, sampled at a rate in Hz, as MP3: every browser plays it."""
    waveform = clip.sound.waveform
    if rate not in _MP3_RATES:
        waveform, rate = resample(waveform, rate, 16000), 16000
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format="MP3", compression_level=_COMPRESSION)
    return file.getvalue()


def as_png(clip: Clip) -> bytes:
    """The log-mel spectrogram of a clip as a picture, time to the right and frequency up."""
    picture = clip.features.astype(np.float32).T
    file = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        imsave(
            file,
            picture,
            format="png",
            cmap="magma",
            origin="lower",
            vmin=picture.max() - _DECIBELS,
            vmax=picture.max(),
            metadata=_NO_VERSION,
        )
    return file.getvalue()

"""Stage: get the sound of a shard of recordings, and write down what became of each of them.

The result is the status table of the shard (see `weakneg.audio.status_table`).

A recording that cannot be had is normal and fails nothing. A source that cannot be used at all is
an error, and then no clip counts as failed.

The sources are one file each, named in a study as `source: {type: <file>}`. Such a file defines
`acquire(recordings, settings, folder)`, a generator of (recording, outcome) of each of the
recordings, in any order. `settings` are those of the source (see `weakneg.config.source`);
`folder` is that of the data where the sound is there, and where it is downloaded the folder to
write it to: under the name `clip_name`, and whole or not at all, so that a shard that was killed
goes on where it was.
"""

import importlib
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import Json

from weakneg.audio.acquire.journal import Journal
from weakneg.audio.outcome import OK, Outcome
from weakneg.audio.recordings import Recording, read_recordings, recordings_of, write_recordings
from weakneg.audio.status_table import STATUS_COLUMNS, status_row
from weakneg.config.source import DownloadSource, parse
from weakneg.config.stages import AcquireSettings
from weakneg.errors import UserError
from weakneg.io.csv import write_table
from weakneg.stages import stage

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".webm", ".mka"}
    | {".aif", ".aiff", ".aifc", ".au", ".w64", ".caf", ".wma", ".mp2"}
)
_REPORT_SECONDS = 30
_LONGEST_NAME = 150  # of a file, in bytes; file systems allow 255


@stage
def acquire_shard(
    settings: AcquireSettings,
    data_folder: Path,
    split: str,
    shard: int,
    folder: Path,
    audio_folder: Path,
    output: Path,
    politeness: Json[dict[str, Any]] | None = None,
) -> None:
    """Get the sound of a shard of recordings; writes what became of each of them.

    The list is read again, and not from the file of the stage before: all shards would have to
    follow when that is written again, and not only those whose part of it is new.

    Parameters
    ----------
    settings : AcquireSettings
        The data set or a person's own list, the source, and how many recordings are a shard: those
        from number `shard` x `shard_size` on are acquired.
    data_folder : Path
        Folder of the files of the data set.
    split : str
        "train" or "test".
    shard : int
        Number of the shard in its split, from 0 on.
    folder : Path
        Folder of the sound, for the source `folder`.
    audio_folder : Path
        Where downloads go, and the record of what is not available.
    output : Path
        The status table.
    politeness : dict
        Settings of the source that change no sound.

    Raises
    ------
    UserError
        When the list or the settings are wrong, or the source cannot be used at all.
    """
    with tempfile.TemporaryDirectory(prefix="weakneg-") as temporary:
        recordings_csv = Path(temporary, "recordings.csv")
        write_recordings(recordings_of(settings.dataset, data_folder), recordings_csv)
        acquire(
            recordings_csv,
            split,
            shard,
            settings.shard_size,
            settings.source | (politeness or {}),
            folder,
            audio_folder,
            output,
        )


def acquire(
    recordings_csv: str | os.PathLike,
    split: str,
    shard: int,
    shard_size: int,
    source: Mapping,
    folder: str | os.PathLike,
    audio_folder: str | os.PathLike,
    status_csv: str | os.PathLike,
) -> None:
    """As `acquire_shard`, of a list of recordings that is a file."""
    settings = parse(source)
    recordings = [row for row in read_recordings(recordings_csv) if row.split == split]
    recordings = recordings[shard * shard_size : (shard + 1) * shard_size]
    if not recordings:
        raise UserError(f"{recordings_csv} has no shard {shard} of the {split} split.")
    name = f"{split}-{shard:03}"
    module = importlib.import_module(f"{__name__}.{settings.type}")
    if isinstance(settings, DownloadSource):
        outcomes = _download(module, recordings, settings, Path(audio_folder), name)
    else:
        outcomes = dict(module.acquire(recordings, settings, Path(folder)))
    write_table(
        status_csv,
        STATUS_COLUMNS,
        (status_row(recording, outcomes[recording]) for recording in recordings),
    )
    counts = Counter(outcome.status for outcome in outcomes.values())
    listed = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    print(f"{name}: {len(recordings)} recordings: {listed}", file=sys.stderr)


def _download(module, recordings, settings, audio_folder, shard) -> dict[Recording, Outcome]:
    """What is there already, what is known to fail, and the rest from the source."""
    journal = Journal(audio_folder / "journal", shard, settings.identity)
    failed = {} if settings.retry_failed else journal.failures()
    there = files_by_name(audio_folder.iterdir() if audio_folder.is_dir() else ())
    outcomes, wanted = {}, []
    for recording in recordings:
        name = clip_name(recording)
        if name in there:
            outcomes[recording] = Outcome(OK, path=there[name][0])
        elif name in failed:
            outcomes[recording] = failed[name]
        else:
            wanted.append(recording)
    if not wanted:
        return outcomes
    reported = time.monotonic()
    try:
        audio_folder.mkdir(parents=True, exist_ok=True)
        with closing(module.acquire(wanted, settings, audio_folder)) as arriving:
            for recording, outcome in arriving:
                outcomes[recording] = outcome
                if outcome.status != OK:
                    journal.add(clip_name(recording), outcome)
                if time.monotonic() - reported >= _REPORT_SECONDS:
                    reported = time.monotonic()
                    done = f"{len(outcomes)} of {len(recordings)}"
                    print(f"{shard}: {done} recordings", file=sys.stderr)
    except OSError as error:
        raise UserError(
            f"{audio_folder} cannot be written ({error.strerror or error}): make room, or let one "
            "write there, then run again (what is there is kept)."
        ) from error
    return outcomes


# ----------------------------------------------------------------------------- files of clips
def clip_name(recording: Recording) -> str:
    """Name of the file of a clip, without ending: its id and, if it is a part, the seconds.

    No two clips have the same one, and none leads to another folder or hides its file.
    """
    name = quote(recording.id, safe="")  # no @ in it
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) > _LONGEST_NAME:
        name = sha256(recording.id.encode()).hexdigest()
    if recording.start is None and recording.end is None:
        return name
    end = "" if recording.end is None else f"{recording.end:.12g}"
    return f"{name}@{recording.start or 0:.12g}-{end}"


def files_by_name(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Name without ending -> the audio files that are called so, sorted."""
    found: dict[str, list[Path]] = {}
    for file in sorted(files):
        if file.suffix.lower() in AUDIO_SUFFIXES:
            found.setdefault(file.stem, []).append(file)
    return found

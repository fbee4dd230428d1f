"""Acquiring the sound of a shard of recordings, from one of several sources.

The result is the status table of the shard (see `weakneg.audio.status_table`).

Unavailable recordings are normal and not an error. A source that does not work at all is an error,
and then no clip counts as failed.

Each source is a file here, named in a study as `source: {type: <file>}`. It defines
`acquire(recordings, settings, folder)`, a generator of (recording, outcome) for all the recordings,
in any order. `settings` are those of the source (see `weakneg.config.source`). `folder` is where
the sound is, or, for a download, where it goes. A download writes each clip whole or not at all,
named by `weakneg.audio.files.clip_name`, so that a killed shard resumes where it stopped.
"""

import importlib
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import Json

from weakneg.audio.acquire.journal import Journal
from weakneg.audio.files import clip_name, files_by_name
from weakneg.audio.outcome import OK, Outcome
from weakneg.audio.recordings import Recording, recordings_of
from weakneg.audio.status_table import StatusRow, write_status
from weakneg.config.source import DownloadSource, HuggingfaceSource, YoutubeSource, parse
from weakneg.config.stages import AcquireSettings
from weakneg.errors import UserError
from weakneg.io.progress import Progress
from weakneg.stages import stage


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
    """Get the sound of a shard of recordings and write the status of each of them.

    The list is made again instead of read from the file that `list_recordings` writes: otherwise
    every change of that file would rerun all shards, not only those whose recordings have changed.

    Parameters
    ----------
    settings : AcquireSettings
        The data set or the user's own list, the source, and the number of recordings in a shard.
    data_folder : Path
        Folder of the files of the data set.
    split : str
        "train" or "test".
    shard : int
        Number of the shard in its split, from 0.
    folder : Path
        Folder of the sound, for the source `folder`.
    audio_folder : Path
        Folder of downloads and of the record of unavailable clips.
    output : Path
        The status table.
    politeness : dict, optional
        Settings of the source that do not affect the sound.

    Raises
    ------
    UserError
        When the list or the settings are wrong, or the source does not work at all.
    """
    acquire(
        list(recordings_of(settings.dataset, data_folder)),
        split,
        shard,
        settings.shard_size,
        settings.source | (politeness or {}),
        folder,
        audio_folder,
        output,
    )


def acquire(
    recordings: Sequence[Recording],
    split: str,
    shard: int,
    shard_size: int,
    source: Mapping[str, Any],
    folder: str | os.PathLike[str],
    audio_folder: str | os.PathLike[str],
    status_csv: str | os.PathLike[str],
) -> None:
    """Get the sound of a shard of the given recordings, as `acquire_shard` does.

    Parameters
    ----------
    recordings : sequence of Recording
        The whole list.
    split : str
        "train" or "test".
    shard, shard_size : int
        Number of the shard in its split, from 0, and number of recordings in a shard.
    source : mapping
        Settings of the source, as in a study.
    folder : path
        Folder of the sound, for the source `folder`.
    audio_folder : path
        Folder of downloads and of the record of unavailable clips.
    status_csv : path
        The status table.

    Raises
    ------
    UserError
        When the settings are wrong, the list has no such shard, or the source does not work at all.
    """
    settings = parse(source)
    of_split = [row for row in recordings if row.split == split]
    wanted = of_split[shard * shard_size : (shard + 1) * shard_size]
    if not wanted:
        raise UserError(
            f"there is no shard {shard} of the {split} split: the list has {len(of_split)} "
            f"recordings in this split, {shard_size} to a shard."
        )
    name = f"{split}-{shard:03}"
    module = importlib.import_module(f"{__name__}.{settings.type}")
    if isinstance(settings, DownloadSource):
        outcomes = _download(module, wanted, settings, Path(audio_folder), name)
    else:
        outcomes = dict(module.acquire(wanted, settings, Path(folder)))
    write_status(status_csv, [StatusRow.of(row, outcomes[row]) for row in wanted])
    counts = Counter(outcome.status for outcome in outcomes.values())
    listed = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    print(f"{name}: {len(wanted)} recordings: {listed}", file=sys.stderr)


def _download(
    module: ModuleType,
    recordings: Sequence[Recording],
    settings: YoutubeSource | HuggingfaceSource,
    audio_folder: Path,
    shard: str,
) -> dict[Recording, Outcome]:
    """The outcomes of clips that exist, of those known to fail, and of downloads of the rest."""
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
    try:
        audio_folder.mkdir(parents=True, exist_ok=True)
        with (
            closing(module.acquire(wanted, settings, audio_folder)) as arriving,
            Progress(shard, len(recordings), "recordings", done=len(outcomes)) as progress,
        ):
            for recording, outcome in arriving:
                outcomes[recording] = outcome
                if outcome.status != OK:
                    journal.add(clip_name(recording), outcome)
                progress.add()
    except OSError as error:
        raise UserError(
            f"{audio_folder} cannot be written ({error.strerror or error}): make room, or get "
            "write permission, then run again (finished downloads are kept)."
        ) from error
    return outcomes

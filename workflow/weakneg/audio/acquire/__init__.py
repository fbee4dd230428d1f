"""The sound of a shard of recordings, and what became of each of them.

The result is the status table of the shard (see `weakneg.audio.status_table`).

A recording that is not available is normal and fails nothing. A source that cannot be used at all
is an error, and then no clip counts as failed.

The sources are one file each, named in a study as `source: {type: <file>}`. Such a file defines
`acquire(recordings, settings, folder)`, a generator of (recording, outcome) of each of the
recordings, in any order. `settings` are those of the source (see `weakneg.config.source`);
`folder` is that of the data where the sound is there, and where it is downloaded the folder to
write it to: under the name that `weakneg.audio.files.clip_name` gives it, and whole or not at all,
so that a shard that was killed goes on where it was.
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
    source: Mapping,
    folder: str | os.PathLike[str],
    audio_folder: str | os.PathLike[str],
    status_csv: str | os.PathLike[str],
) -> None:
    """As `acquire_shard`, of recordings that are named.

    recordings : all of the list
    status_csv : the status table

    Raises UserError when the settings are wrong, the list has no such shard, or the source cannot
    be used at all.
    """
    settings = parse(source)
    of_split = [row for row in recordings if row.split == split]
    wanted = of_split[shard * shard_size : (shard + 1) * shard_size]
    if not wanted:
        raise UserError(
            f"there is no shard {shard} of the {split} split: the list has {len(of_split)} "
            "recordings of it."
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
            f"{audio_folder} cannot be written ({error.strerror or error}): make room, or let one "
            "write there, then run again (what is there is kept)."
        ) from error
    return outcomes

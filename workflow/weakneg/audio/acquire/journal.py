"""A record of unavailable clips, so that they are not requested over and over."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from weakneg.audio.outcome import Outcome

_SUFFIX = ".jsonl"


class Journal:
    """Failures, one line of JSON each, in files beside the audio.

    Every shard appends to its own file and reads those of all shards. So shards that run at the
    same time never write to one file, and a clip is found under any shard size and list.

    Parameters
    ----------
    folder : path
        Folder of the files.
    shard : str
        Name of the shard, such as "train-003".
    identity : str
        The source: failures of other sources do not count.
    """

    def __init__(self, folder: str | os.PathLike[str], shard: str, identity: str) -> None:
        self._folder, self._path = Path(folder), Path(folder, f"{shard}{_SUFFIX}")
        self._identity = identity

    def failures(self) -> dict[str, Outcome]:
        """Read the failures: name of a clip's file, without suffix -> outcome of the last try."""
        latest: dict[str, tuple[str, Outcome]] = {}
        for entry in self._entries():
            clip, when = entry["clip"], entry["time"]
            if clip not in latest or when >= latest[clip][0]:
                latest[clip] = when, Outcome(entry["status"], entry["message"])
        return {clip: outcome for clip, (_, outcome) in latest.items()}

    def add(self, clip: str, outcome: Outcome) -> None:
        """Record a failure of a clip, given by the name of its file without suffix."""
        entry = {
            "source": self._identity,
            "clip": clip,
            "status": outcome.status,
            "message": outcome.message,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        with open(self._path, "a+b") as file:
            # A killed job may have left half a line, which must not spoil this one.
            if file.tell() and not _ends_a_line(file):
                file.write(b"\n")
            file.write(json.dumps(entry).encode() + b"\n")

    def _entries(self) -> Iterator[dict[str, str]]:
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            for line in path.read_bytes().splitlines():
                try:
                    entry = json.loads(line)
                    if entry["source"] == self._identity:
                        yield {key: entry[key] for key in ("clip", "status", "message", "time")}
                except (ValueError, KeyError, TypeError):
                    continue  # half a line: the job was killed while writing it


def _ends_a_line(file: IO[bytes]) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"

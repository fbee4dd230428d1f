"""What is not available, remembered so that it is not asked for again and again."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from weakneg.audio.outcome import Outcome

_SUFFIX = ".jsonl"


class Journal:
    """Failures, a line of JSON each, in a file beside the audio.

    Every shard appends to a file of its own and reads those of all: shards that run at the same
    time do not write to one file, and other shard sizes or lists find what is known of a clip.
    What is known belongs to one source, by its `identity`.
    """

    def __init__(self, folder: str | os.PathLike, shard: str, identity: str):
        self._folder, self._path = Path(folder), Path(folder, f"{shard}{_SUFFIX}")
        self._identity = identity

    def failures(self) -> dict[str, Outcome]:
        """Name of the clip's file -> how the last try to get it ended."""
        latest: dict[str, tuple[str, Outcome]] = {}
        for entry in self._entries():
            clip, when = entry["clip"], entry["time"]
            if clip not in latest or when >= latest[clip][0]:
                latest[clip] = when, Outcome(entry["status"], entry["message"])
        return {clip: outcome for clip, (_, outcome) in latest.items()}

    def add(self, clip: str, outcome: Outcome) -> None:
        """Remember a failure. `clip`: name of the clip's file without ending."""
        entry = {
            "source": self._identity,
            "clip": clip,
            "status": outcome.status,
            "message": outcome.message,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        with open(self._path, "a+b") as file:
            # What a killed job began to write must not spoil this line too.
            if file.tell() and not _ends_a_line(file):
                file.write(b"\n")
            file.write(json.dumps(entry).encode() + b"\n")

    def _entries(self) -> Iterator[dict]:
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            for line in path.read_bytes().splitlines():
                try:
                    entry = json.loads(line)
                    if entry["source"] == self._identity:
                        yield {key: entry[key] for key in ("clip", "status", "message", "time")}
                except (ValueError, KeyError, TypeError):
                    continue  # half a line: the job was killed while it wrote


def _ends_a_line(file) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"

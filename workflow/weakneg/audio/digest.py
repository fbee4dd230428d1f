"""What a shared cache knows the sound of a shard by."""

import csv
import hashlib
import os


def digest_of_sound(status: str | os.PathLike) -> str:
    """SHA-256 of a table of what became of recordings, and of the audio files that it names.

    Raises FileNotFoundError when there is no such table yet. A file that is gone counts as empty.
    """
    digest = hashlib.sha256()
    with open(status, "rb") as file:
        digest.update(file.read())
    with open(status, newline="", encoding="utf-8") as file:
        paths = dict.fromkeys(row["path"] for row in csv.DictReader(file) if row["path"])
    for path in filter(os.path.isfile, paths):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()

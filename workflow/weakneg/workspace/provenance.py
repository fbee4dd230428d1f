"""The record of how results were made, kept with them, so that it is copied along.

`results/.provenance` holds

    metadata/                 Snakemake's records, one file per output: parameters, inputs, times
    code/<fingerprint>.json   the parts of a fingerprint, and the first commit that had it

Snakemake looks for its records in `.snakemake/metadata`, which is a link to the first. Paths are
relative to the working directory, which is that of Snakemake.
"""

import json
import os
import subprocess
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypedDict

from weakneg.errors import UserError
from weakneg.io.files import check_writable, replace_when_whole
from weakneg.stages import command, entry
from weakneg.workspace.fingerprint import explain

FOLDER = Path("results/.provenance")
METADATA, CODE = FOLDER / "metadata", FOLDER / "code"
_LINK = Path(".snakemake/metadata")


def keep_with_results() -> None:
    """Make Snakemake keep its records with the results. Call this before it first reads them.

    Records that are already in `.snakemake` stay there.

    Raises
    ------
    UserError
        When the folder of results cannot be made.
    """
    if not METADATA.is_dir():
        check_writable([METADATA])
        METADATA.mkdir(parents=True)
    if not os.path.lexists(_LINK):
        _LINK.parent.mkdir(exist_ok=True)
        _LINK.symlink_to(os.path.relpath(METADATA, _LINK.parent))


def record_code(codes: Iterable[Sequence[str]]) -> None:
    """Record the parts of fingerprints.

    Parameters
    ----------
    codes : iterable of sequences of str
        Fingerprint, stage and plugins of each job, as passed by the rules.
    """
    commit = _commit()
    for fingerprint, stage, *plugins in {tuple(code) for code in codes if len(code) > 1}:
        path = CODE / f"{fingerprint}.json"
        if not path.exists():
            record = {"commit": commit, "parts": explain(entry(stage), plugins)}
            with replace_when_whole(path) as temporary:
                temporary.write_text(json.dumps(record, indent=0), encoding="utf-8")


class CodeRecord(TypedDict):
    """The record of a fingerprint.

    Attributes
    ----------
    commit : str or None
        The first commit that had it, if known.
    parts : dict
        Its parts, as returned by `weakneg.workspace.fingerprint.explain`.
    """

    commit: str | None
    parts: dict[str, str]


def read_code(fingerprint: str) -> CodeRecord:
    """Read the record of a fingerprint; without parts if there is none."""
    try:
        record: CodeRecord = json.loads((CODE / f"{fingerprint}.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {"commit": None, "parts": {}}
    return record


@command
def settle() -> None:
    """Restore the modification times of results that were copied here.

    Snakemake runs a job again if its input is newer than its output, and a copy made without
    `--preserve` has the times of copying.

    Raises
    ------
    UserError
        When the results have no records.
    """
    records = [path for path in METADATA.rglob("*") if path.is_file()]
    if not records:
        raise UserError(
            f"there are no records in {METADATA}: copy the whole folder results, with hidden files."
        )
    restored = 0
    for path in records:
        # A long name is split into folders whose names begin with @.
        name = "".join(part.removeprefix("@") for part in path.relative_to(METADATA).parts)
        try:
            made = json.loads(path.read_text(encoding="utf-8"))["endtime"]
            os.utime(urlsafe_b64decode(name).decode(), (made, made))
        except (FileNotFoundError, json.JSONDecodeError, KeyError):
            continue  # not copied, or never finished
        restored += 1
    print(f"restored the modification times of {restored} files")


def _commit() -> str | None:
    """The commit, followed by "+" if files are changed; None if it is not known."""
    try:
        commit = git("describe", "--always", "--abbrev=10", "--exclude=*", "--dirty=+")
        return f"{commit}+" if new_files() and not commit.endswith("+") else commit
    except (OSError, subprocess.CalledProcessError):
        return None


def new_files() -> str:
    """The sources that git does not know, of which `git describe` says nothing: a new strategy."""
    return git("ls-files", "--others", "--exclude-standard", "--", "workflow", "envs")


def git(*arguments: str) -> str:
    """What a command of git prints."""
    result = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    return result.stdout.strip()

"""What made the results, kept beside them, so that it goes where they go.

`results/.provenance` holds

    metadata/                 Snakemake's records, a file for each output: parameters, inputs, times
    code/<fingerprint>.json   what a fingerprint is made of, and the commit that first had it

Snakemake looks for its records in `.snakemake/metadata`, which is a link to the first. Paths are
relative to the working directory, which is that of Snakemake.
"""

import json
import os
import subprocess
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Sequence
from pathlib import Path

from weakneg.errors import UserError
from weakneg.io.files import check_writable, replace_when_whole
from weakneg.stages import command, entry
from weakneg.workspace.fingerprint import explain

FOLDER = Path("results/.provenance")
METADATA, CODE = FOLDER / "metadata", FOLDER / "code"
_LINK = Path(".snakemake/metadata")


def keep_with_results() -> None:
    """Let Snakemake keep its records beside the results, before it first looks for them.

    Records that are in `.snakemake` already stay there. Raises UserError when there can be no
    folder of results.
    """
    if not METADATA.is_dir():
        check_writable([METADATA])
        METADATA.mkdir(parents=True)
    if not os.path.lexists(_LINK):
        _LINK.parent.mkdir(exist_ok=True)
        _LINK.symlink_to(os.path.relpath(METADATA, _LINK.parent))


def record_code(codes: Iterable[Sequence[str]]) -> None:
    """Keep what fingerprints are made of.

    codes : the fingerprint, the stage, and the plugins of each, as the rules pass them
    """
    commit = _commit()
    for fingerprint, stage, *plugins in {tuple(code) for code in codes if len(code) > 1}:
        path = CODE / f"{fingerprint}.json"
        if not path.exists():
            record = {"commit": commit, "parts": explain(entry(stage), plugins)}
            with replace_when_whole(path) as temporary:
                temporary.write_text(json.dumps(record, indent=0), encoding="utf-8")


def read_code(fingerprint: str) -> dict:
    """`parts` and `commit` of a fingerprint; without parts where there is no record of it."""
    try:
        return json.loads((CODE / f"{fingerprint}.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {"commit": None, "parts": {}}


@command
def settle() -> None:
    """Give results that were copied here the times at which they were made.

    Snakemake runs a job again whose input is newer than its output, and a copy made without
    `--preserve` has the times of copying.

    Raises
    ------
    UserError
        When no record came with the results.
    """
    records = [path for path in METADATA.rglob("*") if path.is_file()]
    if not records:
        raise UserError(
            f"{METADATA} holds no records: copy the folder results whole, hidden files too."
        )
    restored = 0
    for path in records:
        # A long name is cut into folders that begin with @.
        name = "".join(part.removeprefix("@") for part in path.relative_to(METADATA).parts)
        try:
            made = json.loads(path.read_text(encoding="utf-8"))["endtime"]
            os.utime(urlsafe_b64decode(name).decode(), (made, made))
        except (FileNotFoundError, json.JSONDecodeError, KeyError):
            continue  # not copied, or never finished
        restored += 1
    print(f"{restored} files have the times of their making.")


def _commit() -> str | None:
    """The commit, "+" behind it when files are changed; None where it is not known."""
    try:
        git = ["git", "describe", "--always", "--abbrev=10", "--exclude=*", "--dirty=+"]
        return subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None

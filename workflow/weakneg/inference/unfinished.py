"""Tables of scores that a later run can continue when this one is interrupted.

While recordings are scored, the rows of `scores.csv` are in `scores.csv.part`, and each finished
recording is a line of `scores.csv.done`, with the lengths of the tables after its last row. Rows
after that belong to a recording that was not finished: who continues cuts them off. So nothing is
lost or doubled however the run ended.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from weakneg.errors import UserError
from weakneg.io.csv import row_writer
from weakneg.io.files import replace_when_whole

_NAMES = "backslashreplace"  # file names need not be valid text


class Finished(NamedTuple):
    """A recording of which all clips were scored.

    Attributes
    ----------
    recording : str
        Its path.
    state : list of int
        Size in bytes and modification time in ns of the file; empty if there is none.
    n_scored, n_problems : int
        Number of clips that were scored, and of those that could not be.
    lengths : list of int
        Lengths of the tables in bytes, after the rows of the recording.
    """

    recording: str
    state: list[int]
    n_scored: int
    n_problems: int
    lengths: list[int]


class Tables:
    """Tables that are being written. Made by `unfinished_tables`.

    Attributes
    ----------
    writers : list of csv.writer
        Write the rows of each table.
    finished : dict of str to Finished
        The finished recordings by path, with those of earlier runs.
    """

    def __init__(self, files: Sequence[IO[str]], journal: IO[str], finished: Sequence[Finished]):
        self._files, self._journal = files, journal
        self.writers = [row_writer(file) for file in files]
        self.finished = {each.recording: each for each in finished}

    def finish(self, recording: str, n_scored: int, n_problems: int) -> None:
        """Note that all rows of a recording are written."""
        for file in self._files:
            file.flush()
        lengths = [os.fstat(file.fileno()).st_size for file in self._files]
        done = Finished(recording, _state(recording), n_scored, n_problems, lengths)
        self.finished[recording] = done
        self._journal.write(f"{json.dumps(done)}\n")
        self._journal.flush()


def _state(recording: str) -> list[int]:
    """Size and modification time of a file; empty if there is none."""
    try:
        status = os.stat(recording)
    except (OSError, ValueError):
        return []
    return [status.st_size, status.st_mtime_ns]


@contextmanager
def unfinished_tables(
    tables: Mapping[Path, Sequence[str]], made_of: Mapping[str, Any], resume: bool
) -> Iterator[Tables]:
    """Write tables that a later run can continue, as a context manager.

    The tables get their names when the block ends without error. If it is interrupted, or the disk
    is full, what was written stays for a later run; on other errors it is removed.

    Parameters
    ----------
    tables : mapping of Path to sequence of str
        Files and their columns.
    made_of : mapping
        What the rows depend on other than the recordings, as JSON has it.
    resume : bool
        Whether to continue an earlier run, if there is one; otherwise it is discarded.

    Yields
    ------
    Tables
        What to write to.

    Raises
    ------
    UserError
        When the earlier run was made of something else, or one of its recordings has changed.
    OSError
        When a table cannot be written.
    """
    first = next(iter(tables))
    parts = [path.with_name(f"{path.name}.part") for path in tables]
    journal = first.with_name(f"{first.name}.done")
    finished = _read(journal, parts, made_of) if resume else []
    with ExitStack() as stack:
        try:
            for part in parts:
                part.parent.mkdir(parents=True, exist_ok=True)
            mode = "r+" if finished else "w"
            files = [
                stack.enter_context(open(part, mode, newline="", encoding="utf-8", errors=_NAMES))
                for part in parts
            ]
            with replace_when_whole(journal) as temporary:  # killed here, it keeps what it had
                lines = [f"{json.dumps(line)}\n" for line in [made_of, *finished]]
                temporary.write_text("".join(lines), encoding="utf-8")
            done = stack.enter_context(open(journal, "a", encoding="utf-8"))
            written = Tables(files, done, finished)
            for number, (file, columns) in enumerate(zip(files, tables.values(), strict=True)):
                if finished:
                    file.truncate(finished[-1].lengths[number])
                    file.seek(0, os.SEEK_END)
                else:
                    written.writers[number].writerow(columns)
            yield written
        except UserError:
            stack.close()
            for path in [*parts, journal]:
                path.unlink(missing_ok=True)
            raise
    for part, path in zip(parts, tables, strict=True):
        os.replace(part, path)
    journal.unlink()


def _read(journal: Path, parts: Sequence[Path], made_of: Mapping[str, Any]) -> list[Finished]:
    """The finished recordings of an earlier run; none if there was no such run."""
    if not journal.is_file() or not all(part.is_file() for part in parts):
        return []
    lines = journal.read_text(encoding="utf-8").split("\n")[:-1]  # the last may be cut short
    if len(lines) > 1 and json.loads(lines[0]) != json.loads(json.dumps(made_of)):
        raise UserError(
            f"{parts[0]} was made with other models or options: repeat the command as it was, or "
            "leave out --resume to start again."
        )
    finished = [Finished(*json.loads(line)) for line in lines[1:]]
    sizes = [part.stat().st_size for part in parts]
    while finished and any(map(int.__gt__, finished[-1].lengths, sizes)):
        finished.pop()  # the machine stopped before these rows were on the disk
    for each in finished:
        if _state(each.recording) not in ([], each.state):
            raise UserError(
                f"{each.recording} has changed since it was scored: leave out --resume to start "
                "again."
            )
    return finished

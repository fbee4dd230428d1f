"""The number of recordings that are available, and why the others are not."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from weakneg.audio.outcome import OK
from weakneg.audio.recordings import SPLITS, Recording, read_recordings
from weakneg.audio.status_table import StatusRow, read_status
from weakneg.io.csv import write_table
from weakneg.io.files import replace_when_whole
from weakneg.report.markdown import escape, markdown_table
from weakneg.stages import stage

COLUMNS = ("class", "split", "listed", "ok", "share")

_EXAMPLES = 2  # messages shown per status
_LOSERS = 5  # classes listed


class Survivors(NamedTuple):
    """The recordings of a class in a split.

    Attributes
    ----------
    name, split : str
        The class and the split.
    listed, ok : int
        Number of recordings that are listed, and of those that are available.
    """

    name: str
    split: str
    listed: int
    ok: int

    @property
    def share(self) -> float:
        """Share of the recordings that are available."""
        return self.ok / self.listed


@stage
def count_acquired(
    recordings: Path, status: list[Path], study: str, title: str, table: Path, text: Path
) -> None:
    """Write how many recordings of each class are available, and why the others are not.

    Parameters
    ----------
    recordings : Path
        The list of recordings.
    status : list of Path
        The status tables of the shards.
    study, title : str
        Name of the study, and its title in the summary.
    table : Path
        CSV file to write: the number of available recordings of each class and split.
    text : Path
        Markdown file to write: a summary.

    Raises
    ------
    UserError
        When the list or a status table cannot be read.
    """
    listed = read_recordings(recordings)
    rows = [row for path in status for row in read_status(path)]
    split_of = {recording.id: recording.split for recording in listed}
    found = survivors(listed, (row.id for row in rows if row.status == OK))
    write_table(table, COLUMNS, ((*each, f"{each.share:.4f}") for each in found))
    with replace_when_whole(text) as temporary:
        Path(temporary).write_text(_summary(rows, split_of, found, study, title), encoding="utf-8")


def survivors(recordings: Iterable[Recording], ok: Iterable[str]) -> list[Survivors]:
    """Count the available recordings of every class.

    Parameters
    ----------
    recordings : iterable of Recording
        The list of recordings.
    ok : iterable of str
        Ids of the available recordings.

    Returns
    -------
    list of Survivors
        Sorted by class, the training split first.
    """
    available = set(ok)
    listed: Counter[tuple[str, str]] = Counter()  # by class and split
    kept: Counter[tuple[str, str]] = Counter()
    for recording in recordings:
        for label in recording.labels:
            listed[label, recording.split] += 1
            kept[label, recording.split] += recording.id in available
    order = sorted(listed, key=lambda key: (key[0], SPLITS.index(key[1])))
    return [Survivors(name, split, listed[name, split], kept[name, split]) for name, split in order]


def _summary(
    rows: list[StatusRow],
    split_of: Mapping[str, str],
    found: list[Survivors],
    study: str,
    title: str,
) -> str:
    counts = Counter((row.status, split_of[row.id]) for row in rows)
    total = Counter(row.status for row in rows)
    messages: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row.message:
            messages[row.status][row.message] += 1
    statuses = sorted(total, key=lambda status: (status != OK, -total[status], status))
    lines = [
        f"# {escape(title)}: availability of the recordings",
        "",
        f"{total[OK]:,} of {len(rows):,} recordings are available.",
        "",
        "Recordings whose sound cannot be used are among them: see `features/problems.csv`.",
        "",
        markdown_table(
            ["status", *SPLITS, "example messages"],
            [
                [
                    status,
                    *(f"{counts[status, split]:,}" for split in SPLITS),
                    "; ".join(escape(text) for text, _ in messages[status].most_common(_EXAMPLES)),
                ]
                for status in statuses
            ],
            *("---", "---:", "---:", "---"),
        ),
    ]
    losers = sorted((each for each in found if each.share < 1), key=lambda each: each.share)
    if losers:
        lines += [
            "",
            "The classes with the largest losses:",
            "",
            markdown_table(
                ["class", "split", "listed", "ok"],
                [
                    [escape(each.name), each.split, f"{each.listed:,}", f"{each.ok:,}"]
                    for each in losers[:_LOSERS]
                ],
                *("---", "---", "---:", "---:"),
            ),
        ]
    if total.keys() - {OK}:
        lines += [
            "",
            "Recordings that are not available are not requested again, unless the source sets "
            "`retry_failed: true` and the shards are run again: `snakemake --cores all "
            f"{study} --until acquire_shard --forcerun acquire_shard`.",
        ]
    return "\n".join([*lines, ""])

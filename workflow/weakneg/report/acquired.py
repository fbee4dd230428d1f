"""Of how many recordings the sound could be had, and why not of the others."""

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

_EXAMPLES = 2  # messages of a status
_LOSERS = 5  # classes that are named


class Survivors(NamedTuple):
    """Recordings of a class in a split: how many are listed, and how many could be had."""

    name: str
    split: str
    listed: int
    ok: int

    @property
    def share(self) -> float:
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
        Name of the study, and what people read.
    table : Path
        A CSV file of the available recordings of each class and split.
    text : Path
        A summary in Markdown.

    Raises
    ------
    UserError
        When the list or the table of a shard cannot be read.
    """
    listed = read_recordings(recordings)
    rows = [row for path in status for row in read_status(path)]
    split_of = {recording.id: recording.split for recording in listed}
    found = survivors(listed, (row.id for row in rows if row.status == OK))
    write_table(table, COLUMNS, ((*each, f"{each.share:.4f}") for each in found))
    with replace_when_whole(text) as temporary:
        Path(temporary).write_text(_summary(rows, split_of, found, study, title), encoding="utf-8")


def survivors(recordings: Iterable[Recording], ok: Iterable[str]) -> list[Survivors]:
    """The survivors of every class, sorted by class, the training split first.

    ok : ids of the recordings that could be had
    """
    there = set(ok)
    listed: Counter[tuple[str, str]] = Counter()  # by class and split
    had: Counter[tuple[str, str]] = Counter()
    for recording in recordings:
        for label in recording.labels:
            listed[label, recording.split] += 1
            had[label, recording.split] += recording.id in there
    order = sorted(listed, key=lambda key: (key[0], SPLITS.index(key[1])))
    return [Survivors(name, split, listed[name, split], had[name, split]) for name, split in order]


def _summary(
    rows: list[StatusRow],
    split_of: Mapping[str, str],
    found: list[Survivors],
    study: str,
    title: str,
) -> str:
    counts = Counter((row.status, split_of[row.id]) for row in rows)
    in_all = Counter(row.status for row in rows)
    messages: dict[str, Counter] = defaultdict(Counter)
    for row in rows:
        if row.message:
            messages[row.status][row.message] += 1
    statuses = sorted(in_all, key=lambda status: (status != OK, -in_all[status], status))
    lines = [
        f"# {escape(title)}: what became of the recordings",
        "",
        f"{in_all[OK]:,} of {len(rows):,} could be had.",
        "",
        markdown_table(
            ["status", *SPLITS, "messages, such as"],
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
            "The classes that lost most:",
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
    if in_all.keys() - {OK}:
        lines += [
            "",
            "What could not be had is not asked for again, unless the source says `retry_failed: "
            f"true` and the shards are run again: `snakemake --cores all {study} --until "
            "acquire_shard --forcerun acquire_shard`.",
        ]
    return "\n".join([*lines, ""])

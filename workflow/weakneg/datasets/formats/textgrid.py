"""TextGrids of Praat: one file for each recording, named after it. Read by praatio.

Which tier holds the labels is up to the annotator. Intervals leave no gaps: where nothing is
labelled, there is one with a blank label, which says nothing. A point has no length.

References
----------
.. [1] Boersma and Weenink, Praat manual, "TextGrid file formats".
"""

from collections.abc import Iterator
from typing import Any

from weakneg.datasets.formats import Format, Row, Table, only, read_by, recording_of, table_files
from weakneg.errors import UserError

SUFFIXES = (".textgrid",)


def rows(table: Table) -> Iterator[Row]:
    """Yield a row for each label, and one for each TextGrid."""
    grids = {path: _load(path, table) for path in table_files(table.path, SUFFIXES)}
    name = table.column("labels") or _only_tier(grids, table)
    for path, grid in grids.items():
        if name is not None and name not in grid.tierNames:
            raise UserError(
                f"{path} has no tier {name!r} (found: {', '.join(grid.tierNames) or 'none'}): "
                "rename one, or correct columns: {labels: ...} of the data set."
            )
        yield Row(path, *recording_of(path, table))
        for *times, label in grid.getTier(name).entries if name is not None else ():
            onset, offset = times[0], times[-1]
            yield Row(path, *recording_of(path, table), table.labels(label), (onset, offset))


def _load(path: str, table: Table) -> Any:
    with read_by("praatio", path, table):
        from praatio.textgrid import openTextgrid

        return openTextgrid(path, includeEmptyIntervals=False, reportingMode="silence")


def _only_tier(grids: dict[str, Any], table: Table) -> str | None:
    """The tier with labels; None if there are no labels at all."""
    found = {tier.name for grid in grids.values() for tier in grid.tiers if tier.entries}
    return only(found, "tier", table)


FORMAT = Format(
    rows=rows,
    recognises=lambda values: False,
    annotated=lambda table: "listed",
    choosable=("labels",),
)

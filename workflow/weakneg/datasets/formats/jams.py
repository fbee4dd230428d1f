"""JAMS: one JSON file for each recording, named after it, as of scaper. Read by jams.

A file may hold annotations of several namespaces, such as tag_open and beat, and by several people,
whose labels all count. A value is a label, or, in scaper's namespace, a dictionary with a label.

References
----------
.. [1] Humphrey et al., "JAMS: A JSON Annotated Music Specification for Reproducible MIR Research",
   ISMIR 2014.
.. [2] Salamon et al., "Scaper: A Library for Soundscape Synthesis and Augmentation", WASPAA 2017.
"""

from collections.abc import Iterator
from typing import Any

from weakneg.datasets.formats import Format, Row, Table, only, read_by, recording_of, table_files
from weakneg.errors import UserError

SUFFIXES = (".jams",)


def rows(table: Table) -> Iterator[Row]:
    """Yield a row for each observation, and one for each file."""
    files = {path: _load(path, table) for path in table_files(table.path, SUFFIXES)}
    namespace = _namespace(files, table)
    for path, jam in files.items():
        name = recording_of(path, table)
        yield Row(path, *name)
        for annotation in jam.annotations:
            if annotation.namespace != namespace:
                continue
            for time, duration, value, confidence in annotation.data:
                # Programs that know what they have made state a confidence of 1.
                doubt = confidence is not None and confidence < 1
                yield Row(
                    path,
                    *name,
                    table.labels(_label(value)),
                    (time, time + duration),
                    confidence=confidence if doubt else None,
                )


def _load(path: str, table: Table) -> Any:
    with read_by("jams", path, table):
        import jams

        # Namespaces of other programs, such as scaper, are not valid by themselves.
        return jams.load(path, validate=False)


def _label(value: Any) -> str:
    label = value.get("label") if isinstance(value, dict) else value
    return label if isinstance(label, str) else ""


def _namespace(files: dict[str, Any], table: Table) -> str | int | None:
    """The namespace of the labels; None if there are no labels."""
    found = {
        annotation.namespace
        for jam in files.values()
        for annotation in jam.annotations
        if any(_label(observation.value) for observation in annotation.data)
    }
    named = table.column("labels")
    if named is not None and named not in found:
        raise UserError(
            f"{table.path} has no labels in the namespace {named!r} (found: "
            f"{', '.join(sorted(found)) or 'none'}): correct dataset.columns."
        )
    return named or only(found, "namespace", table)


FORMAT = Format(
    rows=rows,
    recognises=lambda values: False,
    annotated=lambda table: "listed",
    choosable=("labels",),
)

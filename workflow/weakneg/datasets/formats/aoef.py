"""AOEF, of Whombat and soundevent: one JSON file for many recordings. Read by soundevent.

What was annotated is a clip: classes that no tag in it names are absent there. In a project, that
is so once the task of the clip is completed or verified; before, only what is labelled is known,
and nothing is used of rejected clips. Times of time-expanded recordings are those of the original
sound.

References
----------
.. [1] Martínez Balvanera et al., soundevent, `soundevent.io.aoef`: collections annotation_set,
   annotation_project and evaluation_set.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from weakneg.datasets.formats import Format, Row, Span, Table, read_by, recording, table_files
from weakneg.errors import UserError

SUFFIXES = (".json",)


def rows(table: Table) -> Iterator[Row]:
    """Yield a row for each annotated clip, and one for each sound event."""
    files = {path: _load(path, table) for path in table_files(table.path, SUFFIXES)}
    for path, found in files.items():
        if not hasattr(found, "clip_annotations"):
            raise UserError(
                f"{path} holds no annotations, but a {type(found).__name__}: export an annotation "
                "project, or remove the file."
            )
    key = _key(files, table)
    labels = sorted(
        {
            label
            for found in files.values()
            for annotation in found.clip_annotations
            for tagged in (annotation, *annotation.sound_events)
            for label in _labels(tagged, key)
        }
    )
    for path, found in files.items():
        states = _states(found)
        for annotation in found.clip_annotations:
            state = states.get(annotation.clip.uuid, {"completed"})
            if "rejected" not in state:
                known = labels if state & {"completed", "verified"} else ()
                yield from _clip(path, annotation, key, known, table)


def _load(path: str, table: Table) -> Any:
    with read_by("soundevent", path, table):
        import soundevent.io

        return soundevent.io.load(path)


def _clip(
    path: str, annotation: Any, key: str | None, known: Iterable[str], table: Table
) -> Iterator[Row]:
    clip = annotation.clip
    where = f"{path}, {clip.recording.path}"
    name = recording(where, str(clip.recording.path), table)
    longer = clip.recording.time_expansion
    heard = _labels(annotation, key)
    absent = tuple(label for label in known if label not in heard)
    times = (clip.start_time, clip.end_time)
    # `absent` says what completed clips do not hold; of others, only sound events are known.
    yield Row(where, *name, heard, times, absent, expansion=longer, complete=False)
    for event in annotation.sound_events:
        times = _times(event.sound_event.geometry)
        yield Row(where, *name, _labels(event, key), times, expansion=longer)


def _key(files: dict[str, Any], table: Table) -> str | None:
    """Which tags are labels; None if there are none."""
    found = {
        tag.term.name
        for each in files.values()
        for annotation in each.clip_annotations
        for tagged in (annotation, *annotation.sound_events)
        for tag in tagged.tags
    }
    named = table.column("labels")
    if named is not None:
        # soundevent has terms for common keys: species in the file is dwc:scientificName here.
        from soundevent.data import term_from_key

        named = str(term_from_key(str(named)).name)
    if named is not None and named not in found:
        raise UserError(
            f"{table.path} has no tags {named!r} (found: {', '.join(sorted(found)) or 'none'}): "
            "correct dataset.columns."
        )
    if named is None and len(found) > 1:
        names = sorted(found)
        raise UserError(
            f"{table.path}: which tags are the labels: {' or '.join(names)}? Name them in the "
            f"study, as in columns: {{labels: {names[0]!r}}}."
        )
    return named or next(iter(found), None)


def _labels(tagged: Any, key: str | None) -> tuple[str, ...]:
    return tuple(tag.value.strip() for tag in tagged.tags if tag.term.name == key)


def _states(found: Any) -> dict[Any, set[str]]:
    """The states of the clips of an annotation project; other collections are complete."""
    return {
        task.clip.uuid: {badge.state.value for badge in task.status_badges}
        for task in getattr(found, "tasks", ())
    }


def _times(geometry: Any) -> Span:
    """When an event starts and ends, whatever its shape in the spectrogram."""
    match geometry.type:
        case "TimeStamp":
            times = [geometry.coordinates]
        case "TimeInterval":
            times = geometry.coordinates
        case "BoundingBox":
            times = geometry.coordinates[::2]
        case _:
            times = list(_corners(geometry.coordinates))
    return min(times), max(times)


def _corners(coordinates: Any) -> Iterator[float]:
    """The times of points, which are pairs of time and frequency, nested at any depth."""
    if isinstance(coordinates[0], int | float):
        yield coordinates[0]
        return
    for part in coordinates:
        yield from _corners(part)


FORMAT = Format(
    rows=rows,
    recognises=lambda values: False,
    annotated=lambda table: "listed",
    choosable=("labels",),
)

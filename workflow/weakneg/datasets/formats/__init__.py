"""Formats of lists of recordings: one file each, which defines `FORMAT`, a `Format`.

If files of a format are not tables, `SUFFIXES` says how their names end, in lower case.
A format turns a table, or a folder of tables, into `Row`s. A new file is found automatically.
`recognise` decides which format a list has, by its content; everything that does not depend on the
format is done here: confidences, expanded times, and what is known where nothing is listed.
"""

import csv
import importlib
import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal, NamedTuple

from weakneg import plugins
from weakneg.datasets.own_lists import LABEL_SEPARATOR
from weakneg.errors import UserError
from weakneg.io.csv import read_lines

Annotated = Literal["whole", "listed"]
"""What was annotated: whole recordings, or only the spans that are listed."""

OWN = "own"
"""The format of this project's own lists."""

Span = tuple[float, float]
"""Onset and offset, in seconds from the start of the recording."""

TABLES = (".txt", ".csv", ".tsv")
"""How the names of tables end."""

_TOOLS = (  # SoundTrap's names end with digits, too, so that these count only after a word
    r"(\.BirdNET)?"
    r"(\.(Table|Selections|selections|selection\.table|results)(\.(\d+|r|kaleidoscope))?)*$"
)
_NOT_TABLES = ("BirdNET_analysis_params.csv", "_thresholds.csv")
"""What BirdNET-Analyzer and `weakneg detections` write beside their tables."""

_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_EXPANSION = re.compile(r"time[ _]?exp(ansion)?([ _]factor)?", re.IGNORECASE)


class Table(NamedTuple):
    """A list, and how to read it; the fields are keys of `weakneg.config.sections.DatasetSettings`.

    Attributes
    ----------
    path : str
        The table, or a folder of tables.
    format : str
        Name of the format.
    columns : tuple of (str, str or int)
        What a column holds -> its name, or its number, from 1, in a table without a header.
    separator : str
        What separates labels within a value.
    file_suffix : str
        What is added to the names of recordings, such as ".wav".
    times : {"recording", "original"}, optional
        What the times of time-expanded recordings are measured in.
    time_expansion : float, optional
        How many times longer than the original a recording is.
    annotated : {"whole", "listed"}
        What was annotated.
    min_confidence : float, optional
        Labels with less are not used.
    folder : str
        Folder of the recordings, in which their paths begin.
    group : {"site", "date"}, optional
        What groups recordings of which the list names no group.
    """

    path: str
    format: str = OWN
    columns: tuple[tuple[str, str | int], ...] = ()
    separator: str = LABEL_SEPARATOR
    file_suffix: str = ""
    times: Literal["recording", "original"] | None = None
    time_expansion: float | None = None
    annotated: Annotated = "whole"
    min_confidence: float | None = None
    folder: str = ""
    group: Literal["site", "date"] | None = None

    def column(self, key: str) -> str | int | None:
        """The column that the study names for `key`, if it does."""
        return dict(self.columns).get(key)

    def labels(self, text: str) -> tuple[str, ...]:
        """The names in a value."""
        return tuple(name for part in text.split(self.separator) if (name := part.strip()))


class Name(NamedTuple):
    """How a table names a recording.

    Attributes
    ----------
    id, file : str
        As in `Row`.
    source : str
        The folder that the table names, or lies in, which the id may leave out. It begins with "/"
        if the table names more than a path in `Table.folder`; what is in there begins with it.
    """

    id: str
    file: str
    source: str


class Row(NamedTuple):
    """What a row of a table says.

    Attributes
    ----------
    where : str
        The place of the row, for messages.
    id : str
        Of the recording.
    file : str
        Path in the folder of recordings; empty where the id is the name of a file without suffix.
    source : str
        As in `Name`.
    labels : tuple of str
        Classes that were heard.
    times : (float, float), optional
        Onset and offset in seconds; None: all of the recording.
    negatives : tuple of str
        Classes that were looked for and not heard.
    split, group : str
        Of the recording; may be empty.
    confidence : float, optional
        Of the labels, if the table has such a column.
    expansion : float, optional
        How many times longer than the original the recording is, if the table says so.
    channel : int, optional
        The channel that all of this is about, from 1; None: all channels.
    complete : bool
        Whether, if only spans were annotated, classes that no row names in this one are absent.
    """

    where: str
    id: str
    file: str
    source: str = ""
    labels: tuple[str, ...] = ()
    times: Span | None = None
    negatives: tuple[str, ...] = ()
    split: str = ""
    group: str = ""
    confidence: float | None = None
    expansion: float | None = None
    channel: int | None = None
    complete: bool = True


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format.

    Attributes
    ----------
    rows : callable
        `rows(table)` yields a `Row` for each row, and one without labels for each recording of
        which the table says that nothing was heard.
    recognises : callable
        `recognises(values)` says whether a table of this format may begin with these values.
    annotated : callable
        `annotated(table)` is what was annotated, if the study does not say: "whole" only where that
        is certain.
    choosable : tuple of str
        Columns that a study may name, since their names differ.
    channel : str, optional
        Where the format says which channel a label is about. It is only read, as the column
        `channel` of the table, for studies that hear each channel.
    """

    rows: Callable[[Table], Iterable[Row]]
    recognises: Callable[[Sequence[str]], bool]
    annotated: Callable[[Table], Annotated]
    choosable: tuple[str, ...] = ()
    channel: str | None = None


def names() -> list[str]:
    """Return the names of the formats, in alphabetical order."""
    return plugins.names(Path(__file__).parent, "FORMAT")


def load(name: str) -> Format:
    """Return the format of that name."""
    found: Format = importlib.import_module(f"{__name__}.{name}").FORMAT
    return found


def suffixes(name: str) -> tuple[str, ...]:
    """Return how the names of the files of a format end, in lower case."""
    found: tuple[str, ...] = plugins.constant(Path(__file__).parent, name, "SUFFIXES", TABLES)
    return found


def recognise(path: str) -> str:
    """Find out which format a list has, by its suffix or the first line of one of its tables.

    Parameters
    ----------
    path : str
        A table or another file of annotations, or a folder of them. In a folder with tables, other
        files do not count.

    Returns
    -------
    str
        Name of the format; that of own lists for a file that no other format recognises, whose
        reader then says what is wrong.

    Raises
    ------
    UserError
        When several formats recognise it, or, in a folder, none.
    """
    first: list[str] = []
    found = [] if _files(path, TABLES) else [name for name in names() if _is_named_like(name, path)]
    if not found:
        for file in table_files(path):
            first = next((values for _, values in _lines(file, path) if values), [])
            if first:
                break
        # A folder in which every file is empty holds label tracks without labels.
        found = [name for name in names() if load(name).recognises(first)]
    if len(found) > 1:
        choices = " or ".join(f"format: {name}" for name in found)
        raise UserError(f"dataset.list: {path} may have several formats: say {choices}.")
    if not found and Path(path).is_dir():
        raise UserError(
            f"dataset.list: the format of the tables in {path} is not recognised (the first begins "
            f"with {', '.join(first) or 'an empty line'}): say format: {' or '.join(names())}, or "
            "name their columns, as in columns: {file: filename, labels: species}."
        )
    return found[0] if found else OWN


def rows(table: Table) -> tuple[Row, ...]:
    """Read a list.

    Parameters
    ----------
    table : Table
        The list.

    Returns
    -------
    tuple of Row
        In the order of the list. If only spans were annotated, rows with negatives follow: a class
        that no row names for a span is absent there.

    Raises
    ------
    UserError
        When the list is malformed, or must be explained by the study.
    """
    found = _one_name(load(table.format).rows(table))
    _refuse_ambiguous(found, table)
    _refuse_separators(found)
    found = [_in_file_time(row, table) for row in found]
    sure, doubtful = _by_confidence(found, table)
    return (*sure, *(_absent(sure, doubtful) if table.annotated == "listed" else ()))


# ---- reading -------------------------------------------------------------------------------------
def table_files(path: str, suffixes: tuple[str, ...] = TABLES) -> list[str]:
    """Return the tables in a folder, at any depth and in order of name, or the path of a file.

    Parameters
    ----------
    path : str
        The file or the folder.
    suffixes : tuple of str
        How their names end.
    """
    found = _files(path, suffixes) if Path(path).is_dir() else [path]
    if not found:
        raise UserError(
            f"dataset.list: {path} has no tables ({', '.join(suffixes)}): name a table or a folder "
            "of them."
        )
    return found


@contextmanager
def read_by(library: str, path: str, table: Table) -> Iterator[None]:
    """Turn what goes wrong when a library reads a file into a UserError, as a context manager.

    Parameters
    ----------
    library : str
        The library, which is imported inside, since it may not be installed. The extra of
        `pip install` that has it is called like the format.
    path : str
        The file.
    table : Table
        The list that it belongs to.
    """
    with one_line_errors(path, table.path):
        Path(path).stat()  # libraries word it differently when there is no such file
        try:
            yield
        except ImportError:
            raise UserError(
                f"dataset.list: the format {table.format} is read by {library}, which is not "
                f"installed: run pip install -e '.[{table.format}]' in the clone."
            ) from None
        except (OSError, UnicodeDecodeError):
            raise
        except Exception as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = " ".join(lines[:2] or [type(error).__name__]).rstrip(".:")
            raise UserError(
                f"{path} cannot be read by {library} ({reason}): correct or remove the file."
            ) from None


def lines_of(path: str, table: Table) -> Iterator[tuple[str, list[str]]]:
    """Yield the place and the values of each line of a table that is not empty.

    Values are separated by tabs if the first line has one, or else by whichever of comma and
    semicolon occurs more there. In tables with tabs, quotes around all of a value are removed, as
    Excel and R write them; others are text, since Raven and Audacity do not quote.
    """
    for number, values in _lines(path, table.path):
        if any(value.strip() for value in values):
            yield f"{path}, line {number}", values


def records(path: str, table: Table) -> tuple[list[str], Iterator[tuple[str, dict[str, str]]]]:
    """Read a table with a header.

    Parameters
    ----------
    path : str
        The table.
    table : Table
        The list that it belongs to.

    Returns
    -------
    list of str
        Names of the columns.
    iterator of (str, dict of str)
        Place of each row, and its values by column.
    """
    lines = lines_of(path, table)
    _, header = next(lines, ("", []))
    header = [name.strip() for name in header]

    def rows() -> Iterator[tuple[str, dict[str, str]]]:
        for where, values in lines:
            if len(values) > len(header):
                raise UserError(
                    f"{where} has {len(values)} values, the header has {len(header)}: quote values "
                    "that hold the separator."
                )
            # Editors remove tabs at the end of a line.
            padded = values + [""] * (len(header) - len(values))
            yield where, {name: v.strip() for name, v in zip(header, padded, strict=True)}

    return header, rows()


def expansion(where: str, values: dict[str, str]) -> float | None:
    """The time expansion that a row states, if it has such a column."""
    stated = (v for name, v in values.items() if v and _EXPANSION.fullmatch(name))
    return next((number(where, "time expansion", v) for v in stated), None)


def number(where: str, what: str, text: str) -> float:
    """Read a number that is at least 0, with a decimal point."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UserError(
            f"{where}: {what} is {text!r}, but must be a number with a decimal point, at least 0."
        )
    return value


def channel(where: str, values: Mapping[str, str], column: str | int | None) -> int | None:
    """Read the number of a channel, from 1; None if there is no such column, or it is empty."""
    text = "" if column is None else values.get(str(column), "").strip()
    if not text:
        return None
    found = re.fullmatch(r"([1-9]\d*)(\.0)?", text)  # pandas writes 2.0 where others are empty
    if found is None:
        raise UserError(f"{where}: the channel is {text!r}, but must be a number from 1 on.")
    return int(found[1])


def span(where: str, onset: str, offset: str) -> Span | None:
    """Read an onset and an offset in seconds; None if both are empty. A point has no length."""
    if not onset and not offset:
        return None
    times = number(where, "the onset", onset), number(where, "the offset", offset)
    if times[0] > times[1]:
        raise UserError(f"{where}: the offset, {offset} s, is before the onset, {onset} s.")
    return times


def within(name: str, table: Table) -> PurePosixPath | None:
    """The part of a path that is in `table.folder`, judging by the name of that folder, if any."""
    path = _posix(name)
    home = PurePosixPath(table.folder).name
    folders = path.parts[:-1]
    if home not in folders:
        return None
    inside = [
        PurePosixPath(*path.parts[place:]) for place, name in enumerate(folders, 1) if name == home
    ]
    # There may be a folder of that name inside it.
    there = (each for each in inside[:-1] if Path(table.folder, each).exists())
    return next(there, inside[-1])


def _posix(name: str) -> PurePosixPath:
    """A path of any system; with a drive, it begins with "/", too."""
    windows = PureWindowsPath(name)
    if windows.drive:
        return PurePosixPath("/", windows.as_posix())
    return PurePosixPath(windows.as_posix() if "\\" in name else name)


def recording(where: str, name: str, table: Table) -> Name:
    """The id and the file of a recording that a table names.

    Parameters
    ----------
    where : str
        Place in the table.
    name : str
        Path, with or without a suffix. Of an absolute one, or of one that begins elsewhere, the
        part in `table.folder` counts, judging by the name of that folder, or else the file name.
    table : Table
        The list.

    Returns
    -------
    Name
        The file is empty where the name has no suffix: then it is found by its name.
    """
    path, inside = _posix(name), within(name, table)
    folder = path.parent
    if inside is not None:
        folder = PurePosixPath("/", PurePosixPath(table.folder).name, inside.parent)
        path = inside
    elif path.is_absolute():
        path = PurePosixPath(path.name)
    source = str(folder) if folder.name else ""
    if not path.name or ".." in path.parts:
        raise UserError(f"{where}: {name!r} is not the name of a recording in the folder.")
    if table.file_suffix:
        path = path.with_name(path.name + table.file_suffix)
    elif not re.fullmatch(r"\.\w{0,4}[A-Za-z]\w{0,4}", path.suffix):
        return Name(path.name, "", source)
    return Name(str(path), str(path), source)


def recording_of(file: str, table: Table) -> Name:
    """The id and the file of the recording that a table is named after, as for `recording`."""
    path = PurePosixPath(file)
    return recording(file, f"{folder_of(file, table)}{re.sub(_TOOLS, '', path.stem)}", table)


def only(found: Collection[str], what: str, table: Table) -> str | None:
    """Return the only place that has labels, or None if there is none.

    Parameters
    ----------
    found : collection of str
        The places with labels.
    what : str
        What they are, such as "tier".
    table : Table
        The list.

    Raises
    ------
    UserError
        When there are several.
    """
    if len(found) > 1:
        names = sorted(found)
        raise UserError(
            f"{table.path}: which {what} holds the labels: is it {' or '.join(names)}? Name it in "
            f"the study, as in columns: {{labels: {names[0]}}}."
        )
    return next(iter(found), None)


def folder_of(file: str, table: Table) -> str:
    """Where a table is in the folder of tables, such as "site1/": its recordings are there, too."""
    if not Path(table.path).is_dir():
        return ""
    folder = PurePosixPath(Path(file).parent.relative_to(table.path).as_posix())
    return "" if folder == PurePosixPath() else f"{folder}/"


def _files(path: str, suffixes: tuple[str, ...]) -> list[str]:
    """The files with these suffixes: those in a folder, in order of name, or the file."""
    inside = Path(path).rglob("*") if Path(path).is_dir() else [Path(path)]
    named = (file for file in inside if file.name.lower().endswith(suffixes))
    return sorted(str(f) for f in named if f.name[0] != "." and f.name not in _NOT_TABLES)


def _is_named_like(name: str, path: str) -> bool:
    """Whether a file, or one in a folder, has a suffix of a format."""
    return bool(_files(path, suffixes(name)))


def _lines(path: str, listed: str) -> Iterator[tuple[int, list[str]]]:
    with one_line_errors(path, listed):
        with open(path, encoding="utf-8-sig") as file:
            first = next((line for line in file if line.strip()), "")
        if "\t" not in first:
            yield from read_lines(path, max(",;", key=first.count))
            return
        with open(path, encoding="utf-8-sig") as file:
            for row, line in enumerate(file, 1):
                yield row, [_unquoted(value) for value in line.rstrip("\r\n").split("\t")]


def _unquoted(value: str) -> str:
    quoted = _QUOTED.fullmatch(value)
    return quoted[1].replace('""', '"') if quoted else value


@contextmanager
def one_line_errors(path: str, listed: str) -> Iterator[None]:
    """Turn what goes wrong when a table is read into a UserError, as a context manager.

    Parameters
    ----------
    path : str
        The table.
    listed : str
        The list that it belongs to, or itself.
    """
    try:
        yield
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text in UTF-8: save it as UTF-8.") from None
    except OSError as error:
        raise UserError(
            f"dataset.list: {listed} cannot be read ({error.strerror}): give the path of the "
            "list of recordings, relative to the study's folder or the working directory."
        ) from None
    except csv.Error as error:
        raise UserError(
            f"{path}, {error}: close the quotes, and double quotes inside a value."
        ) from None


# ---- what all formats share ----------------------------------------------------------------------
def _one_name(found: Iterable[Row]) -> list[Row]:
    """Give a recording that is named with and without its suffix one id."""
    found = list(found)
    files: dict[str, dict[str, str]] = defaultdict(dict)
    for row in found:
        if row.file:
            files[PurePosixPath(row.file).stem][row.file] = row.source
    only = {stem: next(iter(named.items())) for stem, named in files.items() if len(named) == 1}

    def with_suffix(row: Row) -> Row:
        if row.file or row.id not in only:
            return row
        file, source = only[row.id]
        return row._replace(id=file, file=file, source=row.source or source)

    return [with_suffix(row) for row in found]


def _refuse_ambiguous(found: Iterable[Row], table: Table) -> None:
    """Raise UserError where several recordings would become one."""
    first: dict[tuple[str, bool], Row] = {}
    for row in found:
        # Whether an absolute path and a relative one are the same, nobody knows.
        absolute = row.source.startswith("/")
        other = first.setdefault((row.id, absolute), row)
        if row.source != other.source:
            advice = (
                f"begin their paths with {PurePosixPath(table.folder).name!r}, the folder of the "
                "recordings"
                if absolute
                else "say file_suffix: .wav, so that paths are compared"
            )
            raise UserError(
                f"{other.where} and {row.where} are for {row.id!r}: if these are different "
                f"recordings in folders of their own, {advice}."
            )


def _refuse_separators(found: Iterable[Row]) -> None:
    """Raise UserError where a label cannot be written into a list of this project."""
    for row in found:
        for label in (*row.labels, *row.negatives):
            if LABEL_SEPARATOR in label:
                raise UserError(
                    f"{row.where}: the label {label!r} holds {LABEL_SEPARATOR!r}, which separates "
                    "labels: rename it."
                )


def _in_file_time(row: Row, table: Table) -> Row:
    """Convert the times of a time-expanded recording to seconds in its file."""
    factor = row.expansion or table.time_expansion
    if row.times is None:
        return row
    if table.times == "original" and factor is None:
        raise UserError(
            f"{row.where}: the times are of the original sound, but nothing says how many times "
            "longer the recording is: say it in dataset.time_expansion."
        )
    if table.times is None and factor not in (None, 1.0):
        raise UserError(
            f"{row.where}: {row.id!r} is time-expanded {factor:g} times: say dataset.times: "
            "recording if the onsets are seconds in the file as it plays, or times: original if "
            "they are seconds of the original sound."
        )
    if table.times != "original" or factor is None:
        return row
    return row._replace(times=(row.times[0] * factor, row.times[1] * factor))


def _by_confidence(found: list[Row], table: Table) -> tuple[list[Row], list[Row]]:
    """The rows, without labels that are not confident enough, and the rows that lost theirs."""
    confidences = [row.confidence for row in found if row.confidence is not None and row.labels]
    if not confidences:
        return found, []
    least = table.min_confidence
    if least is None:
        raise UserError(
            f"dataset.list: {table.path} has labels with confidences from {min(confidences):g} to "
            f"{max(confidences):g}: say from which on they are used, as in min_confidence: 0.5; 0 "
            "uses all."
        )
    doubtful = [row.confidence is not None and row.confidence < least for row in found]
    pairs = list(zip(found, doubtful, strict=True))
    if table.annotated == "whole" and any(doubt and row.labels for row, doubt in pairs):
        raise UserError(
            f"dataset.list: {table.path} has labels with confidences below {least:g}, which "
            "annotated: whole would make negatives: say annotated: listed, so that they are "
            "unknown, or remove them from the list."
        )
    return [row._replace(labels=()) if doubt else row for row, doubt in pairs], [
        row for row, doubt in pairs if doubt
    ]


def _absent(sure: Sequence[Row], doubtful: Sequence[Row]) -> Iterator[Row]:
    """Yield, for each span with labels, the classes that no row names there."""
    classes = sorted({name for row in sure for name in row.labels})
    listed: dict[tuple[str, int | None], list[Row]] = defaultdict(list)
    heard: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in sure:
        if row.labels and row.complete:
            listed[row.id, row.channel].append(row)
    for row in (*sure, *doubtful):
        for label in row.labels:
            heard[row.id, label].append(row)
    for (name, channel), of_recording in listed.items():
        first = of_recording[0]
        spans = _joined(map(_span, of_recording))
        same: dict[tuple[Span, ...], list[str]] = defaultdict(list)
        for label in classes:
            there = (
                _span(row)
                for row in heard[name, label]
                if channel is None or row.channel in (None, channel)
            )
            same[tuple(_without(spans, _joined(there)))].append(label)
        for absent, labels in same.items():
            for each in absent:
                where = (first.where, first.id, first.file, first.source)
                yield Row(*where, (), each, tuple(labels), channel=channel)


def _span(row: Row) -> Span:
    return row.times or (0.0, math.inf)


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Join spans that touch or overlap."""
    found: list[Span] = []
    for onset, offset in sorted(spans):
        if found and onset <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], offset)
        else:
            found.append((onset, offset))
    return found


def _without(spans: Iterable[Span], holes: Sequence[Span]) -> list[Span]:
    """What is left of spans outside of holes; both are sorted and disjoint."""
    left: list[Span] = []
    next_hole = 0
    for onset, offset in spans:
        while next_hole < len(holes) and holes[next_hole][0] < offset:
            begin, end = holes[next_hole]
            if onset < begin:
                left.append((onset, begin))
            onset = max(onset, end)
            if end > offset:  # it may reach into the next span
                break
            next_hole += 1
        if onset < offset:
            left.append((onset, offset))
    return left

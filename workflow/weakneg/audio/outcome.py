"""The outcome of acquiring a recording."""

import unicodedata
from pathlib import Path
from typing import NamedTuple

OK = "ok"
MISSING = "missing"
UNAVAILABLE = "unavailable"
PRIVATE = "private"
GEO_BLOCKED = "geo_blocked"
AGE_RESTRICTED = "age_restricted"
REMOVED = "removed"
TOO_SHORT = "too_short"
DECODE_ERROR = "decode_error"
ERROR = "error"

TIMEOUT = "timeout"
RATE_LIMITED = "rate_limited"
UNREACHABLE = "unreachable"
FORBIDDEN = "forbidden"
TRUNCATED = "truncated"

_LONGEST_MESSAGE = 300


class Outcome(NamedTuple):
    """The outcome of acquiring a recording.

    Attributes
    ----------
    status : str
        One of the constants of this module: "ok", or the kind of failure.
    message : str
        What the source said, in one line.
    path : Path or None
        The audio file, if the status is "ok".
    start, end : float or None
        The part of that file to use, in seconds; None: from its start, to its end.
    """

    status: str
    message: str = ""
    path: Path | None = None
    start: float | None = None
    end: float | None = None


def one_line(text: str) -> str:
    """The text without line breaks and control characters, cut to 300 characters."""
    text = " ".join("".join(" " if _is_control(c) else c for c in text).split())
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[: _LONGEST_MESSAGE - 3]}..."


def _is_control(character: str) -> bool:
    return unicodedata.category(character).startswith(("C", "Z")) and character != " "

"""Messages about mistakes in the configuration, one line each."""

import difflib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic import (
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from weakneg.errors import UserError

_LONG = 40  # longer lists of allowed values are shortened

Location = tuple[str | int, ...]
"""The keys and list positions that lead to a value."""


def problem(text: str, *at: str | int) -> PydanticCustomError:
    """A mistake; the keys `at` extend the location that pydantic knows."""
    return PydanticCustomError("weakneg", "{text}", {"text": text, "at": at})


def no_such(value: object, what: str, allowed: Iterable[object]) -> str:
    """Message about a value that is not among the allowed ones, with the most similar of them.

    Parameters
    ----------
    value : object
        The value.
    what : str
        Noun phrase for the allowed values, such as "a strategy".
    allowed : iterable
        The allowed values.

    Returns
    -------
    str
        Such as "'bagde' is not a strategy; did you mean 'badge'? Allowed: badge, random".
    """
    names = [str(item) for item in allowed]
    near = difflib.get_close_matches(str(value), names, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else "."
    listed = ", ".join(dict.fromkeys(names))
    if len(names) > _LONG:
        listed = f"{', '.join(names[:10])}, ... ({len(names)} in all)"
    return f"{value!r} is not {what}{guess} Allowed: {listed}"


def _key_path(location: Iterable[str | int]) -> str:
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in location)
    return path.removeprefix(".")


def describe(error: ErrorDetails) -> str:
    """Message with the key, "training.epochs: must be ...", for one error of pydantic."""
    return f"{_key_path(location_of(error))}: {said(error)}"


def said(error: ErrorDetails) -> str:
    """Message without the key for one error of pydantic."""
    text = error["msg"]
    if error["type"] == "weakneg":
        text = error["ctx"]["text"]
    elif error["type"] == "missing":
        text = "is missing"
    elif error["type"] == "too_short" and error["ctx"]["min_length"] == 1:
        text = "must not be empty"
    elif error["type"] in ("too_short", "too_long"):
        limit = error["ctx"].get("min_length", error["ctx"].get("max_length"))
        text = f"must have {limit} numbers, not {error['input']!r}"
    elif error["type"] == "literal_error":
        text = no_such(error["input"], "a choice", re.findall("'(.*?)'", error["ctx"]["expected"]))
    else:
        text = f"{text.replace('Input should', 'must')}, not {error['input']!r}"
    return text


def location_of(error: ErrorDetails) -> Location:
    """The location of a mistake."""
    more = error["ctx"]["at"] if error["type"] == "weakneg" else ()
    return (*error["loc"], *more)


def shown(path: Path) -> str:
    """A path as a user would type it: relative to the working directory if it is below."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def user_error(error: ValidationError, source: Callable[[Location], str]) -> UserError:
    """The first mistake as one line.

    Parameters
    ----------
    error : ValidationError
        The mistakes that pydantic found.
    source : callable
        `source(location)` gives the file, or other origin, of the value at a location.

    Returns
    -------
    UserError
        The error to raise.
    """
    first, *others = error.errors()
    more = f" (and {len(others)} more)" if others else ""
    return UserError(f"{source(location_of(first))}: {describe(first)}{more}")


def one_mistake(mistake: PydanticCustomError, source: Callable[[Location], str]) -> UserError:
    """A `problem` that was raised outside of pydantic as one line; `source` as in `user_error`."""
    context = mistake.context or {}
    location = tuple(context["at"])
    return UserError(f"{source(location)}: {_key_path(location)}: {context['text']}")

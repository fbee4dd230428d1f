"""Types of values that several sections share."""

import re
from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from weakneg.config.messages import no_such, problem

_Value = TypeVar("_Value")

NAME = re.compile(r"[a-z0-9_]+")  # names of studies and strategies, which become parts of paths


def number_as_text(value: object) -> object:
    """Validator: a number becomes a name."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def as_list(value: object) -> object:
    """Validator: one value, as in `--config classes=airplane`, becomes a list."""
    return (
        [value] if isinstance(value, str | int | float) and not isinstance(value, bool) else value
    )


def distinct(values: list[_Value], *key: str) -> list[_Value]:
    """Return the values; raises the mistake, at the key and the position, if one is repeated."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise problem(f"{value!r} is listed twice", *key, index)
    return values


class Section(BaseModel):
    """A mapping of keys to values, without unknown keys."""

    # strict: without it pydantic reads `true` as 1 and "5" as 5.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: object) -> object:
        if not isinstance(value, Mapping | cls):
            raise problem(f"must be a mapping of keys to values, not {value!r}")
        for key in value if isinstance(value, Mapping) else ():
            if key not in cls.model_fields:
                raise problem(no_such(key, "a key here", cls.model_fields), key)
        return value


MOST_SEEDS = 10_000


def _seeds(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | list):
        raise problem(f"must be a number of seeds or a list of them, not {value!r}")
    if isinstance(value, int):
        if not 1 <= value <= MOST_SEEDS:
            raise problem(f"must be from 1 to {MOST_SEEDS:,}, not {value}")
        return list(range(value))
    return distinct([text_as_number(each) for each in value])


def text_as_number(value: object) -> object:
    """Validator: digits become a number, since Snakemake reads lists in `--config` as texts."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


Seeds = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**63)]],
    Field(min_length=1),
    BeforeValidator(_seeds, json_schema_input_type=int | list[int]),
]
Names = Annotated[list[str], Field(min_length=1), BeforeValidator(as_list, str | list[str])]

"""What is true of the test clips of a study, as far as people have listened to them."""

from collections.abc import Iterable
from functools import partial
from operator import is_
from typing import Annotated

from pydantic import BeforeValidator, Field, JsonValue, field_validator

from weakneg.config.messages import no_such, problem
from weakneg.config.values import Names, Section
from weakneg.datasets.listened import PUBLISHED


class JudgedClass(Section):
    """How a class of the study is judged.

    Attributes
    ----------
    heard : list of str
        Labels of the list; a clip is positive if one of them was heard.
    labelled : list of str
        Classes of the data set that stand for the same sounds. A clip with one of these labels, or
        with the class itself, is positive by the labels.
    """

    heard: Names = Field(description="Labels of the list that mean the class.")
    labelled: list[str] = Field(
        [],
        description="More classes of the data set that mean the same as `heard`: the labels are "
        "judged by all of them, since the list may use wider classes than the data set.",
    )


def _shorthand(value: object) -> object:
    """Validator: `Dog: dog_bark`, or a list, is short for `Dog: {heard: dog_bark}`."""
    return {"heard": value} if isinstance(value, str | list) else value


class TruthSettings(Section):
    """What people heard in test clips."""

    list: str = Field(
        description=f"A published list ({', '.join(PUBLISHED)}), or a file of your own: .csv with "
        "the columns id, labels and, optionally, start; or .tsv in DESED's format. The path is "
        "relative to the folder of this file, or else to the working directory.",
    )
    classes: dict[str, Annotated[JudgedClass, BeforeValidator(_shorthand, JsonValue)]] = Field(
        min_length=1,
        description="Class of the study -> labels of the list that mean it, or {heard: labels, "
        "labelled: more classes of the data set}. Classes without truth are left out.",
    )

    frame_seconds: float | None = Field(
        None,
        gt=0,
        exclude_if=partial(is_, None),
        description="Where the task is multilabel and the list says when a sound was heard: the "
        "time from one feature vector of a clip to the next, in seconds. The study then has a "
        "pointing game: in how many clips is the highest frame one that holds the sound?",
    )

    @field_validator("list")
    @classmethod
    def _of_a_format(cls, value: str) -> str:
        if value not in PUBLISHED and not value.endswith((".csv", ".tsv")):
            what = "a published list, or the path of a .csv or .tsv file"
            raise problem(no_such(value, what, PUBLISHED))
        return value

    def of(self, classes: Iterable[str]) -> dict[str, JudgedClass]:
        """The classes of a study that are judged, in its order."""
        return {name: self.classes[name] for name in classes if name in self.classes}

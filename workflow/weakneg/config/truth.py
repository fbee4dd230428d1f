"""What is true of the test clips of a study, as far as people have listened to them."""

from collections.abc import Iterable
from functools import partial
from operator import is_
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, JsonValue, field_validator, model_validator

from weakneg.config.messages import no_such, problem
from weakneg.config.values import Names, Section
from weakneg.datasets.listened import PUBLISHED

OWN_LABELS = "own_labels"
"""The `list` of a study whose labels say when each class sounds."""
SED_LIBRARY = "sed_scores_eval"
"""What measures event detection."""


def needs_library(cause: str) -> str:
    """The message that `SED_LIBRARY` cannot be imported."""
    return (
        f"truth: event_detection needs {SED_LIBRARY} ({cause}): pip install -e '.[sed]', which "
        "needs a C++ compiler, or remove the key from the study."
    )


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
        "relative to the folder of this file, or else to the working directory. Or own_labels, for "
        "task: multilabel: the onsets and offsets of the labels themselves.",
    )
    classes: dict[str, Annotated[JudgedClass, BeforeValidator(_shorthand, JsonValue)]] = Field(
        {},
        description="Class of the study -> labels of the list that mean it, or {heard: labels, "
        "labelled: more classes of the data set}. Classes without truth are left out. Of list: "
        "own_labels, all classes mean themselves.",
    )

    frame_seconds: float | None = Field(
        None,
        gt=0,
        exclude_if=partial(is_, None),
        description="Where the task is multilabel, on feature vectors, and the list says when a "
        "sound was heard: the time from one vector of a clip to the next, in seconds. The study "
        "then has a pointing game: in how many clips is the highest frame one that holds the "
        "sound? On spectrograms the model knows this time.",
    )
    event_detection: bool = Field(
        False,
        exclude_if=partial(is_, False),
        description="Where there is a pointing game: also measure how well events are detected, by "
        "segment-based F1 and PSDS. sed_scores_eval computes them and must be installed: pip "
        "install -e '.[sed]'.",
    )

    @property
    def of_own_labels(self) -> bool:
        """Whether the labels of the study are the truth."""
        return self.list == OWN_LABELS

    @model_validator(mode="after")
    def _judges_a_class(self) -> Self:
        if self.of_own_labels and self.classes:
            raise problem(f"list: {OWN_LABELS} judges every class: remove this key", "classes")
        if not self.of_own_labels and not self.classes:
            raise problem("must not be empty", "classes")
        return self

    @field_validator("list")
    @classmethod
    def _of_a_format(cls, value: str) -> str:
        if value not in (*PUBLISHED, OWN_LABELS) and not value.endswith((".csv", ".tsv")):
            what = f"{OWN_LABELS}, a published list, or the path of a .csv or .tsv file"
            raise problem(no_such(value, what, (*PUBLISHED, OWN_LABELS)))
        return value

    def of(self, classes: Iterable[str]) -> dict[str, JudgedClass]:
        """The classes of a study that are judged, in its order."""
        if self.of_own_labels:
            return {name: JudgedClass(heard=[name], labelled=[]) for name in classes}
        return {name: self.classes[name] for name in classes if name in self.classes}

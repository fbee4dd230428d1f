"""The sections of a study."""

from collections.abc import Mapping
from functools import lru_cache, partial
from operator import eq, is_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)

from weakneg import datasets, plugins
from weakneg.config.messages import no_such, problem
from weakneg.config.values import Section, number_as_text
from weakneg.datasets import Dataset, OwnDataset, Unlisted

if TYPE_CHECKING:
    # Stages that read no list do not import how lists are read, and do not depend on it.
    from weakneg.datasets.formats import Table

_MODELS = Path(__file__).parent.parent / "models"


@lru_cache
def models(constant: str = "KIND") -> dict[str, Any]:
    """Values of a constant of the models in weakneg/models.

    Parameters
    ----------
    constant : str
        "KIND", the kind of data of a model's bags, which every model defines; or "IMAGENET", true
        where a model can start from weights for ImageNet.

    Returns
    -------
    dict of str to object
        Name of each model that defines the constant, and its value.
    """
    return {
        name: plugins.constant(_MODELS, name, constant) for name in plugins.names(_MODELS, constant)
    }


OF_TABLES = (
    *("format", "columns", "file_suffix", "times", "time_expansion", "annotated"),
    "min_confidence",
)
"""The keys of `DatasetSettings` that explain a list in the format of another tool."""


def _keys(info: ValidationInfo) -> tuple[str, ...]:
    """The keys with which a study locates a user's own data."""
    return _study_keys(info.data["name"])


def _study_keys(name: str) -> tuple[str, ...]:
    data = datasets.load(name)
    return data.study_keys if isinstance(data, OwnDataset) else ()


class Columns(Section):
    """The columns of a list: their names or, if it has no header, their numbers, from 1."""

    file: str | int | None = Field(None, description="Path or name of the recording.")
    labels: str | int | None = Field(None, description="Names of classes.")
    onset: str | int | None = Field(None, description="Start of the sounds, in seconds.")
    offset: str | int | None = Field(None, description="End of the sounds, in seconds.")
    duration: str | int | None = Field(None, description="Seconds, instead of the offset.")
    split: str | int | None = Field(None, description="Split or fold.")
    group: str | int | None = Field(None, description="What recordings have in common.")
    negatives: str | int | None = Field(None, description="Classes that were not heard.")
    confidence: str | int | None = Field(None, description="Confidence of the labels.")
    time_expansion: str | int | None = Field(None, description="Factor of time expansion.")
    channel: str | int | None = Field(
        None,
        exclude_if=partial(is_, None),
        description="Number of the channel of the labels, from 1; empty: all channels. Only with "
        "audio: {channel: each}.",
    )
    separator: str = Field(
        ";", min_length=1, description="What separates the names of classes within a value."
    )

    @property
    def named(self) -> tuple[tuple[str, str | int], ...]:
        """What each column holds that the study names, and its name or number."""
        found = self.model_dump(exclude={"separator"}, exclude_none=True)
        return tuple(found.items())


class DatasetSettings(Section):
    """The data set."""

    name: str = Field(description="Data set: a file in workflow/weakneg/datasets.")
    list: str | None = Field(
        None,
        validate_default=True,
        description="For the data set `recordings`: the CSV file of their labels, with the columns "
        "file, labels and, optionally, split, group, onset, offset, negatives and channel, or a "
        "table or folder of tables in another `format`. For the data set `instances`: the CSV, "
        "Parquet or HDF5 file of their features. The path is relative to the folder of this file, "
        "or else to the working directory.",
    )
    folder: str | None = Field(
        None,
        validate_default=True,
        description="For the data set `recordings`: the folder of the files. It is looked for in "
        "the folder of this file, the working directory and the folder in WEAKNEG_DATA.",
    )

    test_split: Annotated[str, BeforeValidator(number_as_text, str | int)] = Field(
        "test",
        # The settings of other data sets do not change, so that they do not run again.
        exclude_if=partial(eq, "test"),
        description="For your own data: the split of the list to test on. If it is not 'test', "
        "the splits are folds, and all others are for training.",
    )

    group: Literal["site", "date"] | None = Field(
        None,
        exclude_if=partial(is_, None),
        description="For the data set `recordings`: what recordings have in common where the list "
        "names no group: the site or the date that the names of the files, or their headers, say. "
        "A group is never divided between training, validation and testing. null: each recording "
        "is a group.",
    )

    unlisted: Unlisted = Field(
        "negative",
        exclude_if=partial(eq, "negative"),
        description="For your own data: what a class is that the list does not name for a bag or "
        "recording. negative: it is absent. unknown: only classes in the column negatives are "
        "known to be absent; the others may be chosen for training, and no metric counts them.",
    )
    # The keys below explain a list in the format of another tool. Where that has none of them, they
    # are left out of the settings.
    format: str | None = Field(
        None,
        exclude_if=partial(is_, None),
        description="Format of the list: a file in workflow/weakneg/datasets/formats; null: it is "
        "recognised by what it contains.",
    )
    columns: Columns | None = Field(
        None,
        exclude_if=partial(is_, None),
        description="Columns of a list in no known format, at least file and labels; or those that "
        "a format leaves open.",
    )
    file_suffix: str | None = Field(
        None,
        exclude_if=partial(is_, None),
        description="What is added to the names of recordings in the list, such as '.wav'. null: "
        "names without a suffix are looked for in the folder, at any depth.",
    )
    times: Literal["recording", "original"] | None = Field(
        None,
        exclude_if=partial(is_, None),
        description="Only for time-expanded recordings: whether the times in the list are seconds "
        "in the file as it plays (recording) or of the original sound.",
    )
    time_expansion: float | None = Field(
        None,
        gt=0,
        exclude_if=partial(is_, None),
        description="How many times longer than the original the recordings are, if the list does "
        "not say so.",
    )
    annotated: Literal["whole", "listed"] | None = Field(
        None,
        exclude_if=partial(is_, None),
        description="What was annotated. whole: the recordings, so that what carries no label is "
        "absent. listed: only the spans that the list names, in which a class that no row names is "
        "absent; all else is unknown. null: what is safe for the format.",
    )
    min_confidence: float | None = Field(
        None,
        ge=0,
        exclude_if=partial(is_, None),
        description="Labels with less confidence than this are unknown. It needs annotated: "
        "listed if there are any, as they would be negatives otherwise.",
    )

    @field_validator("name")
    @classmethod
    def _exists(cls, name: str) -> str:
        if name not in datasets.names():
            raise problem(no_such(name, "a data set", datasets.names()))
        return name

    @field_validator("list", "folder")
    @classmethod
    def _of_own_data(cls, path: str | None, info: ValidationInfo) -> str | None:
        if "name" in info.data and (info.field_name in _keys(info)) != (path is not None):
            name = info.data["name"]
            raise problem(
                "is missing" if path is None else f"{name} does not use it: remove this key"
            )
        return path

    @field_validator("test_split")
    @classmethod
    def _of_a_list(cls, split: str, info: ValidationInfo) -> str:
        if "name" in info.data and "list" not in _keys(info):
            raise problem(f"{info.data['name']} does not use it: remove this key")
        return split

    @field_validator("unlisted")
    @classmethod
    def _of_a_list_with_negatives(cls, unlisted: Unlisted, info: ValidationInfo) -> Unlisted:
        if "name" in info.data and unlisted == "unknown":
            data = datasets.load(info.data["name"])
            if not isinstance(data, OwnDataset) or data.negative_sizes is None:
                raise problem(f"{info.data['name']} has no unknown bags: remove this key")
        return unlisted

    @field_validator("format")
    @classmethod
    def _format_exists(cls, name: str | None) -> str | None:
        from weakneg.datasets import formats

        if name is not None and name not in formats.names():
            raise problem(no_such(name, "a format", formats.names()))
        return name

    @field_validator("group", *OF_TABLES)
    @classmethod
    def _of_tables(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and "name" in info.data and "folder" not in _keys(info):
            raise problem(f"{info.data['name']} does not use it: remove this key")
        return value

    @property
    def definition(self) -> Dataset | OwnDataset:
        """The data set, as its file defines it."""
        return datasets.load(self.name)

    @property
    def own_list(self) -> tuple[Any, str]:
        """A user's own list and its test split, the arguments of the functions of `OwnDataset`."""
        as_own = self.format is None and self.group is None and self.columns is None
        return self.list if as_own else self.table, self.test_split

    @property
    def table(self) -> "Table":
        """The user's list of recordings, and how to read it."""
        from weakneg.datasets.formats import OWN, Table

        assert self.list is not None
        columns = self.columns or Columns()
        return Table(
            path=self.list,
            format=self.format or OWN,
            columns=columns.named,
            separator=columns.separator,
            file_suffix=self.file_suffix or "",
            times=self.times,
            time_expansion=self.time_expansion,
            annotated=self.annotated or "whole",
            min_confidence=self.min_confidence,
            folder=self.folder or "",
            group=self.group,
        )

    @property
    def plugins(self) -> tuple[str, ...]:
        """The files that a stage loads by name to read the data set's lists."""
        own = (f"datasets.{self.name}",)
        return (*own, f"formats.{self.format or 'own'}") if self.lists_recordings else own

    @property
    def without_labels(self) -> "DatasetSettings":
        """The same, but for what makes no difference to the sound."""
        labels: dict[str, Any] = {"unlisted": "negative", "group": None}
        if self.format is not None:
            labels |= {"annotated": "whole", "min_confidence": 0.0}
        return self.model_copy(update=labels)

    @property
    def lists_recordings(self) -> bool:
        """Whether the user lists recordings."""
        return "folder" in _study_keys(self.name)

    @property
    def negative_counts(self) -> Mapping[str, Mapping[str, int]] | None:
        """For each split, in how many bags or recordings a class is known to be absent.

        None if that is so wherever the list does not name it.
        """
        data = self.definition
        if self.unlisted == "negative" or not isinstance(data, OwnDataset):
            return None
        assert data.negative_sizes is not None
        return data.negative_sizes(*self.own_list)

    @property
    def training_counts(self) -> Mapping[str, int] | None:
        """Number of training clips of each class in the list of the data set; None: unknown."""
        data = self.definition
        if isinstance(data, OwnDataset):
            return data.class_sizes(*self.own_list)["train"]
        counts = data.training_counts
        return None if counts is None else dict(zip(data.class_names, counts, strict=True))


def _density(value: object) -> object:
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1
    if not number and value != "uniform":
        raise problem(f"must be 'uniform' or a number above 0 and up to 1, not {value!r}")
    return value


class BagSettings(Section):
    """How instances are put into bags."""

    bag_size: int = Field(5, ge=1, description="Instances per bag.")
    label_density: Annotated[
        Literal["uniform"] | Annotated[float, Field(gt=0, le=1)], BeforeValidator(_density)
    ] = Field(
        "uniform",
        description="Share of positive instances in a positive bag: 'uniform' draws their number "
        "uniformly from 1..bag_size (the paper's setting); a number fixes the share.",
    )
    draw_per_seed: bool = Field(
        False,
        description="false: one draw of the bags for the whole study. true: each seed draws its "
        "own bags, so that intervals over seeds include the variation between draws.",
    )

    @field_validator("label_density")
    @classmethod
    def _leaves_positives(cls, density: str | float, info: ValidationInfo) -> str | float:
        bag_size = info.data.get("bag_size")
        if bag_size and density != "uniform" and density * bag_size < 0.5:
            raise problem(
                f"{density!r} of bag_size {bag_size} leaves no positive instance in a positive "
                f"bag; it must be at least {0.5 / bag_size:g}"
            )
        return density


class OverlapShare(Section):
    """A least overlap that is a share of the event, or of the clip."""

    event: float | None = Field(None, gt=0, le=1, description="Share of the duration of the event.")
    clip: float | None = Field(None, gt=0, le=1, description="Share of the duration of the clip.")


def _overlap(value: object) -> object:
    if isinstance(value, OverlapShare):
        return value
    if isinstance(value, Mapping):
        keys = [key for key, share in value.items() if share is not None]
        if len(keys) != 1 or keys[0] not in OverlapShare.model_fields:
            raise problem(f"must be {{event: share}} or {{clip: share}}, not {dict(value)!r}")
        share = value[keys[0]]
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise problem(f"must be a number above 0 and up to 1, not {share!r}", keys[0])
        return OverlapShare(**{keys[0]: share})
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise problem(
            "must be a number of seconds, at least 0, or a share, {event: share} or {clip: share}, "
            f"not {value!r}"
        )
    return float(value)


class AudioSettings(Section):
    """From sound to log-mel spectrograms, as PSLA makes them (Kaldi's filter banks)."""

    sample_rate: int = Field(16000, ge=1000, description="Sampling rate of the audio, Hz.")
    clip_seconds: float = Field(
        10.0, gt=0, description="Length of a clip; longer recordings are cut, shorter ones padded."
    )
    hop_seconds: float | None = Field(
        None,
        gt=0,
        description="Time from the start of a clip to the start of the next in the same recording; "
        "null: clip_seconds, so that clips do not overlap.",
    )
    mel_bins: int = Field(128, ge=8, description="Bands of a spectrogram.")
    frame_length_ms: float = Field(25.0, gt=0, description="Length of a window, ms.")
    frame_shift_ms: float = Field(10.0, gt=0, description="Time from one window to the next, ms.")
    window: Literal["hanning", "hamming", "povey", "blackman", "rectangular"] = Field(
        "hanning", description="Shape of the windows."
    )
    # Keys that are younger than studies are left out of their settings where they have their
    # defaults, so that these studies do not run again.
    channel: Literal["mean", "first", "loudest", "each"] = Field(
        "mean",
        exclude_if=partial(eq, "mean"),
        description="What of a recording with several channels is heard: their mean, the first, "
        "the one with the largest power in each clip, or each for itself, so that each channel has "
        "clips of its own (only for your own recordings).",
    )
    low_hz: float = Field(
        20.0,
        ge=0,
        exclude_if=partial(eq, 20.0),
        description="Lower edge of the lowest band, Hz.",
    )
    high_hz: float | None = Field(
        None,
        gt=0,
        validate_default=True,
        exclude_if=partial(is_, None),
        description="Upper edge of the highest band, Hz; null: half of sample_rate.",
    )
    frames: int | None = Field(
        None,
        ge=1,
        description="Frames of a spectrogram, padded with zeros or cut (AudioSet: 1056, as PSLA); "
        "null: as many as a clip has.",
    )
    padding: Literal["masked", "heard"] = Field(
        "masked",
        description="Rows of a spectrogram after the end of a clip that is shorter than the "
        "others. masked: the encoder sees them, but the pooling leaves them out; heard: they are "
        "frames like the others, as in PSLA. They are zeros, which after normalisation is a level "
        "that no silence has.",
    )
    waveform: bool = Field(
        False, description="Keep the waveforms too (16 bits), which mixing waveforms requires."
    )
    statistics: Literal["training", "psla"] = Field(
        "training",
        description="Mean and standard deviation that normalise spectrograms: those of the "
        "training clips, or PSLA's constants.",
    )
    min_overlap: Annotated[
        Annotated[float, Field(ge=0)] | OverlapShare, BeforeValidator(_overlap)
    ] = Field(
        0.0,
        exclude_if=partial(eq, 0.0),
        description="How much of an event (labels with onset and offset) a clip must hold to get "
        "its label: a number of seconds, or a share, {event: 0.5} of the event or {clip: 0.5} of "
        "the clip. A clip that holds all of the event, or lies within it, always gets the label. "
        "0: one sample of it is enough.",
    )
    max_outside: float = Field(
        0.05,
        ge=0,
        le=1,
        exclude_if=partial(eq, 0.05),
        description="The study stops if more than this share of the events of a class lie outside "
        "their recordings, or in a channel that these do not have, since clips that hold the class "
        "would become its negatives. 1: it never stops.",
    )

    @field_validator("high_hz")
    @classmethod
    def _leaves_bands(cls, high: float | None, info: ValidationInfo) -> float | None:
        low, rate = info.data.get("low_hz"), info.data.get("sample_rate")
        if low is not None and rate is not None and not low < (high or rate / 2) <= rate / 2:
            raise problem(
                f"the bands from low_hz ({low:g}) to high_hz ({high or rate / 2:g}) must lie below "
                f"half of sample_rate ({rate / 2:g} Hz), low_hz below high_hz"
            )
        return high


class ModelSettings(Section):
    """The classifier of bags."""

    name: str = Field("simple_cnn", description="Model: a file in workflow/weakneg/models.")
    pooling: Literal[
        "mean_softmax", "softmax_mean", "softmax_max", "mean_boosted", "attention", "psla"
    ] = Field(
        "mean_softmax",
        description="From instances to a bag: softmax of the mean scores (mean_softmax, the "
        "paper's choice for images), mean of the softmaxes (softmax_mean), largest softmax "
        "(softmax_max), mean of the scores with those for the class scaled up, as in BoostLU "
        "(mean_boosted), or a learnt weighted mean, of logits (attention) or, as in PSLA, of "
        "probabilities (psla).",
    )
    attention_heads: int = Field(
        4, ge=1, description="Heads of the poolings `attention` and `psla`."
    )
    weights: Literal["random", "imagenet"] = Field(
        "random",
        description="Initial weights: random (the paper's choice), or those of an encoder trained "
        "on ImageNet (PSLA's choice), which are downloaded.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Arithmetic of the encoder. bfloat16 (mixed precision) is faster on GPUs; the "
        "last layer, the pooling and all scores are always float32.",
    )

    @field_validator("name")
    @classmethod
    def _exists(cls, name: str) -> str:
        if name not in models():
            raise problem(no_such(name, "a model", models()))
        return name

    @field_validator("weights")
    @classmethod
    def _published(cls, weights: str, info: ValidationInfo) -> str:
        having = models("IMAGENET")
        if weights == "imagenet" and "name" in info.data and info.data["name"] not in having:
            raise problem(
                f"there are no ImageNet weights for {info.data['name']}, only for "
                f"{', '.join(having)}"
            )
        return weights


class Performance(Section):
    """Published numbers of a strategy and a class."""

    ap: float | None = Field(None, ge=0, le=1, description="Average precision.")
    roc_auc: float | None = Field(None, ge=0, le=1, description="Area under the ROC curve.")


class Reference(Section):
    """Published numbers, shown next to those of the study."""

    source: str = Field(description="Where the numbers come from.")
    values: dict[str, dict[str, Performance]] = Field(
        description="strategy -> class -> {ap, roc_auc}."
    )

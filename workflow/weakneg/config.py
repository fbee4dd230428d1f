"""The configuration: what config.yaml and a study file may say, checked before any job starts.

`load` reads what Snakemake hands over (config.yaml merged with `--config`), `Config.study` a study
of it. Every mistake is a `UserError` of one line that names the file, the key, the value and what
is allowed. A study hands each stage the part of the configuration that the stage reads, and nothing
else (`Study.run_settings` and its like): Snakemake runs a stage again when that part changes. The
models of these parts read it back for the stage: `RunSettings.model_validate_json(text)`.
"""

import ast
import difflib
import json
import math
import re
import shlex
import unicodedata
import zlib
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from weakneg import datasets, strategies
from weakneg.audio.acquire.settings import (
    POLITENESS,
    SOURCES,
    DownloadSource,
    FolderSource,
    Source,
)
from weakneg.errors import UserError

WORKFLOW = Path(__file__).resolve().parent.parent
STUDIES = WORKFLOW / "studies"
SCHEMAS = WORKFLOW / "schemas"

_NAME = re.compile(r"[a-z0-9_]+")  # of studies and strategies: they become paths and rule names
_DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"
SHARD_SIZE = 500  # recordings; a shard is one job, of seconds, or of hours where it downloads
_LONG = 30  # more allowed values than this are not all listed

# What a study says about itself; the rest is inherited by the studies that extend it.
_OWN_KEYS = {"extends", "title", "description", "note"}


# ----------------------------------------------------------------------------- messages
def _problem(text: str, *at: str | int) -> PydanticCustomError:
    """A mistake; the keys `at` continue the path that pydantic knows."""
    return PydanticCustomError("weakneg", "{text}", {"text": text, "at": at})


def _no_such(value: object, what: str, allowed: Iterable[object]) -> str:
    allowed = [str(item) for item in allowed]
    near = difflib.get_close_matches(str(value), allowed, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else "."
    listed = ", ".join(dict.fromkeys(allowed))
    if len(allowed) > _LONG:
        listed = f"{', '.join(allowed[:10])}, ... ({len(allowed)} in all)"
    return f"{value!r} is not {what}{guess} Allowed: {listed}"


def _key_path(location: Iterable[str | int]) -> str:
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in location)
    return path.removeprefix(".")


def _describe(error: ErrorDetails) -> str:
    """`training.epochs: must be ...` for one error of pydantic."""
    return f"{_key_path(_location(error))}: {_said(error)}"


def _said(error: ErrorDetails) -> str:
    """What is wrong with the value."""
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
        text = _no_such(error["input"], "a choice", re.findall("'(.*?)'", error["ctx"]["expected"]))
    else:
        text = f"{text.replace('Input should', 'must')}, not {error['input']!r}"
    return text


def _location(error: ErrorDetails) -> tuple[str | int, ...]:
    """The keys that lead to the mistake."""
    more = error["ctx"]["at"] if error["type"] == "weakneg" else ()
    return (*error["loc"], *more)


def _shown(path: Path) -> str:
    """`path` as its user would type it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _text(value: object) -> object:
    """A name that looks like a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_list(value: object) -> object:
    """`--config classes=airplane` means a list of one."""
    return [value] if isinstance(value, str | int) and not isinstance(value, bool) else value


def _distinct(values: list) -> list:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise _problem(f"{value!r} is listed twice", index)
    return values


# ----------------------------------------------------------------------------- what there is
@lru_cache
def _class_names(dataset: "DatasetSettings") -> tuple[str, ...]:
    if dataset.list is None:
        return datasets.module(dataset.name).CLASSES
    return datasets.module(dataset.name).classes(dataset.list)


@lru_cache
def _models(constant: str = "UNIT") -> dict[str, Any]:
    """The files of weakneg/models that define a constant: name -> its value.

    UNIT, which every model defines, is the unit of the data of its bags. IMAGENET is true where
    there are weights for ImageNet to start from.
    """
    found = {}
    for file in sorted((Path(__file__).parent / "models").glob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == constant:
                found[file.stem] = ast.literal_eval(node.value)
    return found


@lru_cache
def _strategy_files() -> list[str]:
    return strategies.names()


@lru_cache
def _options(strategy: str) -> dict:
    return strategies.options(strategy)


# ----------------------------------------------------------------------------- sections of a study
class _Model(BaseModel):
    # strict: without it pydantic reads `true` as 1 and "5" as 5.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: object) -> object:
        if not isinstance(value, Mapping | cls):
            raise _problem(f"must be a mapping of keys to values, not {value!r}")
        for key in value if isinstance(value, Mapping) else ():
            if key not in cls.model_fields:
                raise _problem(_no_such(key, "a key here", cls.model_fields), key)
        return value


def _keys(info: ValidationInfo) -> tuple[str, ...]:
    """The keys with which a study says where a person's own data are."""
    return getattr(datasets.module(info.data["name"]), "KEYS", ())


class DatasetSettings(_Model):
    """Where the instances come from."""

    name: str = Field(description="Data set: a file of workflow/weakneg/datasets.")
    list: str | None = Field(
        None,
        validate_default=True,
        description="Of the data set `recordings`: the CSV file that says what is in them, with "
        "columns file, labels and, if wanted, split, onset and offset. Of the data set "
        "`instances`: the CSV, Parquet or HDF5 file of their features. A path from the folder of "
        "this file, or else from the working directory.",
    )
    folder: str | None = Field(
        None,
        validate_default=True,
        description="Of the data set `recordings`: the folder of the files; looked for in the "
        "folder of this file, the working directory and the folder that WEAKNEG_DATA names.",
    )

    test_split: Annotated[str, BeforeValidator(_text, str | int)] = Field(
        "test",
        # What other data sets read stays what it was, so that nothing of them runs again.
        exclude_if=lambda split: split == "test",
        description="Of one's own data: the split of the list to test on. By any "
        "other name than 'test' the splits are folds, and all others are for training.",
    )

    @field_validator("name")
    @classmethod
    def _exists(cls, name: str) -> str:
        if name not in datasets.names():
            raise _problem(_no_such(name, "a data set", datasets.names()))
        return name

    @field_validator("list", "folder")
    @classmethod
    def _of_own_data(cls, path: str | None, info: ValidationInfo) -> str | None:
        if "name" in info.data and (info.field_name in _keys(info)) != (path is not None):
            name = info.data["name"]
            raise _problem("is missing" if path is None else f"{name} has its own: remove the key")
        return path

    @field_validator("test_split")
    @classmethod
    def _of_a_list(cls, split: str, info: ValidationInfo) -> str:
        if "name" in info.data and "list" not in _keys(info):
            raise _problem(f"{info.data['name']} has its own: remove the key")
        return split

    @property
    def module(self) -> ModuleType:
        return datasets.module(self.name)

    @property
    def training_counts(self) -> Mapping[str, int] | None:
        """Class name -> number of clips in the published list for training, or in one's own."""
        if self.list is not None:
            return self.module.class_sizes(self.list, self.test_split)["train"]
        counts = getattr(self.module, "TRAINING_COUNTS", None)
        return counts and dict(zip(self.module.CLASSES, counts, strict=True))


def _density(value: object) -> object:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value != "uniform" and not (number and 0 < value <= 1):
        raise _problem(f"must be 'uniform' or a number above 0 and up to 1, not {value!r}")
    return value


class BagSettings(_Model):
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
        "own bags, so that intervals over seeds cover the draw too.",
    )

    @field_validator("label_density")
    @classmethod
    def _leaves_positives(cls, density: str | float, info: ValidationInfo) -> str | float:
        bag_size = info.data.get("bag_size")
        if bag_size and density != "uniform" and density * bag_size < 0.5:
            raise _problem(
                f"{density!r} of bag_size {bag_size} leaves no positive instance in a positive "
                f"bag; it must be at least {0.5 / bag_size:g}"
            )
        return density


class AudioSettings(_Model):
    """From sound to log-mel spectrograms, as PSLA makes them (Kaldi's filter banks)."""

    sample_rate: int = Field(16000, ge=1000, description="Of the sound before anything else, Hz.")
    clip_seconds: float = Field(
        10.0, gt=0, description="Length of a clip; longer recordings are cut, shorter ones padded."
    )
    hop_seconds: float | None = Field(
        None,
        gt=0,
        description="From the start of a clip to that of the next one of the same recording; null: "
        "clip_seconds, so that clips do not overlap.",
    )
    mel_bins: int = Field(128, ge=8, description="Bands of a spectrogram.")
    frame_length_ms: float = Field(25.0, gt=0, description="Of the windows, in milliseconds.")
    frame_shift_ms: float = Field(10.0, gt=0, description="Between windows, in milliseconds.")
    window: Literal["hanning", "hamming", "povey", "blackman", "rectangular"] = Field(
        "hanning", description="Shape of the windows."
    )
    frames: int | None = Field(
        None,
        ge=1,
        description="Frames of a spectrogram, padded with zeros or cut (AudioSet: 1056, as PSLA); "
        "null: as many as a clip has.",
    )
    waveform: bool = Field(
        False, description="Keep the waveforms too (16 bits), as mixing clips needs them."
    )
    statistics: Literal["training", "psla"] = Field(
        "training",
        description="Mean and deviation that normalise spectrograms: of the training clips, or "
        "PSLA's constants.",
    )


class ModelSettings(_Model):
    """The classifier of bags."""

    name: str = Field("simple_cnn", description="Model: a file of workflow/weakneg/models.")
    pooling: Literal["mean_softmax", "softmax_mean", "softmax_max", "attention"] = Field(
        "mean_softmax",
        description="From instances to a bag: softmax of the mean scores (mean_softmax, the "
        "paper's choice for images), mean of the softmaxes (softmax_mean), largest softmax "
        "(softmax_max), or a learnt weighted mean of probabilities, as in PSLA (attention).",
    )
    attention_heads: int = Field(4, ge=1, description="Heads of the pooling `attention`.")
    weights: Literal["random", "imagenet"] = Field(
        "random",
        description="Where training starts: from random weights (the paper's choice), or with an "
        "encoder that was trained on ImageNet (PSLA's), whose weights are downloaded.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Arithmetic of the encoder. bfloat16 (mixed precision) is what GPUs are fast "
        "at; the last layer, the pooling and all scores are float32 in any case.",
    )

    @field_validator("name")
    @classmethod
    def _exists(cls, name: str) -> str:
        if name not in _models():
            raise _problem(_no_such(name, "a model", _models()))
        return name

    @field_validator("weights")
    @classmethod
    def _published(cls, weights: str, info: ValidationInfo) -> str:
        having = _models("IMAGENET")
        if weights == "imagenet" and "name" in info.data and info.data["name"] not in having:
            raise _problem(
                f"there are none of {info.data['name']} for ImageNet, only of {', '.join(having)}"
            )
        return weights


Betas = Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]


class TrainingSettings(_Model):
    """How the classifier is trained: Adam on the positive bags and the chosen negative bags."""

    epochs: int = Field(15, ge=1, description="Epochs; `patience` may end the training earlier.")
    batch_size: int = Field(32, ge=1, description="Bags per step of the optimiser.")
    learning_rate: float = Field(1e-3, gt=0, description="Learning rate of Adam.")
    schedule: Literal["constant", "cosine"] = Field(
        "constant",
        description="Learning rate over the epochs: constant, or falling to 0 along a half cosine.",
    )
    rate_warmup: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of all steps of a training over which the learning rate rises from 0, "
        "in proportion to the steps made. (The 1,000 steps of PSLA would be more than half of the "
        "training of most AudioSet classes.)",
    )
    betas: Betas = Field(
        [0.9, 0.999],
        description="How slowly Adam's means of gradients and of their squares change "
        "([0.95, 0.999] in PSLA).",
    )
    weight_decay: float = Field(0.0, ge=0, lt=1, description="Weight decay of Adam.")
    batch_sampling: Literal["shuffled", "weighted"] = Field(
        "shuffled",
        description="How the bags of an epoch, positives and chosen negatives, are put into "
        "batches: each once, in random order (shuffled), or as many draws with replacement, in "
        "which positive and negative bags are equally likely (weighted).",
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Epochs without a better average precision on the validation bags before the "
        "training stops; null: never. The weights of the best epoch are kept in any case.",
    )
    validation_fraction: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of the training bags put aside for validation, of positive and negative "
        "bags alike, drawn by the seed.",
    )
    score_batch_size: int = Field(
        512, ge=1, description="Bags per batch when the pool, validation or test bags are scored."
    )


class SamplingSettings(_Model):
    """How many negative bags an epoch trains on, and how often they are chosen."""

    negatives_per_positive: float = Field(
        2.0,
        gt=0,
        description="Negative bags an epoch trains on, per positive bag (at least one in all, at "
        "most the pool). The paper fixes a 'P-N ratio' of 0.5 and does not define it. Read as "
        "positives : negatives, as the words say, it gives 2.0, the default; read as positives : "
        "all it gives 1.0.",
    )
    resample_every: int = Field(
        1, ge=1, description="Epochs between two selections; 1 chooses anew for every epoch."
    )
    warmup_epochs: int = Field(
        0,
        ge=0,
        description="First epochs that train on randomly chosen bags, because a model with random "
        "weights has nothing to say about which bags are useful.",
    )
    candidate_fraction: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the pool that is scored and chosen from, drawn at random for each "
        "selection (but never less than the budget). Less than 1 makes scoring cheaper.",
    )


class AugmentationSettings(_Model):
    """How spectrograms are changed each time a model trains on them; as in PSLA."""

    mixup_rate: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the clips of an epoch that are mixed, each with another one of the "
        "epoch, drawn at random. Labels are mixed too: a negative clip that is mixed with a "
        "positive one becomes partly positive.",
    )
    mixup_alpha: float = Field(
        10.0,
        gt=0,
        description="The share of a clip in the mixture is drawn from Beta(alpha, alpha); large "
        "values keep it near one half.",
    )
    mixup_domain: Literal["waveform", "spectrogram"] = Field(
        "waveform",
        description="What is mixed: waveforms, whose spectrogram is computed then, as in the paper "
        "(needs audio.waveform), or the log-mel spectrograms.",
    )
    frequency_mask: int = Field(
        48, ge=0, description="Largest width of a band of mel bins that is set to 0 in every clip."
    )
    time_mask: int = Field(
        192, ge=0, description="Largest number of successive frames set to 0 in every clip."
    )


class StrategyChoice(BaseModel):
    """A strategy with its options, under the name it has in results."""

    model_config = ConfigDict(extra="allow", frozen=True)

    strategy: str = Field(description="Strategy: a file of workflow/weakneg/strategies.")
    name: str = Field(
        "", description="Name in results; needed with options, else the strategy's own name."
    )

    @property
    def options(self) -> dict[str, Any]:
        """Every option of the strategy, given or default."""
        return dict(self.model_extra)


def _strategy_choice(value: object) -> object:
    """What a study's list of strategies may hold -> the fields of a `StrategyChoice`."""
    if isinstance(value, StrategyChoice):
        return value
    entry = {"strategy": value} if isinstance(value, str) else value
    if not isinstance(entry, Mapping) or "strategy" not in entry:
        raise _problem(
            f"must be a strategy's name or {{name: ..., strategy: ..., options}}, not {value!r}"
        )
    strategy, given = (
        entry["strategy"],
        {k: v for k, v in entry.items() if k not in ("strategy", "name")},
    )
    if strategy not in _strategy_files():
        at = () if isinstance(value, str) else ("strategy",)
        raise _problem(_no_such(strategy, "a strategy", _strategy_files()), *at)
    options = {option: default for option, (_, default) in _options(strategy).items()}
    for option, setting in given.items():
        if option not in options:
            what = f"an option of {strategy}"
            if not options:
                raise _problem(f"{option!r} is not {what}: it has none", option)
            raise _problem(_no_such(option, what, options), option)
        options[option] = _checked_option(setting, _options(strategy)[option][0], option)
    name = entry.get("name", strategy)
    if given and "name" not in entry:
        example = "_".join([strategy, *(str(setting) for setting in given.values())])
        raise _problem(
            f"a strategy with options needs a name of its own, such as 'name: {example}'"
        )
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _problem(f"must consist of a-z, 0-9 and _, not {name!r}", "name")
    if name != strategy and name in _strategy_files():
        raise _problem(f"{name!r} is the name of another strategy than {strategy!r}", "name")
    return {"strategy": strategy, "name": name, **options}


def _checked_option(value: object, allowed: tuple | type, option: str) -> object:
    if not isinstance(allowed, type):
        if type(value) not in {type(item) for item in allowed} or value not in allowed:
            raise _problem(_no_such(value, "a choice", allowed), option)
        return value
    if allowed is float and type(value) is int:
        return float(value)
    if type(value) is not allowed:
        raise _problem(f"must be of type {allowed.__name__}, not {value!r}", option)
    return value


class Performance(_Model):
    """What a source reports for a strategy and a class."""

    ap: float | None = Field(None, ge=0, le=1, description="Average precision.")
    roc_auc: float | None = Field(None, ge=0, le=1, description="Area under the ROC curve.")


class Reference(_Model):
    """Published numbers, shown beside ours."""

    source: str = Field(description="Where the numbers come from.")
    values: dict[str, dict[str, Performance]] = Field(
        description="strategy -> class -> {ap, roc_auc}."
    )


# ----------------------------------------------------------------------------- a study
_MOST_SEEDS = 10_000


def _seeds(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | list):
        raise _problem(f"must be a number of seeds or a list of them, not {value!r}")
    if isinstance(value, int):
        if not 1 <= value <= _MOST_SEEDS:
            raise _problem(f"must be from 1 to {_MOST_SEEDS:,}, not {value}")
        return list(range(value))
    return _distinct([_number(each) for each in value])


def _number(value: object) -> object:
    """The number that a text is: in lists and mappings of `--config`, Snakemake reads texts."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class Top(_Model):
    """The classes with the most clips."""

    top: int = Field(
        ge=1,
        description="Number of classes: those with the most clips in the training list, the lower "
        "class number first in a tie.",
    )


def _class_choice(value: object) -> object:
    """`{top: n}` -> a `Top`; names and numbers -> a list of them."""
    if isinstance(value, Mapping):
        number = _number(value.get("top"))
        if set(value) != {"top"} or not isinstance(number, int) or isinstance(number, bool):
            raise _problem(f"must be {{top: n}} or a list of classes, not {dict(value)!r}")
        if number < 1:
            raise _problem(f"must be at least 1, not {number}", "top")
        return Top(top=number)
    values = _as_list(value)
    if not isinstance(values, list) or not values:
        raise _problem(f"must be {{top: n}} or a list of classes, not {value!r}")
    for index, each in enumerate(values):
        if isinstance(each, bool) or not isinstance(each, str | int):
            raise _problem(f"must be a class name or number, not {each!r}", index)
    return values


Seeds = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**63)]],
    Field(min_length=1),
    BeforeValidator(_seeds, json_schema_input_type=int | list[int]),
]
Strategies = Annotated[
    list[Annotated[StrategyChoice, BeforeValidator(_strategy_choice, str | StrategyChoice)]],
    Field(min_length=1),
    BeforeValidator(_as_list, str | list[str | StrategyChoice]),
]
Names = Annotated[list[str], Field(min_length=1), BeforeValidator(_as_list, str | list[str])]
ClassChoice = Annotated[
    Any,  # Top, or a list of names and numbers
    BeforeValidator(_class_choice, Top | str | int | list[str | int]),
]


def _top(classes: Iterable[str], n: int, dataset: DatasetSettings) -> list[str]:
    """The n classes with the most clips in the training list, the most first.

    Of equal classes the one of the lower number comes first. Raises ValueError where there are
    fewer classes, or no such list.
    """
    counts = dataset.training_counts
    if counts is None:
        raise ValueError(f"'top' needs a list of clips, which {dataset.name} has not")
    numbers = {name: number for number, name in enumerate(_class_names(dataset))}
    classes = sorted(classes, key=lambda name: (-counts[name], numbers[name]))
    if n > len(classes):
        raise ValueError(f"top: {n} is more than the {len(classes)} classes there are")
    return classes[:n]


def _learnable(dataset: DatasetSettings) -> list[str]:
    """The classes that both splits have: of others nothing could be learnt, or measured."""
    if dataset.list is None:
        return list(_class_names(dataset))
    sizes = dataset.module.class_sizes(dataset.list, dataset.test_split)
    return [name for name in _class_names(dataset) if sizes["train"][name] and sizes["test"][name]]


def _check_sizes(classes: Iterable[str], dataset: DatasetSettings) -> None:
    """Refuse classes of one's own list that are not `_learnable`."""
    sizes = dataset.module.class_sizes(dataset.list, dataset.test_split)
    learnable = _learnable(dataset)
    lacking = [
        f"{name} ({sizes['train'][name]} for training, {sizes['test'][name]} for testing)"
        for name in classes
        if name not in learnable
    ]
    if lacking:
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        what = "recordings" if dataset.module.UNIT == "spectrogram" else "bags"
        raise _problem(
            f"too few {what} of {', '.join(lacking[:5])}{more}: name the other classes, take "
            f"{{top: n}}, or move {what} with the column split of {dataset.list}"
        )


def _class_name(value: str | int, dataset: DatasetSettings) -> str:
    """The class that a name (also as in folders), another name of it or a number means."""
    names = _class_names(dataset)
    if str(value) in names:
        return str(value)
    value = _number(value)
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    aliases = getattr(dataset.module, "ALIASES", {})
    if value in aliases:
        return names[aliases[value]]
    same = [name for name in names if class_slug(name) == str(value).lower()]
    if len(same) == 1:
        return same[0]
    what = f"a class of {dataset.name}"
    if isinstance(value, int):
        what += f" (names, or numbers from 0 to {len(names) - 1})"
    raise ValueError(_no_such(value, what, names))


@cache
def class_slug(name: str) -> str:
    """A class name as a part of a path: lower case, anything but letters and digits becomes `_`.

    Letters without accents are kept; for those of other scripts there is a number at the end.
    """
    plain = unicodedata.normalize("NFKD", name)
    slug = re.sub("[^a-z0-9]+", "_", plain.encode("ascii", "ignore").decode().lower()).strip("_")
    if any(letter.isalnum() and not letter.isascii() for letter in plain):
        slug = f"{slug}_{zlib.crc32(name.encode()):08x}".strip("_")
    return slug


def _source(value: object) -> object:
    """The source of sound that a study names, checked."""
    if isinstance(value, tuple(SOURCES.values())):
        return value
    if not isinstance(value, Mapping):
        raise _problem(f"must be a mapping of keys to values, not {value!r}")
    if "type" not in value:
        raise _problem("is missing", "type")
    kind = value["type"]
    if not isinstance(kind, str) or kind not in SOURCES:
        raise _problem(_no_such(kind, "a source", SOURCES), "type")
    for key in value:
        if key not in SOURCES[kind].model_fields:
            fields = SOURCES[kind].model_fields
            raise _problem(_no_such(key, f"a key of the source {kind}", fields), key)
    try:
        return SOURCES[kind].model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise _problem(_said(first), *first["loc"]) from None


class Study(_Model):
    """One experiment grid: a data set, a model, classes x strategies x seeds."""

    # The order matters: a field's check sees the fields above it.
    extends: str | None = Field(
        None,
        description="Study that this one starts from: a name of workflow/studies, or a path "
        "relative to this file. Mappings are merged key by key, anything else is replaced; title, "
        "description and note are not inherited.",
    )
    title: str = Field(min_length=1, description="Heading of the tables and figures.")
    description: str = Field("", description="What the study is for, in a sentence or two.")
    note: str = Field("", description="Shown under the tables, for what a reader must know.")
    dataset: DatasetSettings
    bags: BagSettings | None = Field(
        None,
        validate_default=True,
        description="How images are put into bags; a clip is a bag of its own.",
    )
    audio: AudioSettings | None = Field(
        None,
        validate_default=True,
        description="How sound becomes spectrograms; only of data sets of sound.",
    )
    source: Source | None = Field(
        None,
        validate_default=True,
        description="Where sound comes from: `type` is a file of workflow/weakneg/audio/acquire. "
        "A data set that brings its sound has no other source than its folder.",
    )
    model: ModelSettings = Field(ModelSettings(), validate_default=True)
    training: TrainingSettings = TrainingSettings()
    augmentation: AugmentationSettings | None = Field(
        None, description="How spectrograms are changed in training; null: not at all."
    )
    sampling: SamplingSettings = SamplingSettings()
    classes: Annotated[
        list[str], BeforeValidator(_as_list, Literal["all"] | Top | str | int | list[str | int])
    ] = Field(
        "all",
        validate_default=True,
        description="'all', {top: n} (those with the most clips in the training list), "
        "or a list of the data set's classes by name, number or, in AudioSet, machine identifier: "
        "each in turn is the positive class.",
    )
    strategies: Strategies = Field(
        description="Ways to choose negative bags: names, or {name, strategy, options} where an "
        "option differs from its default."
    )
    seeds: Seeds = Field(
        5,
        validate_default=True,
        description="A number n (seeds 0 to n-1), or a list of distinct seeds.",
    )
    baseline: str = Field(
        "random",
        validate_default=True,
        description="Name of the strategy that the others are compared with.",
    )
    reference: Reference | None = Field(None, description="Published numbers to show beside ours.")

    _name: str = PrivateAttr("")

    @field_validator("bags")
    @classmethod
    def _of_images(cls, bags: BagSettings | None, info: ValidationInfo) -> BagSettings | None:
        if "dataset" in info.data:
            dataset = info.data["dataset"]
            if dataset.module.UNIT != "image" and bags is not None:
                raise _problem(f"{dataset.name} consists of bags: remove the key")
            if dataset.module.UNIT == "image" and bags is None:
                return BagSettings()
        return bags

    @field_validator("audio")
    @classmethod
    def _of_sound(cls, audio: AudioSettings | None, info: ValidationInfo) -> AudioSettings | None:
        if "dataset" in info.data:
            dataset = info.data["dataset"]
            if dataset.module.UNIT != "spectrogram" and audio is not None:
                raise _problem(f"{dataset.name} is no sound: remove the key")
            if dataset.module.UNIT == "spectrogram" and audio is None:
                return AudioSettings()
        return audio

    @field_validator("source", mode="before")
    @classmethod
    def _known_source(cls, source: object, info: ValidationInfo) -> object:
        if "dataset" not in info.data:
            return None
        dataset = info.data["dataset"]
        if dataset.module.UNIT != "spectrogram":
            if source is not None:
                raise _problem(f"{dataset.name} is no sound: remove the key")
            return None
        source = FolderSource() if source is None else _source(source)
        elsewhere = getattr(dataset.module, "SOUND_ELSEWHERE", False)
        folder = getattr(source, "folder", None)
        if elsewhere and folder is None and isinstance(source, FolderSource):
            text = f"is missing: name the folder of the clips, which {dataset.name} does not bring"
            raise _problem(text, "folder")
        if not elsewhere and (isinstance(source, DownloadSource) or folder is not None):
            raise _problem(f"{dataset.name} brings its sound: remove the key")
        return source

    @field_validator("model")
    @classmethod
    def _fits_the_data(cls, model: ModelSettings, info: ValidationInfo) -> ModelSettings:
        if "dataset" in info.data:
            dataset = info.data["dataset"]
            unit = dataset.module.UNIT
            if _models()[model.name] != unit:
                fitting = [name for name, of in _models().items() if of == unit]
                text = f"{model.name!r} is no model of {unit}s, which {dataset.name} consists of"
                raise _problem(f"{text}. Allowed: {', '.join(fitting)}", "name")
        return model

    @field_validator("augmentation")
    @classmethod
    def _can_be_made(
        cls, augmentation: AugmentationSettings | None, info: ValidationInfo
    ) -> AugmentationSettings | None:
        if augmentation is None or "audio" not in info.data:
            return augmentation
        audio = info.data["audio"]
        if audio is None:
            raise _problem(f"{info.data['dataset'].name} is no sound: remove the key")
        if augmentation.frequency_mask > audio.mel_bins:
            text = f"{augmentation.frequency_mask} is more than audio.mel_bins ({audio.mel_bins})"
            raise _problem(text, "frequency_mask")
        mixes = augmentation.mixup_rate > 0 and augmentation.mixup_domain == "waveform"
        if mixes and not audio.waveform:
            text = "waveforms are mixed only where they are kept: set audio.waveform to true, or"
            raise _problem(f"{text} mixup_domain to 'spectrogram'", "mixup_domain")
        return augmentation

    @field_validator("sampling")
    @classmethod
    def _leaves_selections(
        cls, sampling: SamplingSettings, info: ValidationInfo
    ) -> SamplingSettings:
        if "training" in info.data:
            epochs = info.data["training"].epochs
            if sampling.warmup_epochs >= epochs:
                text = f"{sampling.warmup_epochs} must be less than training.epochs ({epochs})"
                raise _problem(f"{text}, or no epoch is left to choose for", "warmup_epochs")
            if sampling.resample_every > epochs:
                text = f"{sampling.resample_every} must be at most training.epochs ({epochs})"
                raise _problem(text, "resample_every")
        return sampling

    @field_validator("classes", mode="before")
    @classmethod
    def _known_classes(cls, classes: object, info: ValidationInfo) -> object:
        if "dataset" not in info.data:
            return []  # the data set's own mistake is reported
        dataset = info.data["dataset"]
        if classes == "all":
            classes = list(_class_names(dataset))
        choice = _class_choice(classes)
        if isinstance(choice, Top):
            try:
                choice = _top(_learnable(dataset), choice.top, dataset)
            except ValueError as error:
                raise _problem(str(error)) from None
        names, slugs = [], {}
        for index, value in enumerate(choice):
            try:
                names.append(_class_name(value, dataset))
            except ValueError as error:
                raise _problem(str(error), index) from None
        for index, name in enumerate(_distinct(names)):
            slug = class_slug(name)
            if not slug:
                raise _problem(f"{name!r} has nothing to name a folder with", index)
            if slug in slugs:
                raise _problem(f"{name!r} and {slugs[slug]!r} would share a folder", index)
            slugs[slug] = name
        if dataset.list is not None:
            _check_sizes(names, dataset)
        return names

    @field_validator("strategies")
    @classmethod
    def _distinct_names(cls, choices: list[StrategyChoice]) -> list[StrategyChoice]:
        _distinct([choice.name for choice in choices])
        return choices

    @field_validator("baseline")
    @classmethod
    def _among_strategies(cls, baseline: str, info: ValidationInfo) -> str:
        names = [choice.name for choice in info.data.get("strategies", ())]
        if names and baseline not in names:
            raise _problem(_no_such(baseline, "among the strategies of the study", names))
        return baseline

    @field_validator("reference")
    @classmethod
    def _about_the_data(cls, reference: Reference | None, info: ValidationInfo) -> Reference | None:
        if reference is None or not {"dataset", "strategies"} <= info.data.keys():
            return reference
        known = [*_strategy_files(), *(choice.name for choice in info.data["strategies"])]
        dataset = info.data["dataset"]
        for strategy, classes in reference.values.items():
            if strategy not in known:
                raise _problem(_no_such(strategy, "a strategy", known), "values", strategy)
            for name in classes:
                if name not in _class_names(dataset):
                    text = _no_such(name, f"a class of {dataset.name}", _class_names(dataset))
                    raise _problem(text, "values", strategy, name)
        return reference

    # ---- names
    @property
    def name(self) -> str:
        """Name of the study: that of its file."""
        return self._name

    @property
    def strategy_names(self) -> list[str]:
        """Names of the strategies in results, in the order of the study."""
        return [choice.name for choice in self.strategies]

    def strategy(self, name: str) -> StrategyChoice:
        """The strategy and its options behind a name in results, or behind that of a shared run.

        Raises UserError for any other name.
        """
        choices = {choice.name: choice for choice in self.strategies}
        for run in self.runs.values():
            choices.setdefault(run, StrategyChoice(strategy=run, name=run))
        if name not in choices:
            raise UserError(_no_such(name, f"a strategy of the study {self.name}", choices))
        return choices[name]

    @property
    def runs(self) -> dict[str, str]:
        """Name of a strategy -> name of its run, in the order of the study.

        Strategies that always choose the same bags share a run: those of which one says so (see
        `strategies.same_choice_as`), and one strategy under two names with the same options.
        """
        first, found = {}, {}
        for choice in self.strategies:
            same = strategies.same_choice_as(choice.strategy)
            chooses_by = (same or choice.strategy, *sorted(choice.options.items()))
            found[choice.name] = first.setdefault(chooses_by, same or choice.name)
        return found

    @property
    def class_slugs(self) -> dict[str, str]:
        """Folder name -> class name, in the order of the study."""
        return {class_slug(name): name for name in self.classes}

    def class_of(self, slug: str) -> str:
        """The class behind the name of a folder. Raises UserError when the study lacks it."""
        if slug not in self.class_slugs:
            raise UserError(_no_such(slug, f"a class of the study {self.name}", self.class_slugs))
        return self.class_slugs[slug]

    @property
    def unit(self) -> str:
        """What bags are: of "image"s that are put into them, or a "clip" each."""
        return "image" if self.dataset.module.UNIT == "image" else "clip"

    @property
    def _draw_per_seed(self) -> bool:
        return self.bags is not None and self.bags.draw_per_seed

    # ---- what each stage reads
    def features_settings(self) -> dict:
        """For the stage that makes the feature stores; read back by `FeaturesSettings`."""
        names = None if self.audio is None else list(_class_names(self.dataset))
        settings = FeaturesSettings(dataset=self.dataset, audio=self.audio, class_names=names)
        return settings.model_dump()

    def list_settings(self) -> dict:
        """For the stage that lists recordings; read back by `FeaturesSettings`."""
        return FeaturesSettings(dataset=self.dataset).model_dump()

    def source_settings(self) -> dict:
        """For the stage that acquires a shard: what is asked of which source."""
        return self.source.model_dump(exclude=POLITENESS)

    @property
    def downloads(self) -> bool:
        """Whether the sound is downloaded."""
        return isinstance(self.source, DownloadSource)

    def politeness_settings(self) -> dict:
        """For the stage that acquires a shard: how the source is asked."""
        return self.source.model_dump(include=POLITENESS)

    def shard_settings(self) -> dict:
        """For the stage that computes the spectrograms of a shard; `AudioSettings` but for one."""
        return self.audio.model_dump(exclude={"statistics"})

    @property
    def split_sizes(self) -> dict[str, int]:
        """Recordings of each split, of a data set of sound."""
        if self.dataset.list is None:
            return self.dataset.module.SPLIT_SIZES
        return self.dataset.module.split_sizes(self.dataset.list, self.dataset.test_split)

    @property
    def shards(self) -> dict[str, list[str]]:
        """Names of the shards of each split, of a data set of sound: "000", "001", ..."""
        return {
            split: [f"{number:03}" for number in range(math.ceil(size / SHARD_SIZE))]
            for split, size in self.split_sizes.items()
        }

    def listed(self, split: str, shard: str) -> list[dict] | None:
        """What one's own list says of the recordings of a shard; None: the list is a published one.

        Labels and events are left out, since their sound does not depend on them.
        """
        if self.dataset.list is None:
            return None
        rows = self.dataset.module.recordings(self.dataset.list, self.dataset.test_split)
        rows = [row for row in rows if row["split"] == split]
        first = int(shard) * SHARD_SIZE
        keys = ("id", "file", "start", "end")
        return [{key: row.get(key) for key in keys} for row in rows[first : first + SHARD_SIZE]]

    def bag_settings(self) -> dict:
        """For the stage that draws the bags of a class; read back by `ManifestSettings`."""
        seeds = self.seeds if self._draw_per_seed else None
        return ManifestSettings(**self.bags.model_dump(), seeds=seeds).model_dump()

    def run_settings(self, strategy: str) -> dict:
        """For the stage that trains a run; read back by `RunSettings`."""
        choice = self.strategy(strategy)
        return RunSettings(
            model=self.model,
            sampling=self.sampling,
            training=self.training,
            augmentation=self.augmentation,
            strategy=choice.strategy,
            options=choice.options,
            seeds=self.seeds,
            draw_per_seed=self._draw_per_seed,
        ).model_dump()

    def score_settings(self) -> dict:
        """For the stage that scores the test bags of a run; read back by `ScoreSettings`."""
        return ScoreSettings(
            model=self.model,
            score_batch_size=self.training.score_batch_size,
            draw_per_seed=self._draw_per_seed,
        ).model_dump()

    def report_settings(self) -> dict:
        """For the stages that make the metrics, tables and figures."""
        return {
            "name": self.name,
            "title": self.title,
            "classes": self.classes,
            "strategies": self.strategy_names,
            "runs": self.runs,
            "unit": self.unit,
            "baseline": self.baseline,
            "reference": self.reference.model_dump() if self.reference else None,
            "note": self.note,
            "upper_bound": next(
                (
                    choice.name
                    for choice in self.strategies
                    if strategies.ignores_budget(choice.strategy)
                ),
                None,
            ),
        }

    # ---- the command line
    def shrunk(self, classes: list | Top | None, names: list | None, seeds: list | None) -> "Study":
        """This study with only the named classes, strategies and seeds, in the study's order.

        The baseline stays whatever is named, since every comparison needs it. Raises ValueError
        with the key and the mistake where the study has no such class or strategy.
        """
        chosen = {}
        if isinstance(classes, Top):
            try:
                chosen["classes"] = _top(self.classes, classes.top, self.dataset)
            except ValueError as error:
                raise ValueError(f"classes: {error}") from None
        elif classes is not None:
            wanted = set()
            for value in classes:
                try:
                    name = _class_name(value, self.dataset)
                except ValueError:
                    name = str(value)
                if name not in self.classes:
                    what = f"a class of the study {self.name}"
                    raise ValueError(f"classes: {_no_such(name, what, self.classes)}")
                wanted.add(name)
            chosen["classes"] = [name for name in self.classes if name in wanted]
        if names is not None:
            for name in names:
                if name not in self.strategy_names:
                    what = f"a strategy of the study {self.name}"
                    raise ValueError(f"strategies: {_no_such(name, what, self.strategy_names)}")
            kept = {*names, self.baseline}
            chosen["strategies"] = [choice for choice in self.strategies if choice.name in kept]
        if seeds is not None:
            chosen["seeds"] = seeds
        return self.model_copy(update=chosen)


# ----------------------------------------------------------------------------- what stages read
class FeaturesSettings(_Model):
    """What the stage that makes the feature stores reads, and the one that lists recordings."""

    dataset: DatasetSettings
    audio: AudioSettings | None = None  # of sound
    class_names: list[str] | None = None  # of sound


class ManifestSettings(BagSettings):
    """What the stage that draws the bags of a class reads."""

    seeds: list[int] | None  # None: one draw serves all seeds


class RunSettings(_Model):
    """What the stage that trains the seeds of a (class, strategy) pair reads."""

    model: ModelSettings
    sampling: SamplingSettings
    training: TrainingSettings
    augmentation: AugmentationSettings | None = None
    strategy: str  # the file of workflow/weakneg/strategies
    options: dict[str, bool | int | float | str | None]  # keyword arguments of its `select`
    seeds: list[int]
    draw_per_seed: bool


class ScoreSettings(_Model):
    """What the stage that scores the test bags of a run reads."""

    model: ModelSettings
    score_batch_size: int
    draw_per_seed: bool


def canonical(settings: object) -> str:
    """Settings as JSON in one form: sorted keys, no spaces."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)


# ----------------------------------------------------------------------------- config.yaml
class Config(_Model):
    """What config.yaml says, and `--config` on the command line."""

    studies: Names = Field(
        ["digits", "soundscapes"],
        description="Studies that a plain `snakemake` builds: names of workflow/studies, or paths "
        "of YAML files of your own, relative to the working directory.",
    )
    data: dict[str, str | None] = Field(
        {},
        description="Local copies of data sets, data set -> folder. Where there is none, or null, "
        "the folder that the environment variable WEAKNEG_DATA names is tried, then the download.",
    )
    device: str = Field(
        "auto",
        pattern=_DEVICE,
        description="Where models are trained: auto (a GPU if there is one), cpu, cuda or cuda:N.",
    )
    classes: ClassChoice | None = Field(
        None,
        description="Only these classes of each study, by name or number, or {top: n}, those with "
        "the most clips; null: all of it.",
    )
    strategies: Names | None = Field(
        None,
        description="Only these strategies of each study; null: all of it. The study's baseline is "
        "kept in any case, since the others are compared with it.",
    )
    seeds: Seeds | None = Field(
        None,
        description="A number of seeds or a list of them in place of each study's; null: its own.",
    )

    _folder: Path = PrivateAttr(STUDIES)
    _paths: dict[str, Path] = PrivateAttr(default_factory=dict)  # of the studies asked for
    _sources: dict[str, str] = PrivateAttr(default_factory=dict)  # key -> who set it
    _loaded: dict[str, Study] = PrivateAttr(default_factory=dict)

    @field_validator("device", mode="before")
    @classmethod
    def _device(cls, device: object) -> object:
        if not isinstance(device, str) or not re.match(_DEVICE, device):
            raise _problem(_no_such(device, "a device", ["auto", "cpu", "cuda", "cuda:N"]))
        return device

    @field_validator("data")
    @classmethod
    def _known_datasets(cls, data: dict) -> dict:
        for name in data:
            if name not in datasets.names():
                raise _problem(_no_such(name, "a data set", datasets.names()), name)
        return data

    @property
    def study_names(self) -> list[str]:
        """Names of all studies, those of workflow/studies and those asked for by path."""
        known = {file.stem for file in self._folder.glob("*.yaml") if _NAME.fullmatch(file.stem)}
        return sorted(known | set(self._paths))

    @property
    def default_studies(self) -> list[str]:
        """Names of the studies that a plain `snakemake` builds, in the order asked for."""
        return list(self._paths)

    def said(self, name: str) -> str:
        """The arguments of a command that mean this study, and what `--config` leaves of it."""
        path = self._paths.get(name, self._folder)
        words = [name if self._folder in (path, path.parent) else _shown(path)]
        values = self.model_dump(mode="json", include={"classes", "strategies", "seeds"})
        for key, value in values.items():
            if value is not None and self._sources[key] == "--config":
                words += ["--config"] * (len(words) == 1) + [f"{key}={json.dumps(value)}"]
        return shlex.join(words)

    def study(self, name: str) -> Study:
        """The study of a name in `study_names`, with what the configuration leaves of it.

        Raises UserError when its file has a mistake, or lacks a class or strategy asked for.
        """
        if name not in self._loaded:
            study = _load_study(self._paths.get(name, self._folder / f"{name}.yaml"), self._folder)
            try:
                self._loaded[name] = study.shrunk(self.classes, self.strategies, self.seeds)
            except ValueError as error:
                key = str(error).split(":", 1)[0]
                raise UserError(f"{self._sources[key]}: {error}") from None
        return self._loaded[name]


def load(
    config: Mapping[str, Any],
    config_file: str | Path = "config.yaml",
    studies_folder: str | Path = STUDIES,
) -> Config:
    """The configuration that Snakemake merged, checked.

    config : what Snakemake calls `config`
    config_file : the file it read, so that a mistake can be traced to it or to `--config`
    studies_folder : where studies have their names; its files are read only when they are asked for

    Raises UserError, also for a mistake in a study that `studies` asks for.
    """
    path = Path(config_file)
    in_file = read_config(path)

    def source(key: object) -> str:
        from_file = key in in_file and in_file[key] == config.get(key)
        return _shown(path) if from_file else "--config"

    try:
        result = Config.model_validate(config)
    except ValidationError as error:
        raise _user_error(error, lambda location: source(location[0])) from None
    folder = Path(studies_folder)
    result._folder = folder
    result._sources.update({key: source(key) for key in Config.model_fields})
    for index, entry in enumerate(result.studies):
        where = f"{source('studies')}: studies[{index}]"
        file = _find_study(entry, folder, Path(), where)
        if file.stem in result._paths:
            raise UserError(f"{where}: {entry!r}: the study {file.stem} is listed twice")
        built_in = folder / f"{file.stem}.yaml"
        if built_in.is_file() and not built_in.samefile(file):
            raise UserError(
                f"{where}: {entry!r} has the name of {_shown(built_in)}; rename the file, since "
                "its results go by its name"
            )
        _load_study(file, folder)
        result._paths[file.stem] = file
    return result


def read_config(config_file: str | Path = "config.yaml") -> dict:
    """What the file says, not yet checked; nothing where there is none. Raises UserError."""
    path = Path(config_file)
    return _read_yaml(path) if path.is_file() else {}


def load_study(study: str | Path, studies_folder: str | Path = STUDIES) -> Study:
    """The study of a name in `studies_folder` or of a path. Raises UserError."""
    folder = Path(studies_folder)
    return _load_study(_find_study(str(study), folder, Path(), "study"), folder)


def schemas() -> dict[str, str]:
    """The JSON schemas of the configuration, file name in workflow/schemas -> text."""
    study = Study.model_json_schema()
    study["required"] = ["title"]  # the rest may come from the study that it extends
    models = {"config.schema.json": Config.model_json_schema(), "study.schema.json": study}
    return {
        name: json.dumps(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **model}, indent=2
        )
        + "\n"
        for name, model in models.items()
    }


# ----------------------------------------------------------------------------- reading files
def _find_study(entry: str, folder: Path, base: Path, where: str) -> Path:
    """File of a study named, or given by a path relative to `base`."""
    if "/" in entry or entry.endswith((".yaml", ".yml")):
        path = base / entry
        if not path.is_file():
            raise UserError(f"{where}: there is no file {_shown(path)}")
    else:
        path = folder / f"{entry}.yaml"
        if not path.is_file():
            known = sorted(file.stem for file in folder.glob("*.yaml"))
            raise UserError(
                f"{where}: {_no_such(entry, 'a study', known)}, or the path of a YAML file"
            )
    if not _NAME.fullmatch(path.stem):
        raise UserError(
            f"{where}: {entry!r}: the name of a study's file must consist of a-z, 0-9 and _"
        )
    return path


def _load_study(path: Path, folder: Path) -> Study:
    chain = [(path, _read_yaml(path))]
    while (parent := chain[-1][1].get("extends")) is not None:
        file = chain[-1][0]
        where = f"{_shown(file)}: extends"
        if not isinstance(parent, str):
            raise UserError(f"{where}: must be the name of a study, not {parent!r}")
        parent_file = _find_study(parent, folder, file.parent, where)
        if any(parent_file.samefile(seen) for seen, _ in chain):
            circle = " -> ".join([*(seen.stem for seen, _ in chain), parent_file.stem])
            raise UserError(f"{where}: {parent!r} closes a circle: {circle}")
        chain.append((parent_file, _read_yaml(parent_file)))

    for file, content in chain:
        _find_beside(file, content)
    for _, content in chain[1:]:
        for key in _OWN_KEYS:
            content.pop(key, None)
    merged: dict = {}
    for _, content in reversed(chain):
        merged = _merge(merged, content)

    def source(location: tuple) -> str:
        """The study's file, and the one it extends where that one holds the mistake."""
        for file, content in chain:
            value: Any = content
            try:
                for key in location:
                    value = value[key]
            except (KeyError, IndexError, TypeError):
                continue
            return _shown(path) if file == path else f"{_shown(path)} (extends {file.stem})"
        return _shown(path)

    try:
        study = Study.model_validate(merged)
    except ValidationError as error:
        raise _user_error(error, source) from None
    except UserError as error:  # of the list that the study names
        raise UserError(f"{_shown(path)}: {error}") from None
    study._name = path.stem
    return study


def _find_beside(path: Path, content: dict) -> None:
    """Name a list or folder of recordings that is beside the study from the working directory."""
    dataset = content.get("dataset")
    for key in ("list", "folder"):
        value = dataset.get(key) if isinstance(dataset, dict) else None
        if isinstance(value, str) and (path.parent / value).exists():
            # However the study's own path was typed, its jobs have the same parameters.
            dataset[key] = _shown((path.parent / value).resolve())


def _merge(base: Mapping, over: Mapping) -> dict:
    """`over` on top of `base`: mappings key by key, anything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _user_error(error: ValidationError, source) -> UserError:
    """The first mistake as one line; `source` gives the file from the keys that lead to it."""
    first, *others = error.errors()
    more = f" (and {len(others)} more)" if others else ""
    return UserError(f"{source(_location(first))}: {_describe(first)}{more}")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML in which a key said twice is a mistake and 1e-3 is a number, as in YAML 1.2."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = []
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark
                )
            seen.append(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _read_yaml(path: Path) -> dict:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise UserError(f"{_shown(path)}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{_shown(path)}: is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise UserError(f"{_shown(path)}: {line}{error.problem}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{_shown(path)}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(
            f"{_shown(path)}: must hold keys and values, as the files of workflow/studies"
        )
    return content

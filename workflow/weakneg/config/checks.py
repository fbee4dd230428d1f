"""Checks across the sections of a study.

A check gets the study once each section is valid by itself. It returns the values that it fills in,
by name of the field, or raises the mistake with the keys that lead to it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from weakneg import losses, strategies
from weakneg.config.classes import (
    Top,
    check_sizes,
    class_name,
    class_names,
    class_slug,
    learnable,
    most_frequent,
)
from weakneg.config.messages import no_such, problem
from weakneg.config.sections import (
    OF_TABLES,
    AudioSettings,
    BagSettings,
    DatasetSettings,
    models,
)
from weakneg.config.source import DownloadSource, FolderSource
from weakneg.config.study import Study
from weakneg.config.truth import JudgedClass
from weakneg.config.values import distinct
from weakneg.datasets import Dataset, formats

Completed = Mapping[str, Any]


def list_is_recognised(study: Study) -> Completed:
    """A list of recordings has a known format, or the study names its columns."""
    dataset = study.dataset
    if not dataset.lists_recordings:
        return {}
    path, columns = dataset.table.path, dict(dataset.table.columns)
    name = dataset.format
    if name is None:
        name = "table" if {"file", "labels"} <= columns.keys() else formats.recognise(path)
    if name == formats.OWN:
        for key in OF_TABLES:
            if getattr(dataset, key) not in (None, formats.OWN):
                instead = "unlisted" if key == "annotated" else "columns with file and labels"
                text = f"{path} is a list with the columns file and labels: use {instead} instead"
                raise problem(text, "dataset", key)
        return {"dataset": dataset.model_copy(update={"format": None})}
    if name == "table":
        _check_columns(columns)
    for key in () if name == "table" else columns.keys() - {*formats.load(name).choosable}:
        text = f"the format {name} knows this column: remove this key, or say format: table"
        raise problem(text, "dataset", "columns", key)
    read = dataset.model_copy(update={"format": name})
    annotated = dataset.annotated or formats.load(name).annotated(read.table)
    unlisted = "unknown" if annotated == "listed" else dataset.unlisted
    return {"dataset": read.model_copy(update={"annotated": annotated, "unlisted": unlisted})}


def _check_columns(columns: Mapping[str, str | int]) -> None:
    for key in ("file", "labels", *(["onset"] if columns.keys() & {"offset", "duration"} else ())):
        if key not in columns:
            raise problem("is missing: name the column", "dataset", "columns", key)
    if "onset" in columns and len(columns.keys() & {"offset", "duration"}) != 1:
        raise problem("is missing, or duration: name one of them", "dataset", "columns", "offset")
    if len({type(column) for column in columns.values()}) > 1:
        text = "names columns and numbers: numbers are for tables without a header, so use one kind"
        raise problem(text, "dataset", "columns")
    for key, column in columns.items():
        if isinstance(column, int) and column < 1:
            raise problem(f"columns are counted from 1, not {column}", "dataset", "columns", key)


def bags_are_of_images(study: Study) -> Completed:
    """Only images are put into bags; other data sets already consist of bags."""
    if study.kind == "images":
        return {"bags": study.bags or BagSettings()}
    if study.bags is not None:
        raise problem(f"{study.dataset.name} already consists of bags: remove this key", "bags")
    return {}


def spectrograms_are_of_sound(study: Study) -> Completed:
    """Only audio data sets have spectrograms and a source."""
    if study.kind == "spectrograms":
        return {"audio": study.audio or AudioSettings()}
    for key in ("audio", "source", "augmentation"):
        if getattr(study, key) is not None:
            text = f"{study.dataset.name} is not an audio data set: remove this key"
            raise problem(text, key)
    return {}


def sound_has_one_source(study: Study) -> Completed:
    """A data set that publishes only lists needs a source; one with its own sound has none."""
    if study.kind != "spectrograms":
        return {}
    source = study.source or FolderSource()
    data = study.dataset.definition
    elsewhere = isinstance(data, Dataset) and data.sound_elsewhere
    if elsewhere and isinstance(source, FolderSource) and source.folder is None:
        name = study.dataset.name
        text = f"is missing: name the folder of the clips, which {name} does not include"
        raise problem(text, "source", "folder")
    named = isinstance(source, DownloadSource) or source.folder is not None
    if named and not elsewhere:
        raise problem(f"{study.dataset.name} includes its sound: remove this key", "source")
    return {"source": source}


def model_fits_the_data(study: Study) -> Completed:
    """Each model takes one kind of data."""
    if models()[study.model.name] != study.kind:
        fitting = [name for name, kind in models().items() if kind == study.kind]
        text = f"{study.model.name!r} is not a model for the {study.kind} of {study.dataset.name}"
        raise problem(f"{text}. Allowed: {', '.join(fitting)}", "model", "name")
    return {}


def augmentation_can_be_made(study: Study) -> Completed:
    """Masks fit into the spectrogram, and waveforms to be mixed are kept."""
    if study.augmentation is None or study.audio is None:
        return {}
    widest, bins = study.augmentation.frequency_mask, study.audio.mel_bins
    if widest > bins:
        text = f"{widest} is more than audio.mel_bins ({bins})"
        raise problem(text, "augmentation", "frequency_mask")
    mixes = study.augmentation.mixup_rate > 0 and study.augmentation.mixup_domain == "waveform"
    if mixes and not study.audio.waveform:
        text = (
            "mixing waveforms requires that they are kept: set audio.waveform to true, or "
            "mixup_domain to 'spectrogram'"
        )
        raise problem(text, "augmentation", "mixup_domain")
    return {}


def training_leaves_selections(study: Study) -> Completed:
    """At least one epoch trains on chosen bags."""
    epochs, sampling = study.training.epochs, study.sampling
    if sampling.warmup_epochs >= epochs:
        text = (
            f"{sampling.warmup_epochs} must be less than training.epochs ({epochs}), so that some "
            "epoch trains on chosen bags"
        )
        raise problem(text, "sampling", "warmup_epochs")
    if sampling.resample_every > epochs:
        text = f"{sampling.resample_every} must be at most training.epochs ({epochs})"
        raise problem(text, "sampling", "resample_every")
    return {}


def classes_exist(study: Study) -> Completed:
    """Every class exists, is named once and gets its own folder; returns their names."""
    dataset = study.dataset
    names: list[str] = []
    for index, value in enumerate(_asked_for(study.classes, dataset)):
        try:
            names.append(class_name(value, dataset))
        except ValueError as error:
            raise problem(str(error), "classes", index) from None
    slugs: dict[str, str] = {}
    for index, name in enumerate(distinct(names, "classes")):
        slug = class_slug(name)
        if not slug:
            text = f"{name!r} has no letters or digits to name a folder after: leave it out"
            raise problem(text, "classes", index)
        if slug in slugs:
            text = f"{name!r} and {slugs[slug]!r} would share a folder: "
            if dataset.list is not None:
                text += f"if they are one class, write it one way in {dataset.list}, else "
            text += "leave one of them out"
            raise problem(text, "classes", index)
        slugs[slug] = name
    if dataset.list is not None:
        check_sizes(names, dataset)
    return {"classes": names}


def _asked_for(
    classes: Literal["all"] | Top | Sequence[str | int], dataset: DatasetSettings
) -> Sequence[str | int]:
    """The names and numbers of the classes, which may not exist."""
    if classes == "all":
        return class_names(dataset)
    if not isinstance(classes, Top):
        return classes
    try:
        return most_frequent(learnable(dataset), classes.top, dataset)
    except ValueError as error:
        raise problem(str(error), "classes") from None


def imbalance_is_corrected_once(study: Study) -> Completed:
    """Balanced batches need no weight that makes up for the imbalance."""
    training = study.training
    if training.positive_weight == "balanced" and training.batch_sampling == "weighted":
        text = (
            "'balanced' makes up for the imbalance, and so does batch_sampling: weighted: choose "
            "one of them"
        )
        raise problem(text, "training", "positive_weight")
    return {}


def strategies_are_crossed(study: Study) -> Completed:
    """Every strategy is run with every loss and every share of hidden positives."""
    distinct([loss.name for loss in study.losses or []], "losses")
    hidden = distinct(study.hidden_positives or [0.0], "hidden_positives")
    usual = study.training.loss
    crossed = [
        (choice if choice.loss != usual else choice.model_copy(update={"loss": None})).crossed(
            None if loss == usual else loss, share
        )
        for share in hidden
        for choice in study.strategies
        for loss in ((study.losses or [usual]) if choice.loss is None else [usual])
    ]
    return {"strategies": crossed}


def positives_can_be_hidden(study: Study) -> Completed:
    """Hidden positives need bags that are known and not mixed."""
    if study.hidden_positives is None:
        return {}
    reasons = {
        "hides nothing: name a share above 0, or remove this key": max(study.hidden_positives) == 0,
        "is not possible with dataset.unlisted: unknown, since nobody knows which of those bags "
        "are positive": study.dataset.unlisted == "unknown",
        "is not possible together with truth: make two studies": study.truth is not None,
        "hides single bags, and mixup mixes them: set augmentation.mixup_rate to 0": _mixes(study),
    }
    for text, holds in reasons.items():
        if holds:
            raise problem(text, "hidden_positives")
    return {}


def losses_know_their_bags(study: Study) -> Completed:
    """Losses that doubt labels need bags with labels of their own, not mixtures."""
    for choice in study.strategies:
        loss = choice.loss or study.training.loss
        if _mixes(study) and losses.doubts(loss.name):
            text = (
                f"{loss.name} doubts the labels of single bags, and mixup mixes them: set "
                "mixup_rate to 0, or choose another loss"
            )
            raise problem(text, "augmentation", "mixup_rate")
    return {}


def _mixes(study: Study) -> bool:
    return study.augmentation is not None and study.augmentation.mixup_rate > 0


def strategies_are_distinct(study: Study) -> Completed:
    """Strategies have distinct names, and the baseline is one of them."""
    distinct(study.strategy_names, "strategies")
    if study.baseline not in study.strategy_names:
        what = "among the strategies of the study"
        raise problem(no_such(study.baseline, what, study.strategy_names), "baseline")
    return {}


def reference_is_about_the_data(study: Study) -> Completed:
    """Published numbers belong to existing strategies and classes."""
    known = [*strategies.names(), *study.strategy_names]
    for strategy, values in study.reference.values.items() if study.reference else ():
        if strategy not in known:
            text = no_such(strategy, "a strategy", known)
            raise problem(text, "reference", "values", strategy)
        for name in values:
            if name not in class_names(study.dataset):
                what = f"a class of {study.dataset.name}"
                text = no_such(name, what, class_names(study.dataset))
                raise problem(text, "reference", "values", strategy, name)
    return {}


def truth_is_about_clips(study: Study) -> Completed:
    """People listen to clips; the classes that they judge exist. Returns the names of these."""
    truth = study.truth
    if truth is None:
        return {}
    if study.kind == "images":
        text = f"{study.dataset.name} has no clips to listen to: remove this key"
        raise problem(text, "truth")
    judged: dict[str, JudgedClass] = {}
    for key, each in truth.classes.items():
        at = ("truth", "classes", key)
        name = _class_of(key, study, *at)
        if name in judged:
            raise problem(f"{name!r} is listed twice", *at)
        labelled = [_class_of(label, study, *at, "labelled") for label in each.labelled]
        judged[name] = each.model_copy(update={"labelled": labelled})
    if not judged.keys() & set(study.classes):
        raise problem(f"none of {', '.join(judged)} is a class of the study", "truth", "classes")
    return {"truth": truth.model_copy(update={"classes": judged})}


def _class_of(value: str, study: Study, *at: str | int) -> str:
    """The class of a name in the study; raises the mistake, at the keys, if there is none."""
    try:
        return class_name(value, study.dataset)
    except ValueError as error:
        raise problem(str(error), *at) from None


CHECKS: tuple[Callable[[Study], Completed], ...] = (
    list_is_recognised,
    bags_are_of_images,
    spectrograms_are_of_sound,
    sound_has_one_source,
    model_fits_the_data,
    augmentation_can_be_made,
    training_leaves_selections,
    imbalance_is_corrected_once,
    classes_exist,
    positives_can_be_hidden,
    strategies_are_crossed,
    losses_know_their_bags,
    strategies_are_distinct,
    reference_is_about_the_data,
    truth_is_about_clips,
)


def complete(study: Study) -> Study:
    """Check the sections of a study against each other.

    Parameters
    ----------
    study : Study
        A study of which each section is valid by itself.

    Returns
    -------
    Study
        The same with what follows from its other sections filled in.

    Raises
    ------
    PydanticCustomError
        The first mistake, as `weakneg.config.messages.problem` makes it.
    """
    for check in CHECKS:
        study = study.model_copy(update=check(study))
    return study

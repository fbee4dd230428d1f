"""Checks across the sections of a study.

A check gets the study once each section is valid by itself. It returns the values that it fills in,
by name of the field, or raises the mistake with the keys that lead to it.
"""

import math
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
from weakneg.config.encoder import encoder_encodes_the_sound
from weakneg.config.messages import no_such, problem
from weakneg.config.sections import (
    OF_TABLES,
    AudioSettings,
    BagSettings,
    Columns,
    DatasetSettings,
    models,
)
from weakneg.config.source import DownloadSource, FolderSource
from weakneg.config.strategy import Observed, StrategyChoice
from weakneg.config.study import Study
from weakneg.config.training import ALL, TrainingSettings
from weakneg.config.truth import JudgedClass, TruthSettings
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
        own = dataset.model_copy(update={"format": None})
        return {"dataset": _with_channels(own, formats.OWN, study)}
    if name == "table":
        _check_columns(columns)
    for key in () if name == "table" else columns.keys() - {*formats.load(name).choosable}:
        text = f"the format {name} knows this column: remove this key, or say format: table"
        raise problem(text, "dataset", "columns", key)
    read = _with_channels(dataset.model_copy(update={"format": name}), name, study)
    annotated = dataset.annotated or formats.load(name).annotated(read.table)
    unlisted = "unknown" if annotated == "listed" else dataset.unlisted
    return {"dataset": read.model_copy(update={"annotated": annotated, "unlisted": unlisted})}


def _with_channels(dataset: DatasetSettings, name: str, study: Study) -> DatasetSettings:
    """The data set, which reads the channels that its list names if the study hears each."""
    hears_each = study.audio is not None and study.audio.channel == "each"
    names_channels = dataset.columns is not None and dataset.columns.channel is not None
    if names_channels and not hears_each:
        text = (
            "channels are only told apart with audio: {channel: each}: say so, or remove this key"
        )
        raise problem(text, "dataset", "columns", "channel")
    of_format = formats.load(name).channel
    if not hears_each or of_format is None:
        return dataset
    columns = (dataset.columns or Columns()).model_copy(update={"channel": of_format})
    return dataset.model_copy(update={"columns": columns})


def channels_are_of_recordings(study: Study) -> Completed:
    """Only the channels of the user's own recordings have clips of their own."""
    each = study.audio is not None and study.audio.channel == "each"
    if each and not study.dataset.lists_recordings:
        text = (
            f"each is for recordings of your own, but the clips of {study.dataset.name} are bags "
            "as they are: choose mean, first or loudest"
        )
        raise problem(text, "audio", "channel")
    return {}


def corrections_are_of_recordings(study: Study) -> Completed:
    """Only labels of the user's own recordings are corrected, in clips that exist."""
    if study.corrections is None:
        return {}
    if not study.dataset.lists_recordings:
        text = f"{study.dataset.name} is not a list of recordings of your own: remove this key"
        raise problem(text, "corrections")
    if study.task == "multilabel":
        text = "needs a model for each class: with task: multilabel, correct the list instead"
        raise problem(text, "corrections")
    distinct(study.corrections, "corrections")
    _ = study.corrected  # raises for a mistake in a list
    return {}


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
    if study.dataset.definition.kind == "spectrograms":
        return {"audio": study.audio or AudioSettings()}
    for key in ("audio", "source", "augmentation"):
        if getattr(study, key) is not None:
            text = f"{study.dataset.name} is not an audio data set: remove this key"
            raise problem(text, key)
    return {}


def sound_has_one_source(study: Study) -> Completed:
    """A data set that publishes only lists needs a source; one with its own sound has none."""
    if study.dataset.definition.kind != "spectrograms":
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
        of = study.dataset.name if study.encoder is None else "an encoder"
        text = f"{study.model.name!r} is not a model for the {study.kind} of {of}"
        raise problem(f"{text}. Allowed: {', '.join(fitting)}", "model", "name")
    return {}


def augmentation_can_be_made(study: Study) -> Completed:
    """Masks fit into the spectrogram, and waveforms to be mixed, or with noise, are kept."""
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
    if study.augmentation.noise and not study.audio.waveform:
        text = "requires that waveforms are kept: set audio.waveform to true"
        raise problem(text, "augmentation", "noise")
    if study.augmentation.noise and study.augmentation.mixup_rate > 0 and not mixes:
        text = "must be 'waveform', since noise is added to waveforms, or mixup_rate 0"
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


def positives_can_be_made(study: Study) -> Completed:
    """Synthetic positives fit the data, the loss, and what else makes up for the imbalance."""
    training = study.training
    corrections = {
        "positive_weight: balanced": training.positive_weight == "balanced",
        "batch_sampling: weighted": training.batch_sampling == "weighted",
    }
    corrected = next((name for name, given in corrections.items() if given), None)
    for index, choice in enumerate(study.strategies):
        made = choice.positives or training.positives
        if made is None:
            continue
        loss = (choice.loss or training.loss).name
        at = ("strategies", index, "positives") if choice.positives else ("training", "positives")
        if made.method == "smote" and study.kind != "clips":
            text = f"smote needs bags of feature vectors, and {study.dataset.name} has {study.kind}"
            raise problem(f"{text}: use mixup", *at)
        if corrected:
            text = f"they make up for the imbalance, and so does {corrected}: choose one of them"
            raise problem(text, *at)
        if losses.doubts(loss):
            text = f"{loss} doubts the labels of single bags, and {made.method} mixes them: "
            raise problem(f"{text}remove this key, or choose another loss", *at)
    return {}


def methods_are_of_many_classes(study: Study) -> Completed:
    """Methods are what a study of many classes compares, and strategies what others do."""
    given = study.model_fields_set
    if study.task == "binary":
        for key in ("methods", "observed"):
            if getattr(study, key) is not None:
                raise problem("is for task: multilabel: remove this key, or set task", key)
        if not study.strategies:
            raise problem("is missing", "strategies")
        if study.training.validation_labels != "true":
            text = "all labels are known, unless task is multilabel: remove this key"
            raise problem(text, "training", "validation_labels")
        return {}
    if study.methods is None:
        raise problem("is missing", "methods")
    for key in ("strategies", "losses", "hidden_positives", "reference", "augmentation"):
        if key in given and getattr(study, key):
            raise problem("is for task: binary: remove this key", key)
    if "sampling" in given:
        raise problem("nothing is chosen where task is multilabel: remove this key", "sampling")
    training = study.training
    of_one_class = {
        "loss": "the loss is what methods differ in: name it there",
        "positives": "synthetic positives are for one class: remove this key",
        "batch_sampling": "a bag is not positive or negative where there are many classes: "
        "remove this key",
    }
    for key, text in of_one_class.items():
        if getattr(training, key) != getattr(TrainingSettings(), key):
            raise problem(text, "training", key)
    if training.positive_weight == "balanced":
        text = "is for one class: give a number, or remove this key"
        raise problem(text, "training", "positive_weight")
    if study.bags and study.bags.label_density != "uniform":
        text = "bags of many classes are drawn without regard to labels: remove this key"
        raise problem(text, "bags", "label_density")
    return {}


def methods_are_crossed(study: Study) -> Completed:
    """Every method is run with all that is observed: returns them as strategies."""
    if study.methods is None:
        return {}
    distinct([method.name for method in study.methods], "methods")
    observed = distinct(study.observed or [Observed()], "observed")
    if len(study.classes) == 1 and any(each != Observed() for each in observed):
        text = "with one class, labels that are not observed leave no negatives: use task: binary"
        raise problem(text, "observed")
    crossed = [
        StrategyChoice.of_method(
            method, seen, method.name if number == 0 else f"{method.name}_observed_{seen.name}"
        )
        for method in study.methods
        for number, seen in enumerate([method.observed] if method.observed else observed)
    ]
    baseline = {} if "baseline" in study.model_fields_set else {"baseline": crossed[0].name}
    return {"strategies": crossed, **baseline}


def strategies_are_crossed(study: Study) -> Completed:
    """Every strategy is run with every loss, share of hidden positives and budget."""
    if study.task == "multilabel":
        return {}
    distinct([loss.name for loss in study.losses or []], "losses")
    hidden = distinct(study.hidden_positives or [0.0], "hidden_positives")
    usual = study.training.loss
    crossed = [
        _without_defaults(choice, study).crossed(None if loss == usual else loss, share, budget)
        for share in hidden
        for choice in _with_full_set(study)
        for loss in ((study.losses or [usual]) if choice.loss is None else [usual])
        for budget in _budgets(choice, study)
    ]
    return {"strategies": crossed}


def _without_defaults(choice: StrategyChoice, study: Study) -> StrategyChoice:
    """An entry of a study, without a loss or synthetic positives that are those of its training."""
    keys = ("loss", "positives")
    same = [key for key in keys if getattr(choice, key) == getattr(study.training, key)]
    return choice.model_copy(update=dict.fromkeys(same))


def _with_full_set(study: Study) -> list[StrategyChoice]:
    """The strategies of the study; if its budgets say 'all', one of them trains on the whole pool.

    In a study of one number, they are those that it names.
    """
    ratios = study.sampling.negatives_per_positive
    asked = isinstance(ratios, list) and ALL in ratios
    if asked and not any(choice.ignores_budget for choice in study.strategies):
        return [StrategyChoice(strategy="full", name="full"), *study.strategies]
    return study.strategies


def _budgets(choice: StrategyChoice, study: Study) -> Sequence[float | None]:
    """The budgets that a strategy is run with; None is that of the study, or the whole pool."""
    return [None] if choice.ignores_budget else study.sampling.budgets or [None]


def budgets_are_one_question(study: Study) -> Completed:
    """A study of budgets compares strategies at each of them, and with the full set once."""
    if study.sampling.budgets is None:
        return {}
    others = {
        "hidden_positives": study.hidden_positives is not None,
        "losses": study.losses is not None,
        "truth": study.truth is not None,
    }
    at = ("sampling", "negatives_per_positive")
    for key, given in others.items():
        if given:
            raise problem(f"a list is not possible together with {key}: make two studies", *at)
    if study.training.equal == "steps":
        text = (
            "with a list of budgets, the full set has no number of steps to share: use 'epochs', "
            "or one number in sampling.negatives_per_positive"
        )
        raise problem(text, "training", "equal")
    entries = [choice.name for choice in study.strategies if not choice.ignores_budget]
    if study.baseline not in entries:
        what = "a strategy of the study that has a budget"
        raise problem(no_such(study.baseline, what, entries), "baseline")
    return {}


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
    """Strategies have distinct names, and the baseline is one of them.

    In a study of budgets, that is the first of the strategy that it names.
    """
    distinct(study.strategy_names, "strategies")
    if study.sampling.budgets:
        return {"baseline": study.entry(study.baseline)[0]}
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
    _truth_has_times(truth, study)
    truth = truth.model_copy(update={"classes": judged})
    if not truth.of(study.classes):
        raise problem(f"none of {', '.join(judged)} is a class of the study", "truth", "classes")
    return {"truth": truth}


def _truth_has_times(truth: TruthSettings, study: Study) -> None:
    """Where events are looked for in clips, it is known when each vector of a clip is."""
    many, vectors = study.task == "multilabel", study.kind == "clips"
    if truth.frame_seconds is not None and not (many and vectors):
        text = "is for task: multilabel, on clips of feature vectors: remove this key"
        raise problem(text, "truth", "frame_seconds")
    if truth.event_detection and not many:
        raise problem("is for task: multilabel: remove this key", "truth", "event_detection")
    if truth.event_detection and vectors and truth.frame_seconds is None:
        text = "needs to know when each feature vector is: set truth.frame_seconds"
        raise problem(text, "truth", "event_detection")
    if not truth.of_own_labels:
        looks = many and not (vectors and truth.frame_seconds is None)
        if not (looks and truth.list.endswith(".csv")):
            return
        text = (
            f"{truth.list} does not say when a sound was heard, and models of many classes are "
            "judged by that: name a .tsv file or own_labels"
        )
    elif not many:
        text = f"{truth.list} is for task: multilabel: name a list of what people heard"
    elif not _has_times(study.dataset):
        text = f"{study.dataset.name} does not say when its labels sound: name another list"
    elif study.dataset.unlisted == "unknown":
        text = (
            f"{truth.list} must say everything that sounds, but with dataset.unlisted: unknown it "
            "does not: name a list of what people heard"
        )
    elif not _says_when(study.dataset):
        text = (
            f"no label of a test recording in {study.dataset.list} has an onset and an offset: "
            "give them, or remove truth"
        )
    else:
        return
    raise problem(text, "truth", "list")


def _has_times(dataset: DatasetSettings) -> bool:
    """Whether labels may have times; a user's list of recordings need not give them."""
    data = dataset.definition
    return data.timed_labels if isinstance(data, Dataset) else data.recordings is not None


def _says_when(dataset: DatasetSettings) -> bool:
    """Of labels that may have times: whether those of a test recording in a user's list do."""
    data = dataset.definition
    if isinstance(data, Dataset):
        return True
    assert data.recordings is not None
    return any(
        row["split"] == "test" and any(offset < math.inf for *_, offset in row["events"])
        for row in data.recordings(*dataset.own_list)
    )


def _class_of(value: str, study: Study, *at: str | int) -> str:
    """The class of a name in the study; raises the mistake, at the keys, if there is none."""
    try:
        return class_name(value, study.dataset)
    except ValueError as error:
        raise problem(str(error), *at) from None


CHECKS: tuple[Callable[[Study], Completed], ...] = (
    list_is_recognised,
    corrections_are_of_recordings,
    bags_are_of_images,
    encoder_encodes_the_sound,
    spectrograms_are_of_sound,
    channels_are_of_recordings,
    sound_has_one_source,
    model_fits_the_data,
    augmentation_can_be_made,
    training_leaves_selections,
    imbalance_is_corrected_once,
    classes_exist,
    methods_are_of_many_classes,
    positives_can_be_hidden,
    positives_can_be_made,
    budgets_are_one_question,
    methods_are_crossed,
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

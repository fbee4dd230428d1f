"""The sections of a study that say how models are trained."""

import math
from functools import partial
from operator import eq, is_
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from weakneg.config.messages import problem
from weakneg.config.strategy import OR_OWN, Loss, LossChoice, SyntheticPositives
from weakneg.config.values import Section, distinct

Betas = Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]

_BCE = LossChoice(name="bce")

ALL = "all"
"""Among the negatives per positive of a study of budgets: the whole pool."""

Positive = Annotated[float, Field(gt=0)]


class TrainingSettings(Section):
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
        description="Share of all training steps over which the learning rate rises linearly from "
        "0. (The 1,000 steps of PSLA would be more than half of the training of most AudioSet "
        "classes.)",
    )
    betas: Betas = Field(
        [0.9, 0.999],
        description="Decay rates of Adam's running means of gradients and of squared gradients "
        "([0.95, 0.999] in PSLA).",
    )
    weight_decay: float = Field(0.0, ge=0, lt=1, description="Weight decay of Adam.")
    batch_sampling: Literal["shuffled", "weighted"] = Field(
        "shuffled",
        description="How the bags of an epoch, positives and chosen negatives, are put into "
        "batches: each once, in random order (shuffled), or the same number of draws with "
        "replacement, in which positive and negative bags are equally likely (weighted).",
    )
    equal: Literal["epochs", "steps"] = Field(
        "epochs",
        exclude_if=partial(eq, "epochs"),
        description="What strategies that train on the whole pool share with the others: the "
        "number of epochs, so that they take more steps; or the steps per epoch, so that each of "
        "their epochs is a random share of the bags, as large as the epochs of the others.",
    )
    positive_weight: Annotated[float, Field(gt=0)] | Literal["balanced"] = Field(
        1.0,
        exclude_if=partial(eq, 1.0),
        description="Weight of positive bags in the training loss, where negative bags have 1; "
        "balanced: the number of negative bags of the epoch per positive bag.",
    )
    loss: Loss = Field(
        _BCE,
        # Left out where it is the default, so that earlier runs keep their settings.
        exclude_if=partial(eq, _BCE),
        description=f"Loss: the name of a file in workflow/weakneg/losses, {OR_OWN}; or "
        "{name, options}.",
    )
    positives: SyntheticPositives | None = Field(
        None,
        exclude_if=partial(is_, None),
        description="Synthetic positive bags, which are mixtures of positive bags: mixup or smote, "
        "or {method, options}; null: none.",
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Epochs without a better average precision on the validation bags before the "
        "training stops; null: never. The weights of the best epoch are always kept.",
    )
    smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        exclude_if=partial(eq, 0.0),
        description="Epochs are compared by a moving average of the validation average precision, "
        "in which the epochs before have this weight and the epoch itself has the rest. With few "
        "validation bags, the best single value is a lucky one; 0: no average.",
    )
    validation_labels: Literal["true", "observed"] = Field(
        "true",
        exclude_if=partial(eq, "true"),
        description="Where the task is multilabel and part of the labels is unknown, by which "
        "labels of the validation bags the best epoch is chosen: the true ones, as in Large Loss "
        "Matters, or those observed, where all others count as negative. Only the second is "
        "possible for somebody who does not know the rest.",
    )
    validation_fraction: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of the training bags held out for validation, of positive and negative "
        "bags alike, drawn by the seed.",
    )
    score_batch_size: int = Field(
        512, ge=1, description="Bags per batch when pool, validation and test bags are scored."
    )


def _ratios(value: object) -> object:
    """Validator: a number of negatives per positive, or a list of such numbers and "all"."""
    if isinstance(value, str):
        raise problem(f"must be a number above 0 or a list of them, not {value!r}")
    if not isinstance(value, list):
        return _ratio(value)
    found = [each if each == ALL else _ratio(each, index) for index, each in enumerate(value)]
    if not set(found) - {ALL}:
        raise problem(f"must have a number besides {ALL}, not {value!r}")
    return distinct(found)


def _ratio(value: object, *at: int) -> float:
    if isinstance(value, int | float) and value is not True and 0 < value < math.inf:
        return float(value)
    or_all = f", or {ALL}" if at else ""
    raise problem(f"must be a number above 0{or_all}, not {value!r}", *at)


class SamplingSettings(Section):
    """How many negative bags an epoch trains on, and how often they are chosen."""

    negatives_per_positive: Annotated[
        Positive | list[Positive | Literal["all"]], BeforeValidator(_ratios)
    ] = Field(
        2.0,
        description="Negative bags that an epoch trains on, per positive bag (at least one in all, "
        "at most the pool). The paper uses a 'P-N ratio' of 0.5 and does not define it. Read as "
        "positives : negatives, as the words suggest, it means 2.0, the default; read as "
        "positives : all, it means 1.0. A list makes a study of budgets: each strategy is run with "
        "each number, as <strategy>_budget_<number>, and 'all' adds the full set, which is trained "
        "once.",
    )
    resample_every: int = Field(
        1, ge=1, description="Epochs between two selections; with 1, every epoch has its own."
    )
    warmup_epochs: int = Field(
        0,
        ge=0,
        description="Number of initial epochs that train on randomly chosen bags, because a model "
        "with random weights cannot tell which bags are useful.",
    )
    candidate_fraction: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the pool that is scored and chosen from, drawn at random for each "
        "selection (never less than the budget). Values below 1 make scoring cheaper.",
    )

    @property
    def budgets(self) -> list[float] | None:
        """The numbers of a study of budgets; None if all runs have the same one."""
        ratios = self.negatives_per_positive
        if not isinstance(ratios, list):
            return None
        return [each for each in ratios if not isinstance(each, str)]


class RunSampling(SamplingSettings):
    """The same for a run, which has one number of negatives per positive."""

    negatives_per_positive: float = Field(2.0, gt=0)


class NoiseSettings(Section):
    """Background noise that is added to clips each time a model trains on them."""

    folder: str = Field(
        description="Folder of recordings of noise, which is searched at any depth. It is looked "
        "for in the folder of this file, the working directory and the folder in WEAKNEG_DATA. "
        "Labels stay as they are, so nothing in it should belong to a class."
    )
    rate: float = Field(
        0.5, gt=0, le=1, description="Share of the clips of an epoch to which noise is added."
    )
    snr_db: Annotated[list[float], Field(min_length=2, max_length=2)] = Field(
        [3.0, 30.0],
        description="Lowest and highest ratio of the power of the clip to that of the noise, in "
        "dB; each ratio between them is equally likely.",
    )

    @field_validator("snr_db")
    @classmethod
    def _ascending(cls, ratios: list[float]) -> list[float]:
        if not -math.inf < ratios[0] <= ratios[1] < math.inf:
            raise problem(f"must be the lowest ratio and the highest, not {ratios}")
        return ratios


class AugmentationSettings(Section):
    """How clips are augmented each time a model trains on them, as in PSLA, and with noise."""

    mixup_rate: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the clips of an epoch that are mixed, each with another clip of the "
        "epoch, drawn at random. Labels are mixed too: a negative clip that is mixed with a "
        "positive one becomes partly positive.",
    )
    mixup_alpha: float = Field(
        10.0,
        gt=0,
        description="The share of a clip in the mixture is drawn from Beta(alpha, alpha); large "
        "values keep it close to one half.",
    )
    mixup_domain: Literal["waveform", "spectrogram"] = Field(
        "waveform",
        description="What is mixed: waveforms, from which the spectrogram is then computed, as in "
        "the paper (requires audio.waveform), or the log-mel spectrograms.",
    )
    frequency_mask: int = Field(
        48, ge=0, description="Largest number of adjacent mel bins set to 0 in every clip."
    )
    time_mask: int = Field(
        192, ge=0, description="Largest number of consecutive frames set to 0 in every clip."
    )
    noise: NoiseSettings | None = Field(
        None,
        # Left out where it is the default, so that earlier runs keep their settings.
        exclude_if=partial(is_, None),
        description="Background noise to add; null: none. It requires audio.waveform.",
    )

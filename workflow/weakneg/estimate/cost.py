"""The cost of an audio study, counted before it starts. Does not import PyTorch, for the rules.

All numbers follow from the settings and from the number of clips of each class in the list of
recordings, as if every recording were available and one clip long. `patience` may end trainings
earlier.
"""

import math
from typing import NamedTuple

from weakneg import strategies
from weakneg.bags.split import n_candidates, n_chosen, n_validation
from weakneg.config.stages import RunSettings
from weakneg.config.study import Study
from weakneg.config.training import TrainingSettings
from weakneg.errors import UserError


class Cost(NamedTuple):
    """The cost of training and testing models.

    Attributes
    ----------
    models : int
        Models, one for each seed of a run.
    steps : int
        Steps of the optimiser.
    trained : int
        Clips that models are trained on, counted in every epoch.
    scored : int
        Clips that are scored to choose from, to validate and to test. (Some strategies also score
        the positive clips, which are not counted.)
    """

    models: int
    steps: int
    trained: int
    scored: int

    def hours(self, trained_per_second: float, scored_per_second: float) -> float:
        """Time in hours, from the speeds of training and scoring in clips per second."""
        return (self.trained / trained_per_second + self.scored / scored_per_second) / 3600


def model_cost(
    settings: RunSettings, n_positive: int, n_negative: int, n_test: int, n_unknown: int = 0
) -> Cost:
    """The cost of one seed of a run.

    Parameters
    ----------
    settings : RunSettings
        Settings of the run.
    n_positive, n_negative : int
        Clips of each label in the training split, those for validation included.
    n_test : int
        Clips in the test split.
    n_unknown : int
        Clips of the training split that are unknown: they belong to the pool and never to
        validation.

    Returns
    -------
    Cost
        The cost of one model.
    """
    training, sampling = settings.training, settings.sampling
    n_hidden = round(settings.hidden_positives * n_positive)
    n_positive, n_negative = n_positive - n_hidden, n_negative + n_hidden

    held_out = [n_validation(n, training.validation_fraction) for n in (n_positive, n_negative)]
    positives, pool = n_positive - held_out[0], n_negative - held_out[1] + n_unknown
    budget = n_chosen(sampling.negatives_per_positive, positives, pool)
    takes_all = strategies.ignores_budget(settings.strategy, settings.options)
    composed = len(strategies.composition(settings.strategy, settings.options)) > 1

    chosen = [budget] * sampling.warmup_epochs
    chosen += [pool if takes_all else budget] * (training.epochs - sampling.warmup_epochs)
    if training.equal == "steps":
        chosen = [budget] * training.epochs
    synthetic = round(training.positives.share * positives) if training.positives else 0
    trained = [positives + synthetic + negatives for negatives in chosen]
    scored = n_test + sum(held_out) * training.epochs
    # A strategy that leaves bags out looks at scores, even if another takes all the others. Then it
    # is counted as training on the whole pool, which is slightly too much.
    if composed or not (takes_all or settings.strategy == "random"):
        candidates = pool if takes_all else n_candidates(sampling.candidate_fraction, budget, pool)
        choices = math.ceil((training.epochs - sampling.warmup_epochs) / sampling.resample_every)
        scored += candidates * choices
    steps = sum(math.ceil(n / training.batch_size) for n in trained)
    return Cost(1, steps, sum(trained), scored)


def _cost_of_many_classes(training: TrainingSettings, n_train: int, n_test: int) -> Cost:
    """The cost of one seed of a run with an output for each class, where nothing is chosen.

    The real split is by groups and classes, and holds out about as many clips.
    """
    held_out = n_validation(n_train, training.validation_fraction)
    n_train -= held_out
    epochs = training.epochs
    steps = math.ceil(n_train / training.batch_size) * epochs
    return Cost(1, steps, n_train * epochs, n_test + held_out * epochs)


def study_cost(study: Study) -> Cost:
    """The cost of all models of a study.

    Parameters
    ----------
    study : Study
        The study.

    Returns
    -------
    Cost
        The sum over classes (of which the runs of a multilabel study have all), runs and seeds.

    Raises
    ------
    UserError
        When the study is not one of audio, or the sizes of its classes are unknown.
    """
    counts = study.dataset.training_counts
    if study.audio is None or counts is None:
        raise UserError(
            f"the cost of {study.name} cannot be estimated: {study.dataset.name} is not an audio "
            "data set, or the sizes of its classes are unknown; choose another study."
        )
    n_train, n_test = study.split_sizes["train"], study.split_sizes["test"]
    if study.task == "multilabel":
        n_models = len({*study.runs.values()}) * len(study.seeds)
        cost = _cost_of_many_classes(study.training, n_train, n_test)
        return Cost(*(n_models * number for number in cost))
    negatives = {name: n_train - counts[name] for name in study.classes}
    if study.dataset.negative_counts is not None:
        # Events may be exceptions from negatives: a recording with both counts as positive.
        known = study.dataset.negative_counts["train"]
        negatives = {name: min(known[name], n) for name, n in negatives.items()}
    costs = [
        model_cost(RunSettings.of(study, run), counts[name], n, n_test, n_train - counts[name] - n)
        for name, n in negatives.items()
        for run in set(study.runs_of(name).values())
    ]
    return Cost(*(len(study.seeds) * sum(column) for column in zip(*costs, strict=True)))


def cost_text(study: Study) -> str:
    """The cost of a study as one line of text. Raises UserError as `study_cost` does."""
    cost = study_cost(study)
    jobs = cost.models // len(study.seeds)
    return (
        f"{study.name}: {jobs:,} training jobs, {cost.models:,} models; at most "
        f"{cost.steps:,} steps of {study.training.batch_size} clips, {cost.trained / 1e6:,.1f} "
        f"million clips trained, {cost.scored / 1e6:,.1f} million scored"
    )

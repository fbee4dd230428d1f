"""What a study of sound costs, counted before it starts; imports no PyTorch, so that rules can ask.

Everything follows from the settings and the number of clips of each class in the published lists,
or in one's own: as if every recording could be had and were one clip. `patience` may end trainings
earlier.
"""

import math
from typing import NamedTuple

from weakneg import strategies
from weakneg.bags.split import n_candidates, n_chosen, n_validation
from weakneg.config.stages import RunSettings
from weakneg.config.study import Study
from weakneg.errors import UserError


class Cost(NamedTuple):
    """Of trainings, their test included.

    models : seeds of runs
    steps : of the optimiser
    trained, scored : clips; of `scored`, those to choose from, to validate and to test. (Positives
        are left out, which some strategies look at, too.)
    """

    models: int
    steps: int
    trained: int
    scored: int

    def hours(self, trained_per_second: float, scored_per_second: float) -> float:
        return (self.trained / trained_per_second + self.scored / scored_per_second) / 3600


def model_cost(settings: RunSettings, n_positive: int, n_negative: int, n_test: int) -> Cost:
    """Of one seed, with so many clips for training, those for validation included, and for test."""
    training, sampling = settings.training, settings.sampling

    held_out = [n_validation(n, training.validation_fraction) for n in (n_positive, n_negative)]
    positives, pool = n_positive - held_out[0], n_negative - held_out[1]
    budget = n_chosen(sampling.negatives_per_positive, positives, pool)
    takes_all = strategies.ignores_budget(settings.strategy)

    chosen = [budget] * sampling.warmup_epochs
    chosen += [pool if takes_all else budget] * (training.epochs - sampling.warmup_epochs)
    trained = [positives + negatives for negatives in chosen]
    scored = n_test + sum(held_out) * training.epochs
    if not takes_all and settings.strategy != "random":
        choices = math.ceil((training.epochs - sampling.warmup_epochs) / sampling.resample_every)
        scored += n_candidates(sampling.candidate_fraction, budget, pool) * choices
    steps = sum(math.ceil(n / training.batch_size) for n in trained)
    return Cost(1, steps, sum(trained), scored)


def study_cost(study: Study) -> Cost:
    """Of all models of a study. Raises UserError where the size of its classes is not known."""
    counts = study.dataset.training_counts
    if study.audio is None or counts is None:
        raise UserError(
            f"what {study.name} costs cannot be said: {study.dataset.name} is not sound, or does "
            "not say how many clips its classes have."
        )
    n_train, n_test = study.split_sizes["train"], study.split_sizes["test"]
    runs = [RunSettings.of(study, run) for run in set(study.runs.values())]
    costs = [
        model_cost(settings, counts[name], n_train - counts[name], n_test)
        for settings in runs
        for name in study.classes
    ]
    return Cost(*(len(study.seeds) * sum(column) for column in zip(*costs, strict=True)))


def cost_text(study: Study) -> str:
    """One line for people. Raises UserError as `study_cost` does."""
    cost = study_cost(study)
    jobs = cost.models // len(study.seeds)
    return (
        f"{study.name}: {jobs:,} training jobs, {cost.models:,} models; at most "
        f"{cost.steps:,} steps of {study.training.batch_size} clips, {cost.trained / 1e6:,.1f} "
        f"million clips trained, {cost.scored / 1e6:,.1f} million scored"
    )

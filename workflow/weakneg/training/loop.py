"""The training loop, the same for every study.

In every epoch that resamples, the strategy chooses k negative bags from the pool. Then the model
trains on all positive bags and the chosen negatives, and is validated. The weights of the best
epoch are kept.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from weakneg import losses, strategies
from weakneg.bags.split import n_candidates, n_chosen, split_validation
from weakneg.errors import UserError
from weakneg.jobs.device import peak_memory_bytes, synchronise
from weakneg.losses.batch import Batch
from weakneg.models import bag_classifier, dense_classes
from weakneg.models.dense import is_dense, vector
from weakneg.strategies.pool import Pool, Scores, Selection
from weakneg.training import batches, together
from weakneg.training.adam import Adam
from weakneg.training.data import BagData, score_bags
from weakneg.training.labels import LabelRecord
from weakneg.training.ranking import (
    best_thresholds,
    of_classes,
    ranking_metrics,
    tied_at_the_ends,
)

if TYPE_CHECKING:
    from weakneg.config.stages import RunSettings

State = dict[str, Any]
"""All that a seed needs to continue after an epoch, in types that `torch.load(weights_only=True)`
can read.

epoch : int
    The last finished epoch, 0 before the first.
finished : bool
    Whether training has ended.
model, optimizer, best_model : dict
    State dicts; `best_model` is that of the best epoch.
thresholds, tied : dict
    Those of the best epoch, see `best_thresholds` and `tied_at_the_ends`. Missing where there are
    many classes.
validation : dict
    Of the best epoch: label (B,) int8 and logit (B,) float64 of the validation bags. Of C classes,
    label (B, C), which is -1 where it is not known, and logit (B, C) float32.
chosen : (k,) int64
    Rows of the negative bags in use.
weights : (k,) float64
    Their weights. Missing if all are 1.
history, timing : list of dict
    One dictionary per epoch.
selections : list of dict
    One dictionary per selection: epoch, bags (k,) int32 (rows of the manifest), scores (k,)
    float32, and, if they are not all 1, weights (k,) float32.
loss : dict of str to Tensor
    What the loss keeps about the bags of the manifest, see `weakneg.losses`.
trained : list of dict
    Empty unless the loss may doubt labels, or positives are hidden. One dictionary per epoch, of
    the n bags of the pool that it trained on, in order: epoch, bags (n,) int32, logits (n,)
    float32, and treatment (n,) uint8, what the loss did with their labels.
labels : list of dict
    Only where there are many classes. One dictionary per epoch: epoch, and what
    `LabelRecord.of_epoch` returns.
n_positive, n_pool : int
    Numbers of positive training bags and of the others, which are negative or unknown, without
    those for validation. Of many classes, lists with a number for each.

A finished state has no `model`, `optimizer`, `loss`, `chosen` and `weights`.
"""


def random_generator(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """Make the random generator for a purpose and an epoch of a seed.

    As each has its own, the random numbers of an epoch do not depend on what came before, and a
    resumed run needs no generator state.

    Parameters
    ----------
    seed : int
        The seed.
    purpose : str
        What the numbers are for.
    epoch : int
        The epoch; 0 if the purpose is not tied to one.

    Returns
    -------
    torch.Generator
        On the CPU.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def train_seed(
    data: BagData,
    settings: "RunSettings",
    seed: int,
    state: State | None,
    after_epoch: Callable[[State], None],
    imagenet: dict[str, Tensor] | None = None,
) -> State:
    """Train one seed to the end.

    Parameters
    ----------
    data : BagData
        The bags of the training split.
    settings : RunSettings
        Model, sampling, training, augmentation and strategy.
    seed : int
        The seed.
    state : State or None
        Where to continue an interrupted training; None to start.
    after_epoch : callable
        Called with the state after every epoch, to save it.
    imagenet : dict of str to Tensor, optional
        torchvision's weights, if the encoder starts from them.

    Returns
    -------
    State
        The finished state.

    Raises
    ------
    UserError
        When the validation split is impossible, the training diverges, or there is not enough
        memory.
    """
    seeds = {seed: (data, state)}
    return train_seeds(seeds, settings, lambda _, state: after_epoch(state), imagenet)[seed]


def train_seeds(
    seeds: Mapping[int, tuple[BagData, State | None]],
    settings: "RunSettings",
    after_epoch: Callable[[int, State], None],
    imagenet: dict[str, Tensor] | None = None,
) -> dict[int, State]:
    """Train seeds side by side, epoch by epoch, each to its end.

    Parameters
    ----------
    seeds : mapping of int to tuple
        For each seed its bags and its state, as for `train_seed`. Several only if they can be
        trained together: see `weakneg.training.together`.
    settings : RunSettings
        As for `train_seed`.
    after_epoch : callable
        Called with a seed and its state after every epoch of it, to save the state.
    imagenet : dict of str to Tensor, optional
        As for `train_seed`.

    Returns
    -------
    dict of int to State
        The finished states. They do not depend on which other seeds there are.

    Raises
    ------
    UserError
        As for `train_seed`.
    """
    trainings = {
        seed: _SeedTraining(data, settings, seed, state, imagenet)
        for seed, (data, state) in seeds.items()
    }
    while running := [each for each in trainings.values() if not each.state["finished"]]:
        for each in running:
            each.begin_epoch()
        _train_epoch(running)
        for each in running:
            each.finish_epoch()
            after_epoch(each.seed, each.state)
    return {seed: each.state for seed, each in trainings.items()}


def _train_epoch(seeds: Sequence["_SeedTraining"]) -> None:
    first = seeds[0]
    with first.clock("training"):
        if first.together:
            for each in seeds:
                each.begin_training()
            together.train(seeds)
        else:
            for each in seeds:
                each.begin_training()  # only now, since it seeds dropout, which they share
                each.train()
    # Of the time, each seed gets the share that it has of the steps.
    seconds, steps = first.seconds["training"], sum(len(each.batch_rows) for each in seeds)
    for each in seeds:
        each.seconds["training"] = seconds * len(each.batch_rows) / steps


class _SeedTraining:
    def __init__(
        self,
        data: BagData,
        settings: "RunSettings",
        seed: int,
        state: State | None,
        imagenet: dict[str, Tensor] | None,
    ) -> None:
        self.data, self.settings, self.seed = data, settings, seed
        label = data.bags.label
        truth = label if data.bags.truth is None else data.bags.truth
        fraction = settings.training.validation_fraction
        train, validation = split_validation(truth, fraction, seed, data.group)
        # Of many classes, a bag is positive that is known to be so for any of them.
        positive = (label == 1).reshape(len(label), -1).any(1)
        self.positives = torch.from_numpy(train[positive[train]])
        self.pool = torch.from_numpy(train[~positive[train]])  # negative and unknown bags
        self.validation = data.rows(validation)
        seen = truth if settings.training.validation_labels == "true" else label == 1
        self.validation_label = seen[validation].astype(np.int64)
        self.label_record: LabelRecord | None = None
        if settings.classes is not None:
            known, true = torch.from_numpy(label), torch.from_numpy(truth)
            self.label_record = LabelRecord(known, true, data.device)
        ratio = settings.sampling.negatives_per_positive
        self.budget = n_chosen(ratio, len(self.positives), len(self.pool))
        self.select = strategies.load(settings.strategy, settings.options)
        self.select_randomly = strategies.load("random")
        self.batches = batches.load(settings.augmentation, settings.training.positives)
        loss = settings.training.loss
        self.loss = partial(losses.load(loss.name), **(loss.model_extra or {}))
        self.records = losses.doubts(loss.name) or settings.hidden_positives > 0

        # All strategies start with the same weights, so that comparisons are paired.
        torch.manual_seed(random_generator(seed, "weights").initial_seed())
        n_classes = None if settings.classes is None else len(settings.classes)
        self.model = bag_classifier.load(settings.model, data.instance_shape, n_classes)
        if imagenet is not None:
            encoder: Any = self.model.encoder  # its file defines IMAGENET, so it has the method
            encoder.load_imagenet(imagenet)
        if self.model.mixes_instances and settings.training.batch_size == 1:
            raise UserError(
                f"model {settings.model.name} normalises over the bags of a batch: set training: "
                "batch_size to 2 or more."
            )
        self.model.to(data.device)
        self.logits: Callable[..., Tensor] = self.model
        if dense_classes.possible(self.model, data.device):
            self.logits = partial(dense_classes.logits, self.model)
        self.together = together.possible(settings, data.device) and is_dense(self.model.encoder)
        named = self.model.named_parameters()
        self.learnt = {name: each for name, each in named if each.requires_grad}
        self.optimizer = Adam(
            [vector(self.model)] if self.together else self.learnt.values(),
            learning_rate=settings.training.learning_rate,
            weight_decay=settings.training.weight_decay,
            betas=settings.training.betas,
        )
        # What the loss may know: of the bags for validation, nothing.
        self.loss_labels = data.label.index_fill(0, self.validation, 0)
        self.loss_observed = data.observed.index_fill(0, self.validation, False)
        self.state = state or {
            "epoch": 0,
            "finished": False,
            "chosen": None,
            "history": [],
            "timing": [],
            "selections": [],
            "trained": [],
            "labels": [],
            "loss": losses.initial_state(
                loss.name,
                self.loss_labels,
                self.loss_observed,
                random_generator(seed, "loss"),
            ),
            **self._counts(label[train]),
        }
        if state is not None and not state["finished"]:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        self.loss_state = {
            name: values.to(data.device) for name, values in self.state.get("loss", {}).items()
        }

    def _counts(self, label: np.ndarray) -> dict[str, Any]:
        """Numbers of positive training bags and of the others; of many classes, for each."""
        if self.label_record is None:
            return {"n_positive": len(self.positives), "n_pool": len(self.pool)}
        counts = (label == 1).sum(0)
        return {"n_positive": counts.tolist(), "n_pool": (len(label) - counts).tolist()}

    def begin_epoch(self) -> None:
        """Choose the bags of the next epoch."""
        self.epoch = self.state["epoch"] + 1
        self.seconds = dict.fromkeys(("scoring", "selecting", "training", "evaluating"), 0.0)
        self.resampled = self._choose(self.epoch)

    def finish_epoch(self) -> None:
        """Validate the model, and bring the state up to date."""
        state, training, epoch = self.state, self.settings.training, self.epoch
        train_loss = self._train_loss()
        with self.clock("evaluating"):
            validation_loss, scores = self._validate(epoch)
            ap, roc_auc = self._metrics(scores)

        before = state["history"]
        smoothed = ap
        if before:
            smoothed += training.smoothing * (before[-1]["validation_ap_smoothed"] - ap)
        best = not before or smoothed > max(row["validation_ap_smoothed"] for row in before)
        if best:
            state["best_model"] = {k: v.clone() for k, v in self.model.state_dict().items()}
            label, logit = map(torch.from_numpy, (self.validation_label, scores))
            if self.label_record is not None:
                logit = logit.float()  # half of what would be most of the file
            state["validation"] = {"label": label.to(torch.int8), "logit": logit}
            if self.label_record is None:
                state["thresholds"] = best_thresholds(self.validation_label, scores)
                state["tied"] = tied_at_the_ends(scores)
            for row in before:
                row["best"] = False
        state["history"].append(
            {
                "epoch": epoch,
                "train_loss": train_loss,
                "validation_loss": validation_loss,
                "validation_ap": ap,
                "validation_ap_smoothed": smoothed,
                "validation_roc_auc": roc_auc,
                "learning_rate": self.optimizer.learning_rate,
                "resampled": self.resampled,
                "n_negatives": len(state["chosen"]),
                "bags_trained": len(self.rows) + (before[-1]["bags_trained"] if before else 0),
                "best": best,
            }
        )
        state["timing"].append(
            {"epoch": epoch}
            | {f"seconds_{phase}": seconds for phase, seconds in self.seconds.items()}
            | {"peak_memory_bytes": peak_memory_bytes(self.data.device)}
        )
        state["epoch"] = epoch
        best_epoch = next(row["epoch"] for row in state["history"] if row["best"])
        # Patience counts from the end of the warm-up.
        waited = epoch - max(best_epoch, self.settings.sampling.warmup_epochs)
        out_of_patience = training.patience is not None and waited >= training.patience
        state["finished"] = epoch == training.epochs or out_of_patience
        if state["finished"]:
            for key in ("model", "optimizer", "loss", "chosen", "weights"):
                state.pop(key, None)
        else:
            # Copies: these may be parts of tensors for several seeds, which a file would get whole.
            state["model"] = {k: v.clone() for k, v in self.model.state_dict().items()}
            state["optimizer"] = self.optimizer.state_dict()
            state["loss"] = self.loss_state

    def _metrics(self, scores: np.ndarray) -> tuple[float, float]:
        """Average precision and ROC-AUC on the validation bags; of many classes, their means."""
        if self.label_record is None:
            return ranking_metrics(self.validation_label, scores)
        found = of_classes(self.validation_label, scores)
        if np.isnan(found).all():
            raise UserError(
                f"seed {self.seed}: no class has both positive and negative validation bags: add "
                "data, or increase training: validation_fraction."
            )
        ap, roc_auc = np.nanmean(found, 0).tolist()
        return ap, roc_auc

    def _learning_rate(self, epoch: int, progress: float) -> float:
        """Compute the rate of a step; `progress` (0..1] is the share of the epoch done after it."""
        training = self.settings.training
        rate = training.learning_rate
        if training.schedule == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * (epoch - 1) / training.epochs))
        risen = (epoch - 1 + progress) / training.epochs
        return rate * risen / training.rate_warmup if risen < training.rate_warmup else rate

    def _choose(self, epoch: int) -> bool:
        """Choose the negative bags of this epoch; false if those of the last one stay in use."""
        if self.label_record is not None:
            self.state["chosen"] = self.pool
            return False
        sampling = self.settings.sampling
        since = epoch - 1 - sampling.warmup_epochs  # the strategy's first choice
        if since > 0 and since % sampling.resample_every:
            return False
        with self.clock("selecting"):
            selection = self._selection(epoch, warmup=since < 0)
        self.seconds["selecting"] -= self.seconds["scoring"]
        self.state["chosen"] = selection.ids
        self.state["selections"].append(
            {
                "epoch": epoch,
                "bags": selection.ids.to(torch.int32),
                "scores": selection.scores.to(torch.float32),
            }
        )
        self.state.pop("weights", None)
        if selection.weights is not None:
            self.state["weights"] = selection.weights
            self.state["selections"][-1]["weights"] = selection.weights.to(torch.float32)
        return True

    def _selection(self, epoch: int, warmup: bool) -> Selection:
        def score(rows: Tensor, gradients: bool) -> Scores:
            with self.clock("scoring"):
                scores = score_bags(
                    self.model,
                    self.data,
                    rows.to(self.data.device),
                    self.settings.training.score_batch_size,
                    gradients=gradients,
                )
            return Scores(scores.logits, scores.embeddings, scores.gradients)

        strategy, options = self.settings.strategy, self.settings.options
        takes_all = strategies.ignores_budget(strategy, options) and not warmup
        ids = self.pool if takes_all else self._candidates(epoch)
        pool = Pool(
            ids,
            lambda gradients: score(ids, gradients),
            lambda: score(self.positives, gradients=False),
            strategy=strategy,
            epoch=epoch,
        )
        generator = random_generator(self.seed, "selection", epoch)
        if warmup:
            return self.select_randomly(pool, self.budget, generator)
        try:
            return self.select(pool, self.budget, generator)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"seed {self.seed}, epoch {epoch}: not enough memory on {self.data.device} for "
                f"{strategy} to choose from {len(ids)} bags: lower sampling: "
                "candidate_fraction, or run fewer jobs on it."
            ) from error

    def _candidates(self, epoch: int) -> Tensor:
        """Return the bags to choose from: the pool, or a random share of at least the budget."""
        fraction = self.settings.sampling.candidate_fraction
        n = n_candidates(fraction, self.budget, len(self.pool))
        if n == len(self.pool):
            return self.pool
        generator = random_generator(self.seed, "candidates", epoch)
        return self.pool[torch.randperm(len(self.pool), generator=generator)[:n]]

    def _synthetic(self, epoch: int) -> Tensor:
        """Return the positive bags from which synthetic ones are made, once for each of them."""
        made = self.settings.training.positives
        if made is None:
            return self.positives[:0]
        n, generator = len(self.positives), random_generator(self.seed, "positives", epoch)
        orders = [torch.randperm(n, generator=generator) for _ in range(math.ceil(made.share))]
        return self.positives[torch.cat(orders)[: round(made.share * n)]]

    def begin_training(self) -> None:
        """Put the bags of the epoch in random order, and into batches."""
        epoch, training = self.epoch, self.settings.training
        synthetic = self._synthetic(epoch)
        rows = torch.cat([self.positives, synthetic, self.state["chosen"]])
        n_positive, n_negative = len(self.positives), len(self.state["chosen"])
        weight = training.positive_weight
        self.weight = n_negative / n_positive if weight == "balanced" else weight
        share = len(rows)
        if training.equal == "steps":
            # A strategy that ignores the budget chose more; only a share of it is trained on.
            share -= max(n_negative - self.budget, 0)
        order = self._order(epoch, len(rows))[:share]
        self.rows = rows[order]
        self.of_synthetic = {}
        if training.positives is not None:
            after = order - n_positive
            self.of_synthetic = {"synthetic": (after >= 0) & (after < len(synthetic))}
        # Dropout and the like use the global generators.
        torch.manual_seed(random_generator(self.seed, "model", epoch).initial_seed())
        self.model.train()
        self.loss_state = dict(
            losses.before_epoch(
                training.loss.name, self.loss_state, self.loss_labels, self.loss_observed
            )
        )
        self.augmentation_seed = random_generator(self.seed, "augmentation", epoch).initial_seed()
        self.batch_sizes = self._batch_sizes(len(self.rows))
        self.batch_weights = self._weights(self.rows)
        rows = self.rows.to(self.data.device)
        self.batch_rows = rows.split(self.batch_sizes)
        self.batch_labels = self.data.label[rows].split(self.batch_sizes)
        self.batch_observed = self.data.observed[rows].split(self.batch_sizes)
        self.batch_losses: list[Tensor] = []
        self.trained: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def train(self) -> None:
        """Train on the batches of the epoch."""
        made = self.batches(
            self.data,
            self.rows,
            self.batch_sizes,
            self.settings.augmentation,
            self.augmentation_seed,
            **self.of_synthetic,
        )
        for inputs, label in made:
            loss = self.loss_of_step(self.logits(*inputs), label)
            gradients = torch.autograd.grad(loss, self.optimizer.parameters, allow_unused=True)
            unused = [name for name, g in zip(self.learnt, gradients, strict=True) if g is None]
            if unused:
                raise UserError(
                    f"model {self.settings.model.name}: its output does not depend on its "
                    f"parameters {', '.join(unused)}: remove them, or set their requires_grad to "
                    "False."
                )
            self.optimizer.update(gradients)

    def loss_of_step(self, logits: Tensor, label: Tensor) -> Tensor:
        """Compute the mean loss of the bags of the next step, for their logits and labels (b,)."""
        number, n_batches = len(self.batch_losses), len(self.batch_rows)
        self.optimizer.learning_rate = self._learning_rate(self.epoch, (number + 1) / n_batches)
        bags, observed = self.batch_rows[number], self.batch_observed[number]
        found = self.loss(Batch(logits, label, observed, self.epoch, bags, self.loss_state))
        weight = self.weight
        values = found.values if weight == 1 else found.values * (1 + (weight - 1) * label)
        if self.batch_weights is not None:
            values = values * self.batch_weights[number]
        mean = values.mean()
        for name, of_bags in found.state.items():
            self.loss_state[name].index_copy_(0, bags, of_bags)
        self.batch_losses.append(mean.detach())
        if self.label_record is not None:
            self.label_record.add(bags, logits.detach(), found.treatment)
        elif self.records:
            self.trained.append((bags, logits.detach(), found.treatment))
        return mean

    def _train_loss(self) -> float:
        """Compute the mean loss of the bags of the epoch, and record what was trained on."""
        means = torch.stack(self.batch_losses).double().cpu()  # waits for a GPU only once
        for number, value in enumerate(means.tolist(), start=1):
            if not math.isfinite(value):
                rate = self._learning_rate(self.epoch, number / len(means))
                raise UserError(
                    f"seed {self.seed}, epoch {self.epoch}, batch {number} of {len(means)}, "
                    f"learning rate {rate:g}: the loss is {value}, so the training has diverged; "
                    "lower training: learning_rate."
                )
        if self.label_record is not None:
            of_epoch = self.label_record.of_epoch()
            self.state["labels"].append({"epoch": self.epoch} | of_epoch)
        elif self.records:
            self.state["trained"].append({"epoch": self.epoch} | self._record(self.trained))
        sizes = torch.tensor([len(bags) for bags in self.batch_rows], dtype=torch.float64)
        return (means @ sizes).item() / len(self.rows)

    def _weights(self, rows: Tensor) -> Sequence[Tensor] | None:
        """Return the weights of the bags of each batch, in the order of `rows`; None if all are 1.

        Positive bags have the weight 1, before `positive_weight`.
        """
        if "weights" not in self.state:
            return None
        of_bags = torch.ones(len(self.data.label))
        of_bags[self.state["chosen"]] = self.state["weights"].float()
        mixed = batches.mix(of_bags, rows, self.settings.augmentation, self.augmentation_seed)
        return mixed.to(self.data.device).split(self.batch_sizes)

    def _batch_sizes(self, n: int) -> list[int]:
        """Sizes of the batches of an epoch of n bags.

        A batch normalisation cannot learn from a single bag, so a last one joins the batch before.
        """
        size = self.settings.training.batch_size
        sizes = [min(size, n - first) for first in range(0, n, size)]
        if self.model.mixes_instances and sizes[-1] == 1:
            sizes[-2:] = [sum(sizes[-2:])]
        return sizes

    def _record(self, trained: list[tuple[Tensor, Tensor, Tensor | None]]) -> dict[str, Tensor]:
        """Of the negative bags of an epoch: their logits, and what the loss did with them."""
        bags, logits, treatment = (
            torch.cat(each)
            for each in zip(
                *((b, x, t if t is not None else torch.zeros_like(b)) for b, x, t in trained),
                strict=True,
            )
        )
        negative = self.data.label[bags] == 0
        return {
            "bags": bags[negative].to("cpu", torch.int32),
            "logits": logits[negative].to("cpu", torch.float32),
            "treatment": treatment[negative].to("cpu", torch.uint8),
        }

    def _order(self, epoch: int, n: int) -> Tensor:
        """The order of training (n,) of the n bags of an epoch, of which positives come first."""
        generator = random_generator(self.seed, "order", epoch)
        if self.settings.training.batch_sampling == "shuffled":
            return torch.randperm(n, generator=generator)
        positive = torch.arange(n) < len(self.positives)
        counts = torch.where(positive, len(self.positives), n - len(self.positives))
        return torch.multinomial(1 / counts.double(), n, replacement=True, generator=generator)

    def _validate(self, epoch: int) -> tuple[float, np.ndarray]:
        """Compute the loss and the logits of the validation bags."""
        batch_size = self.settings.training.score_batch_size
        logits = score_bags(self.model, self.data, self.validation, batch_size).logits
        # The cross-entropy, whatever training minimises: runs with other losses are comparable.
        label = torch.from_numpy(self.validation_label).to(logits)
        known = label >= 0
        loss = binary_cross_entropy_with_logits(logits[known], label[known]).item()
        if not math.isfinite(loss):
            raise UserError(
                f"seed {self.seed}, epoch {epoch}: the validation loss is {loss}, so the training "
                "has diverged; lower training: learning_rate."
            )
        return loss, logits.double().cpu().numpy()

    @contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        synchronise(self.data.device)
        start = time.perf_counter()
        yield
        synchronise(self.data.device)
        self.seconds[phase] += time.perf_counter() - start

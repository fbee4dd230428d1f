"""What a strategy sees, the pool of negative bags, and what it returns, a selection.

In shapes, N is the number of bags in the pool, P that of positive training bags, D the width of the
embedding and k the budget.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from weakneg.errors import UserError


@dataclass(frozen=True)
class Scores:
    """What the model computes for N bags, in a fixed order, on one device.

    Attributes
    ----------
    logits : Tensor, (N,) float
        Logit of the bag; higher is more positive: p = sigmoid(logit).
    embeddings : Tensor, (N, D) float
        Input of the last layer, pooled over the bag.
    gradients : callable
        `gradients(loss_label, rows)` gives the (n, G) gradients of the losses of some bags, by
        their positions (n,) int64, with respect to the weights of the last layer. The loss is taken
        at the label of the bag ("known") or at the one that the model finds more likely
        ("hypothesised"). Where the layer has a row for each of the two classes, only the row of
        "positive" is included: the other row is its negative, so the full gradients and the
        distances between them are sqrt(2) times as long.
    """

    logits: Tensor
    embeddings: Tensor
    gradients: Callable[[str, Tensor], Tensor]


@dataclass(frozen=True)
class Selection:
    """The chosen bags.

    Attributes
    ----------
    ids : Tensor, (k,) int64
        Ids of the bags in order of choice, on the CPU.
    scores : Tensor, (k,) float64
        Their scores, on the CPU. Each strategy defines its score; where bags are ranked by it,
        higher scores are chosen first. NaN where the strategy has no score.
    weights : Tensor, (k,) float64, optional
        How much each counts in training, on the CPU: finite and above 0. The weights add up to k,
        at least in expectation, so that negatives count against positives as they do without
        weights. None: all count 1.

    Raises
    ------
    ValueError
        When the weights are not as described.
    """

    ids: Tensor
    scores: Tensor
    weights: Tensor | None = None

    def __post_init__(self) -> None:
        if self.weights is None:
            return
        found = self.weights
        if found.shape != self.ids.shape or found.dtype != torch.float64:
            raise ValueError(
                f"weights must be float64 of shape {tuple(self.ids.shape)}, as the ids, not "
                f"{found.dtype} of {tuple(found.shape)}"
            )
        if not (found.isfinite() & (found > 0)).all():
            raise ValueError("weights must be finite and above 0")


class Pool:
    """The negative bags to choose from, in ascending order of id.

    Bags are scored when a strategy first asks for their scores, so that a strategy does not pay
    for scoring that it does not use. All values are sorted by id, so that the choice does not
    depend on the order in which the ids are given, and the lower id comes first in a tie.

    Parameters
    ----------
    ids : Tensor, (N,) int64
        Distinct ids of the bags, in any order.
    score : callable
        `score(gradients)` gives the `Scores` of the pool, in the order of `ids`; `gradients` says
        whether their gradients will be used.
    score_positives : callable
        `score_positives()` gives the `Scores` of the P positive training bags.
    strategy : str
        Name of the strategy, for error messages.
    epoch : int
        Number of the epoch, from 1.

    Raises
    ------
    ValueError
        When the ids are not distinct, one-dimensional and int64, or do not match the scores.
    UserError
        When scores are NaN or infinite.
    """

    def __init__(
        self,
        ids: Tensor,
        score: Callable[[bool], Scores],
        score_positives: Callable[[], Scores],
        *,
        strategy: str,
        epoch: int,
    ):
        ids = torch.as_tensor(ids).cpu()
        if ids.ndim != 1 or ids.dtype != torch.int64:
            raise ValueError(
                f"ids must be int64 of shape (N,), not {ids.dtype} of {tuple(ids.shape)}"
            )
        self._order = torch.argsort(ids)
        self._sorted = bool((self._order == torch.arange(len(ids))).all())
        self.ids = ids[self._order]
        repeated = self.ids[1:][self.ids[1:] == self.ids[:-1]]
        if len(repeated):
            raise ValueError(
                f"ids must be distinct, but id {int(repeated[0])} occurs more than once"
            )
        self.strategy = strategy
        self.epoch = epoch
        self._score = score
        self._cache: dict[bool, Scores] = {}
        self._score_positives = score_positives

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def logits(self) -> Tensor:
        """Logits (N,) as in `Scores`, sorted by id."""
        return self._scores(gradients=False).logits

    @property
    def embeddings(self) -> Tensor:
        """Embeddings (N, D) as in `Scores`, sorted by id."""
        return self._scores(gradients=False).embeddings

    @cached_property
    def positives(self) -> Scores:
        """The scores of the P positive training bags, in the order given."""
        positives = self._score_positives()
        if not len(positives.logits):
            raise ValueError("there are no positive bags")
        _require_aligned("the positives", positives, len(positives.logits))
        self.require_finite("logits of positive bags", positives.logits)
        self.require_finite("embeddings of positive bags", positives.embeddings)
        return positives

    def gradients(self, loss_label: str, rows: Tensor | None = None) -> Tensor:
        """Gradients as in `Scores`, sorted by id.

        They are computed when they are asked for: those of all bags are large.

        Parameters
        ----------
        loss_label : {"known", "hypothesised"}
            The label at which the loss is taken.
        rows : Tensor, (n,) int64, optional
            Which bags: positions in `ids`; by default all.

        Returns
        -------
        Tensor, (n, G) float
            The gradients.
        """
        scores = self._scores(gradients=True)
        rows = torch.arange(len(self)) if rows is None else rows
        if not self._sorted:
            rows = self._order.to(rows.device)[rows]
        gradients = scores.gradients(loss_label, rows.to(scores.logits.device))
        if gradients.ndim != 2 or len(gradients) != len(rows):
            raise ValueError(f"{len(rows)} bags, but gradients of shape {tuple(gradients.shape)}")
        self.require_finite("gradients", gradients)
        return gradients

    def gradient_norms(self, loss_label: str) -> Tensor:
        """Lengths of the `gradients`, (N,) float64 on the CPU."""
        norms = torch.empty(len(self), dtype=torch.float64)
        for rows in torch.split(torch.arange(len(self)), 1024):
            # In float32 the square of a small gradient is 0.
            block = self.gradients(loss_label, rows)
            norms[rows] = torch.linalg.vector_norm(block, dim=1, dtype=torch.float64).cpu()
        return norms

    def score_once(self) -> None:
        """Score the bags with their gradients, for whoever will ask for them.

        A strategy that looks at the scores and then hands a `part` of the pool to another calls
        this first. Otherwise the bags are scored again if the other one asks for gradients.
        """
        self._scores(gradients=True)

    def part(self, rows: Tensor) -> "Pool":
        """Some bags of the pool, as if there were no others.

        The scores are those of this pool, and are only computed when they are asked for.

        Parameters
        ----------
        rows : Tensor, (n,) int64
            Which bags: distinct positions in `ids`, in any order.

        Returns
        -------
        Pool
            Their pool, in ascending order of id.
        """
        return _Part(self, rows.cpu().sort().values)

    def clamp(self, k: int) -> int:
        """The number of bags to choose: k, or the size of the pool if that is smaller."""
        if k < 0:
            raise ValueError(f"the budget k must be at least 0, not {k}")
        return min(k, len(self))

    def require_finite(self, what: str, values: Tensor) -> None:
        """Refuse scores that are NaN or infinite.

        Parameters
        ----------
        what : str
            Name of the values in the message, such as "logits".
        values : Tensor
            The values, of any shape.

        Raises
        ------
        UserError
            Naming strategy and epoch, when a value is NaN or infinite.
        """
        if torch.isfinite(values.sum()):  # one pass, where counting takes several
            return
        bad = int((~torch.isfinite(values)).sum())
        if bad:  # a sum of finite values may overflow
            raise UserError(
                f"strategy {self.strategy!r}, epoch {self.epoch}: {bad} of {values.numel()} {what} "
                "are NaN or infinite, so the training has diverged; lower the learning rate."
            )

    def _scores(self, gradients: bool) -> Scores:
        """The scores of the pool, sorted by id except for the gradients."""
        # Scores that were computed with gradients serve both cases.
        scores = self._cache.get(True) or self._cache.get(gradients)
        if scores is None:
            scores = self._score(gradients)
            _require_aligned("the pool", scores, len(self))
            self.require_finite("logits", scores.logits)
            self.require_finite("embeddings", scores.embeddings)
            by_id = self._by_id
            scores = Scores(by_id(scores.logits), by_id(scores.embeddings), scores.gradients)
            self._cache[gradients] = scores
        return scores

    def _by_id(self, values: Tensor) -> Tensor:
        return values if self._sorted else values[self._order.to(values.device)]


class _Part(Pool):
    """Some bags of a pool; see `Pool.part`."""

    def __init__(self, whole: Pool, rows: Tensor):
        self.ids = whole.ids[rows]
        self.strategy, self.epoch = whole.strategy, whole.epoch
        self._whole, self._rows = whole, rows

    @cached_property
    def logits(self) -> Tensor:
        return self._of_part(self._whole.logits)

    @cached_property
    def embeddings(self) -> Tensor:
        return self._of_part(self._whole.embeddings)

    @property
    def positives(self) -> Scores:
        return self._whole.positives

    def gradients(self, loss_label: str, rows: Tensor | None = None) -> Tensor:
        rows = self._rows if rows is None else self._rows.to(rows.device)[rows]
        return self._whole.gradients(loss_label, rows)

    def score_once(self) -> None:
        self._whole.score_once()

    def _of_part(self, values: Tensor) -> Tensor:
        return values[self._rows.to(values.device)]


def _require_aligned(of: str, scores: Scores, n: int) -> None:
    logits, embeddings = tuple(scores.logits.shape), tuple(scores.embeddings.shape)
    if logits != (n,) or len(embeddings) != 2 or embeddings[0] != n:
        raise ValueError(
            f"{of} has {n} bags, but logits of {logits} and embeddings of {embeddings}"
        )


def top_k(pool: Pool, scores: Tensor, k: int) -> Selection:
    """The k bags with the highest scores, highest first, the lower id first in a tie.

    Parameters
    ----------
    pool : Pool
        The bags to choose from.
    scores : Tensor, (N,) float
        A score per bag, in the order of `pool.ids`.
    k : int
        The budget.

    Returns
    -------
    Selection
        The chosen bags.

    Raises
    ------
    UserError
        When a score is NaN or infinite.
    """
    pool.require_finite("scores", scores)
    scores = scores.double()
    order = highest(scores, pool.clamp(k))
    return Selection(pool.ids[order.cpu()], scores[order].cpu())


def highest(values: Tensor, k: int) -> Tensor:
    """Positions (k,) of the k highest of values (N,), highest first, the lower one in a tie."""
    if not 0 < k < len(values):
        return torch.argsort(values, descending=True, stable=True)[:k]
    # torch.topk does not define which of equal values it takes.
    candidates = (values >= values.topk(k).values[-1]).nonzero()[:, 0]
    return candidates[torch.argsort(values[candidates], descending=True, stable=True)[:k]]


def most_uncertain(pool: Pool, k: int) -> Selection:
    """The k bags whose probability p = sigmoid(logit) is nearest to 1/2; score: -|logit|.

    For two classes, margin, entropy and least confidence are strictly monotone in |logit|, so all
    three give this ranking. Computed by their own formulas, they would lose it to rounding: entropy
    is flat around p = 1/2 (in float32, thousands of probabilities within 0.001 of it share a few
    dozen entropies), and the margin is 1 for every large logit.
    """
    return top_k(pool, -pool.logits.double().abs(), k)

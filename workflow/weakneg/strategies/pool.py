"""What a strategy sees, the pool of negative bags, and what it returns, a selection.

N: bags in the pool; P: positive training bags; D: width of the embedding; k: budget.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from weakneg.errors import UserError


@dataclass(frozen=True)
class Scores:
    """What the model says about N bags, in a fixed order, on one device.

    logits      (N,) the bag's logit, higher is more positive: p = sigmoid(logit)
    embeddings  (N, D) the input of the last layer, pooled over the bag
    gradients   loss_label -> (N, G), the gradient of the bag's loss with respect to the last
                layer's weights; for which label the loss is taken: "known" (the bag's own) or
                "hypothesised" (the one the model finds more likely). Of a layer with a row for each
                of the two classes only the row of class "positive" is there. The other is its
                negative, so the full gradient is sqrt(2) times as long, and distances between
                gradients scale alike.
    """

    logits: Tensor
    embeddings: Tensor
    gradients: Callable[[str], Tensor]


@dataclass(frozen=True)
class Selection:
    """The chosen bags.

    ids     (k,) int64 on the CPU, in order of choice
    scores  (k,) float64 on the CPU, aligned with ids

    What a score means is said by its strategy; where bags are ranked by it, higher is chosen
    sooner. It is NaN where a strategy has none.
    """

    ids: Tensor
    scores: Tensor


class Pool:
    """The negative bags to choose from, in ascending order of id.

    ids       (N,) int64, distinct, in any order
    score     gradients -> Scores of the pool, aligned with the ids as given; `gradients` says
              whether the gradients of the scores will be asked for
    score_positives   () -> Scores of the positive training bags
    strategy  name for error messages
    epoch     number for error messages

    Each of the two is called when a strategy first asks for a number of it: a strategy costs no
    scoring that it does not need. Everything is presented sorted by id, whatever the order of
    the ids given: so a choice does not depend on that order, and the lower id comes first in a tie.
    ValueError: ids that are not int64, of one dimension and distinct, or scores that do not fit
    them. UserError: scores that are NaN or infinite.
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
        """(N,) as in `Scores`, sorted by id."""
        return self._scores(gradients=False).logits

    @property
    def embeddings(self) -> Tensor:
        """(N, D) as in `Scores`, sorted by id."""
        return self._scores(gradients=False).embeddings

    @cached_property
    def positives(self) -> Scores:
        """The scores of the P positive bags, in the order in which they were given."""
        positives = self._score_positives()
        if not len(positives.logits):
            raise ValueError("there is no positive bag")
        _require_aligned("the positives", positives, len(positives.logits))
        self.require_finite("logits of positive bags", positives.logits)
        self.require_finite("embeddings of positive bags", positives.embeddings)
        return positives

    def gradients(self, loss_label: str) -> Tensor:
        """(N, G) as in `Scores`, sorted by id; loss_label: "known" or "hypothesised"."""
        gradients = self._scores(gradients=True).gradients(loss_label)
        if gradients.ndim != 2 or len(gradients) != len(self):
            raise ValueError(f"{len(self)} ids, but gradients of shape {tuple(gradients.shape)}")
        self.require_finite("gradients", gradients)
        return gradients[self._order.to(gradients.device)]

    def clamp(self, k: int) -> int:
        """The number of bags to choose: k, or all of the pool where it has fewer."""
        if k < 0:
            raise ValueError(f"the budget k must be at least 0, not {k}")
        return min(k, len(self))

    def require_finite(self, what: str, values: Tensor) -> None:
        """UserError, naming strategy and epoch, if one of the values is NaN or infinite."""
        bad = int((~torch.isfinite(values)).sum())
        if bad:
            raise UserError(
                f"strategy {self.strategy!r}, epoch {self.epoch}: {bad} of {values.numel()} {what} "
                "are NaN or infinite, so the training has diverged; lower the learning rate."
            )

    def _scores(self, gradients: bool) -> Scores:
        """The scores of the pool, sorted by id but for the gradients."""
        # A model scores with gradients or without; what was scored with them serves both.
        scores = self._cache.get(True) or self._cache.get(gradients)
        if scores is None:
            scores = self._score(gradients)
            _require_aligned("the pool", scores, len(self))
            self.require_finite("logits", scores.logits)
            self.require_finite("embeddings", scores.embeddings)
            order = self._order.to(scores.logits.device)
            scores = Scores(scores.logits[order], scores.embeddings[order], scores.gradients)
            self._cache[gradients] = scores
        return scores


def _require_aligned(of: str, scores: Scores, n: int) -> None:
    logits, embeddings = tuple(scores.logits.shape), tuple(scores.embeddings.shape)
    if logits != (n,) or len(embeddings) != 2 or embeddings[0] != n:
        raise ValueError(
            f"{of} has {n} bags, but logits of {logits} and embeddings of {embeddings}"
        )


def top_k(pool: Pool, scores: Tensor, k: int) -> Selection:
    """The k bags of the highest scores (N,), highest first, the lower id first in a tie."""
    pool.require_finite("scores", scores)
    # torch.topk leaves the order of ties open; a stable sort keeps that of the ids.
    ranked, order = torch.sort(scores.double(), descending=True, stable=True)
    k = pool.clamp(k)
    return Selection(pool.ids[order[:k].cpu()], ranked[:k].cpu())


def most_uncertain(pool: Pool, k: int) -> Selection:
    """The k bags whose probability p = sigmoid(logit) is nearest to 1/2; score: -|logit|.

    For two classes margin, entropy and least confidence are strictly monotone in |logit|, so this
    is the ranking of each of them. Ranking by the formulas themselves would lose it to rounding:
    entropy is flat around p = 1/2 (in float32, thousands of probabilities within 0.001 of it share
    a few dozen entropies) and the margin is 1 for every large logit.
    """
    return top_k(pool, -pool.logits.double().abs(), k)

"""Which bags are left out, and that the others are a pool like any other."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from weakneg.errors import UserError
from weakneg.strategies import load
from weakneg.strategies.pool import Pool, Scores, Selection
from weakneg.strategies.trimmed import select

INNER = [
    {"strategy": "random"},
    {"strategy": "full"},
    {"strategy": "margin"},
    {"strategy": "kl_embedding"},
    {"strategy": "svm_margin"},
    {"strategy": "semi_hard"},
    {"strategy": "gradient_embedding", "loss_label": "known"},
    {"strategy": "badge", "loss_label": "known"},
    {"strategy": "badge", "loss_label": "hypothesised"},
]


class Counted:
    """A pool of bags with numbers of their own, and what is asked of it."""

    def __init__(self, ids, logits, epoch=1):
        self.ids, self.logits, self.epoch = torch.tensor(ids), torch.tensor(logits), epoch
        generator = torch.Generator().manual_seed(len(ids))
        self.embeddings = torch.randn(len(ids), 3, generator=generator)
        self.asked = []

    def pool(self, kept=slice(None)):
        logits, embeddings = self.logits[kept], self.embeddings[kept]

        def gradients(loss_label, rows):
            if self.asked[-1] != f"gradients {loss_label}":  # asked for in blocks
                self.asked.append(f"gradients {loss_label}")
            y = {"known": torch.zeros_like(logits), "hypothesised": (logits > 0).float()}
            return ((logits.sigmoid() - y[loss_label])[:, None] * embeddings)[rows]

        def score(with_gradients):
            self.asked.append("scores")
            return Scores(logits, embeddings, gradients if with_gradients else None)

        def score_positives():
            self.asked.append("positives")
            return Scores(torch.tensor([0.5, 2.0]), torch.ones(2, 3) * 2, None)

        return Pool(self.ids[kept], score, score_positives, strategy="trimmed", epoch=self.epoch)


def rest(ids, logits, n):
    """Positions of the bags that stay: all but the n with the highest logits, then ids."""
    ranked = sorted(range(len(ids)), key=lambda row: (logits[row], ids[row]))
    return torch.tensor(ranked[: len(ids) - n], dtype=torch.int64)


def left(n, k, epoch=1, **options):
    """The number of bags that the inner strategy sees."""
    seen = []

    def then(pool, k, generator):
        seen.append(len(pool))
        return Selection(pool.ids[:k], torch.zeros(k))

    pool = Counted(list(range(n)), [float(bag) for bag in range(n)], epoch).pool()
    select(pool, k, torch.Generator(), **options, then=then)
    return seen[0]


@pytest.mark.parametrize("inner", INNER, ids=lambda inner: "-".join(inner.values()))
@settings(max_examples=25, deadline=None)
@example(logits=[0.0], share=1.0, k=0, seed=0)  # nothing is left
@given(
    logits=st.lists(st.integers(-2, 2).map(float), min_size=1, max_size=30),
    share=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]),
    k=st.integers(0, 30),
    seed=st.integers(0, 99),
)
def test_the_rest_is_chosen_from_as_if_there_were_no_other_bags(inner, logits, share, k, seed):
    ids = (5 * torch.randperm(len(logits), generator=torch.Generator().manual_seed(seed))).tolist()
    data = Counted(ids, logits)
    one, other = (torch.Generator().manual_seed(seed) for _ in range(2))
    options = {key: value for key, value in inner.items() if key != "strategy"}
    n = min(round(share * len(ids)), max(len(ids) - k, 0))
    found = load("trimmed", {"share": share, "then": inner})(data.pool(), k, one)
    expected = load(inner["strategy"], options)(data.pool(rest(ids, logits, n)), k, other)
    assert found.ids.tolist() == expected.ids.tolist()
    assert torch.equal(found.scores.nan_to_num(), expected.scores.nan_to_num())
    assert torch.equal(one.get_state(), other.get_state())


@pytest.mark.parametrize(
    ("n", "share", "remain"),
    [(20, 0.02, 20), (30, 0.02, 29), (100, 0.29, 71), (25, 0.1, 23), (35, 0.1, 31), (8, 1.0, 3)],
)
def test_the_share_is_rounded_and_leaves_the_budget(n, share, remain):
    """A half goes to the even number: 2.5 to 2 and 3.5 to 4."""
    assert left(n, 3, share=share) == remain


def test_no_bag_is_left_out_of_a_pool_that_is_not_larger_than_the_budget():
    assert [left(10, k, share=0.5) for k in (4, 5, 6, 9, 10, 11)] == [5, 5, 6, 9, 10, 10]


def test_the_share_grows_from_the_second_epoch_on():
    grown = [left(100, 1, epoch, share=0.2, over_epochs=4) for epoch in (1, 2, 3, 4, 5, 6, 50)]
    assert grown == [100, 95, 90, 85, 80, 80, 80]
    assert [left(100, 1, epoch, share=0.2) for epoch in (1, 50)] == [80, 80]


@pytest.mark.parametrize(
    ("inner", "asked"),
    [
        ({"strategy": "random"}, ["scores"]),
        ({"strategy": "margin"}, ["scores"]),
        ({"strategy": "kl_probability"}, ["scores", "positives"]),
        ({"strategy": "badge", "loss_label": "known"}, ["scores", "gradients known"]),
        (
            {"strategy": "trimmed", "then": {"strategy": "badge", "loss_label": "known"}},
            ["scores", "gradients known"],
        ),
    ],
)
def test_nothing_is_scored_twice_or_in_vain(inner, asked):
    data = Counted(list(range(50)), [float(bag % 7) for bag in range(50)])
    load("trimmed", {"share": 0.1, "then": inner})(data.pool(), 5, torch.Generator())
    assert data.asked == asked


def test_a_part_of_a_pool_shares_its_positives():
    data = Counted([3, 1, 2], [0.0, 1.0, 2.0])
    pool = data.pool()
    parts = [pool.part(torch.tensor(rows)) for rows in ([2, 0], [1])]
    assert [part.ids.tolist() for part in parts] == [[1, 3], [2]]
    assert [part.logits.tolist() for part in parts] == [[1.0, 0.0], [2.0]]
    assert parts[0].positives is parts[1].positives is pool.positives
    assert data.asked == ["scores", "positives"]


def test_the_choice_is_that_of_the_last_strategy_where_one_leaves_bags_out_after_another():
    # Of ten bags, the first leaves out 9 and 8, and the second a quarter of the others: 7 and 6.
    data = Counted(list(range(10)), [float(bag) for bag in range(10)])
    inner = {"strategy": "trimmed", "share": 0.25, "then": {"strategy": "full"}}
    chosen = load("trimmed", {"share": 0.2, "then": inner})(data.pool(), 2, torch.Generator())
    assert chosen.ids.tolist() == list(range(6))


def test_a_bag_whose_scores_are_not_finite_is_an_error_even_if_it_would_be_left_out():
    data = Counted([0, 1, 2], [0.0, 1.0, torch.inf])
    with pytest.raises(UserError, match="strategy 'trimmed', epoch 1: 1 of 3 logits"):
        load("trimmed", {"share": 0.4, "then": {"strategy": "full"}})(
            data.pool(), 1, torch.Generator()
        )

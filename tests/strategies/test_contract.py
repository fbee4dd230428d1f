"""The contract of every strategy: a file in strategies/ enters by itself, with all its options."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weakneg import plugins, strategies
from weakneg.errors import UserError
from weakneg.strategies.pool import Pool, Scores, Selection, top_k

TRIED = {
    ("cluster_aware", "clusters"): (3, 128),
    ("cluster_aware", "positive_share"): (0.0, 0.5),
    ("dns", "candidates"): (1, 4),
    ("false_negative_elimination", "share"): (0.3,),
    ("gibbs", "beta"): (2.0,),
    ("gibbs", "of"): (
        {"strategy": "margin"},
        {"strategy": "gradient_embedding", "loss_label": "known"},
        {"strategy": "semi_hard", "quantile": 0.8},
    ),
    ("importance_sampling", "uniform"): (0.0, 0.1, 1.0),
    ("info_batch", "pruned"): (0.0, 0.5, 0.9),
    ("positive_cutoff", "share"): (0.0, 0.95),
    ("power", "beta"): (2.0,),
    ("power", "of"): (
        {"strategy": "hardest"},
        {"strategy": "gradient_embedding", "loss_label": "hypothesised"},
    ),
    ("selective_backprop", "beta"): (0.0, 1.0, 4.0),
    ("semi_hard", "quantile"): (0.0, 0.5, 1.0),
    ("simans", "a"): (0.5,),
    ("simans", "b"): (-1.0,),
    ("star", "share"): (0.0, 0.5),
    ("trimmed", "share"): (0.3,),
    ("trimmed", "over_epochs"): (0, 8),
    ("trimmed", "then"): (
        {"strategy": "random"},
        {"strategy": "margin"},
        {"strategy": "full"},
        {"strategy": "badge", "loss_label": "known"},
        {"strategy": "importance_sampling", "uniform": 0.1},
        {"strategy": "semi_hard", "quantile": 0.8},
        {"strategy": "trimmed", "share": 0.5, "then": {"strategy": "gradient_embedding"}},
    ),
}


def _cases():
    for name in strategies.names():
        found = strategies.options(name)
        for values in itertools.product(*(_values(name, *item) for item in found.items())):
            chosen = dict(zip(found, values, strict=True))
            words = "-".join(strategies.composition(name, chosen))
            own = (str(value) for value in values if not isinstance(value, dict))
            yield pytest.param(name, chosen, id="-".join([words, *own]))


def _values(name, option, found):
    """The values with which the contract is tried: all, where they can be listed."""
    if (name, option) in TRIED:
        return TRIED[name, option]
    if found.allowed is bool:
        return (False, True)
    if isinstance(found.allowed, tuple):
        return found.allowed
    raise TypeError(f"say here which values of {name}'s option {option!r} to try")


every_strategy = pytest.mark.parametrize(("name", "options"), list(_cases()))
quick = settings(max_examples=15, deadline=None)


class Data:
    """The numbers of a pool of n bags: small and partly tied, as `spread` says."""

    def __init__(self, n, d=3, positives=2, seed=0, dtype=torch.float32, spread=1.0):
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return (spread * torch.randn(*shape, generator=generator)).to(dtype)

        # Ids that are neither positions nor sorted.
        self.ids = 3 * torch.randperm(n, generator=generator) + 7
        self.embeddings, self.logits = normal(n, d) + 1.1, normal(n) + 0.37
        self.positive_embeddings, self.positive_logits = normal(positives, d) + 2, normal(positives)
        self.gradients = {
            "known": self.logits.sigmoid()[:, None] * self.embeddings,
            "hypothesised": (self.logits.sigmoid() - (self.logits > 0).to(dtype))[:, None]
            * self.embeddings,
        }
        self.labels = []
        self.calls = 0
        self.positive_calls = 0

    def score(self, order=None):
        self.calls += 1
        order = torch.arange(len(self.ids)) if order is None else order

        def gradients(label, rows):
            self.labels.append(label)
            return self.gradients[label][order][rows]

        return Scores(self.logits[order], self.embeddings[order], gradients)

    def score_positives(self):
        self.positive_calls += 1
        return Scores(self.positive_logits, self.positive_embeddings, lambda label: None)

    def pool(self, order=None, name="the strategy", epoch=4):
        ids = self.ids if order is None else self.ids[order]
        return Pool(
            ids,
            lambda gradients: self.score(order),
            self.score_positives,
            strategy=name,
            epoch=epoch,
        )

    def select(self, name, options, k, order=None, seed=0) -> Selection:
        generator = torch.Generator().manual_seed(seed)
        return strategies.load(name, options)(self.pool(order), k, generator)


def _expected_length(name, options, n, k):
    if not strategies.ignores_budget(name, options):
        return min(n, k)
    if name == "trimmed":  # then full, in epoch 4
        grown = 3 / options["over_epochs"] if options["over_epochs"] else 1
        return max(n - round(grown * options["share"] * n), min(n, k))
    return n


@every_strategy
@quick
@given(
    n=st.integers(1, 40),
    k=st.integers(0, 45),
    d=st.integers(1, 4),
    positives=st.integers(1, 3),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 99),
)
def test_min_of_k_and_n_distinct_ids_out_of_the_pool(
    name, options, n, k, d, positives, dtype, seed
):
    data = Data(n, d, positives, seed, dtype)
    selection = data.select(name, options, k)
    assert selection.ids.dtype == torch.int64
    assert (
        len(set(selection.ids.tolist()))
        == len(selection.ids)
        == _expected_length(name, options, n, k)
    )
    assert set(selection.ids.tolist()) <= set(data.ids.tolist())
    assert selection.scores.dtype == torch.float64
    assert selection.scores.shape == selection.ids.shape
    if selection.weights is not None:
        assert selection.weights.dtype == torch.float64
        assert selection.weights.shape == selection.ids.shape
        assert (selection.weights.isfinite() & (selection.weights > 0)).all()


@every_strategy
@pytest.mark.parametrize("k", [0, 1, 9, 10, 11, 1000])
def test_the_budget_is_clamped_to_the_pool(name, options, k):
    chosen = Data(10).select(name, options, k).ids
    assert len(chosen.unique()) == len(chosen) == _expected_length(name, options, 10, k)


@every_strategy
@pytest.mark.parametrize("k", [0, 1, 2])
def test_a_pool_of_one_bag(name, options, k):
    assert len(Data(1).select(name, options, k).ids) == _expected_length(name, options, 1, k)


@every_strategy
def test_the_same_generator_state_gives_the_same_selection(name, options):
    first, second = (Data(30).select(name, options, 12, seed=5) for _ in range(2))
    _assert_same(first, second)


def _assert_same(a: Selection, b: Selection) -> None:
    assert a.ids.tolist() == b.ids.tolist()
    assert torch.equal(a.scores.nan_to_num(), b.scores.nan_to_num())
    assert (a.weights is None) == (b.weights is None)
    assert a.weights is None or torch.equal(a.weights, b.weights)


@every_strategy
def test_random_numbers_come_from_the_generator_alone(name, options):
    before = torch.get_rng_state()
    Data(30).select(name, options, 12)
    assert torch.equal(before, torch.get_rng_state())


@every_strategy
@quick
@given(n=st.integers(2, 40), seed=st.integers(0, 99), spread=st.sampled_from([0.0, 1.0]))
def test_the_order_in_which_the_pool_is_given_does_not_matter(name, options, n, seed, spread):
    data = Data(n, seed=seed, spread=spread)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    given, shuffled = data.select(name, options, 7), data.select(name, options, 7, order)
    _assert_same(given, shuffled)


@every_strategy
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_a_pool_of_more_bags_than_are_looked_at_together(name, options, spread):
    """Large pools are gone through in blocks. Silent recordings have equal bags."""
    data = Data(2500, spread=spread)
    order = torch.randperm(2500, generator=torch.Generator().manual_seed(1))
    given = data.select(name, options, 20)
    assert len(given.ids.unique()) == _expected_length(name, options, 2500, 20)
    _assert_same(given, data.select(name, options, 20, order))


@every_strategy
def test_of_nothing_nothing_is_chosen(name, options):
    """As when another strategy has left out the whole pool."""
    found = Data(0).select(name, options, 3)
    assert len(found.ids) == len(found.scores) == 0


@pytest.mark.parametrize(
    ("name", "options"), [case for case in _cases() if strategies.ranks(case.values[0])]
)
@quick
@given(n=st.integers(1, 40), k=st.integers(0, 40), seed=st.integers(0, 99))
def test_a_smaller_budget_only_ends_a_ranking_earlier(name, options, n, k, seed):
    data = Data(n, seed=seed)
    whole, part = data.select(name, options, n), data.select(name, options, k)
    assert torch.equal(part.ids, whole.ids[:k])
    assert torch.equal(part.scores, whole.scores[:k])
    assert (whole.scores.diff() <= 0).all()


@every_strategy
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [2, 7, 67])
def test_identical_bags_are_taken_at_random_or_by_ascending_id(name, options, n, dtype):
    data = Data(n, d=17, dtype=dtype, spread=0.0)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    ids = strategies.load(name, options)(data.pool(), n - 1, generator).ids
    assert len(ids.unique()) == _expected_length(name, options, n, n - 1)
    if torch.equal(before, generator.get_state()):
        assert ids.tolist() == sorted(data.ids.tolist())[: len(ids)]


@every_strategy
def test_inputs_are_left_as_they_were(name, options):
    data, same = Data(20), Data(20)
    data.select(name, options, 8)
    for field in ("ids", "logits", "embeddings", "positive_logits", "positive_embeddings"):
        assert torch.equal(getattr(data, field), getattr(same, field))
    for label in ("known", "hypothesised"):
        assert torch.equal(data.gradients[label], same.gradients[label])


@every_strategy
def test_the_pool_is_scored_once_and_only_for_a_strategy_that_has_scores(name, options):
    data = Data(20)
    pool = data.pool()
    selection = strategies.load(name, options)(pool, 8, torch.Generator())
    leaves_bags_out = len(strategies.composition(name, options)) > 1
    assert data.calls == (leaves_bags_out or bool(selection.scores.isfinite().all()))
    assert data.positive_calls <= data.calls


@every_strategy
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(
    "field", ["logits", "embeddings", "positive_logits", "positive_embeddings", "gradients"]
)
def test_scores_that_are_not_finite_are_an_error_naming_strategy_and_epoch(
    name, options, field, bad
):
    data = Data(10)
    if field == "gradients":
        for gradients in data.gradients.values():
            gradients[:, 1] = bad  # of all bags: some are left out before gradients are looked at
    else:
        getattr(data, field)[1] = bad
    pool = data.pool(name=name, epoch=17)
    generator = torch.Generator()
    try:
        strategies.load(name, options)(pool, 3, generator)
        complaint = None
    except UserError as error:
        complaint = str(error)
    looked_at = {"gradients": data.labels}.get(field, data.calls)
    if field.startswith("positive"):
        looked_at = data.positive_calls
    if not looked_at:
        assert complaint is None, "a strategy that does not look at the scores has nothing to say"
    else:
        assert f"strategy {name!r}, epoch 17: " in complaint
        assert "NaN or infinite" in complaint


@every_strategy
def test_the_label_of_the_gradient_is_the_one_asked_for(name, options):
    data = Data(10)
    data.select(name, options, 3)
    *_, innermost = strategies.composition(name, options)
    asked = {innermost: options} | {each["strategy"]: each for each in _inner(options)}
    has_label = "loss_label" in strategies.options(innermost)
    expected = {asked[innermost].get("loss_label", "hypothesised")} if has_label else set()
    if innermost == "importance_sampling":  # of the loss that training minimises
        expected = {"known"}
    assert set(data.labels) == expected


def _inner(options):
    """The strategies in options, and those in theirs."""
    for value in options.values():
        if isinstance(value, dict):
            yield from (value, *_inner(value))


def test_the_gradient_strategies_use_the_hypothesised_label_unless_told_otherwise():
    for name in ("gradient_embedding", "badge"):
        assert strategies.options(name) == {
            "loss_label": (("hypothesised", "known"), "hypothesised")
        }


def test_the_strategies_that_come_with_the_library():
    assert strategies.names() == [
        "badge",
        "cluster_aware",
        "coreset",
        "dns",
        "entropy",
        "false_negative_elimination",
        "full",
        "gibbs",
        "gradient_embedding",
        "hardest",
        "importance_sampling",
        "info_batch",
        "kl_embedding",
        "kl_probability",
        "least_confidence",
        "mahalanobis",
        "margin",
        "positive_cutoff",
        "power",
        "random",
        "selective_backprop",
        "semi_hard",
        "simans",
        "star",
        "svm_margin",
        "trimmed",
    ]


@pytest.mark.parametrize("ask", [strategies.load, strategies.options])
def test_an_unknown_name_is_answered_with_the_nearest_one(ask):
    with pytest.raises(UserError, match="no strategy is called 'bagde': did you mean 'badge'"):
        ask("bagde")
    with pytest.raises(UserError, match="choose one of badge, cluster_aware, coreset, "):
        ask("pool")


def test_names_and_options_are_read_without_importing_torch():
    code = (
        "import sys; from weakneg import strategies; "
        "[strategies.options(name) for name in strategies.names()]; "
        "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    path = str(Path(strategies.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": path})


def _strategy_file(folder, signature):
    (folder / "mine.py").write_text(f"def select(pool, k, generator{signature}):\n    pass\n")


@pytest.mark.parametrize(
    ("signature", "option"),
    [
        ("", None),
        (", *, tail: float = 0.5", (float, 0.5)),
        (", *, tail: int = -1", (int, -1)),
        (", *, tail: Literal['x'] = 'x'", (("x",), "x")),
        (", *, tail: Annotated[int, (1, None)] = 2", (plugins.Interval(int, 1, None), 2)),
        (", *, tail: Select", (strategies.Select, "random")),
        (", *, tail: Ranking", (strategies.Ranking, "hardest")),
    ],
)
def test_options_are_those_of_the_signature(tmp_path, monkeypatch, signature, option):
    monkeypatch.setattr(strategies, "_FOLDER", tmp_path)
    (tmp_path / "helper.py").write_text("def choose(): pass\n")
    _strategy_file(tmp_path, signature)
    assert strategies.names() == ["mine"]
    assert strategies.options("mine") == ({"tail": option} if option else {})


@pytest.mark.parametrize("line", ["IGNORES_BUDGET = True", "IGNORES_BUDGET: bool = True"])
def test_a_strategy_says_that_it_ignores_the_budget_with_or_without_a_type(
    tmp_path, monkeypatch, line
):
    monkeypatch.setattr(strategies, "_FOLDER", tmp_path)
    (tmp_path / "mine.py").write_text(f"{line}\n\ndef select(pool, k, generator):\n    pass\n")
    assert strategies.ignores_budget("mine")


def test_one_that_hands_a_part_of_the_pool_to_such_a_strategy_ignores_the_budget_too():
    assert strategies.ignores_budget("trimmed", {"then": {"strategy": "full"}})
    nested = {"strategy": "trimmed", "then": {"strategy": "full"}}
    assert strategies.ignores_budget("trimmed", {"then": nested})
    assert not strategies.ignores_budget("trimmed", {"then": {"strategy": "badge"}})


def test_strategies_with_equal_options_choose_the_same_bags_if_their_inner_ones_do():
    def key(inner, **options):
        return strategies.chooses_as("trimmed", options | {"then": {"strategy": inner}})

    assert key("margin", share=0.1) == key("entropy", share=0.1)
    assert key("margin", share=0.1) != key("entropy", share=0.2)
    assert key("margin", share=0.1) != key("random", share=0.1)
    assert strategies.chooses_as("entropy", {}) == strategies.chooses_as("margin", {})


@pytest.mark.parametrize(
    "signature",
    [
        *(", *, tail: float", ", *, tail=1", ", *, tail: list = 1", ", *, tail: Select = None"),
        *(", *, tail: float = TAIL", ", *, tail: Literal[TAIL] = 1"),
        *(", *, tail: Annotated[float, (0, HIGH)] = 1", ", *, tail: Annotated[float, 0] = 1"),
    ],
)
def test_an_option_that_nobody_could_check_is_an_error(tmp_path, monkeypatch, signature):
    monkeypatch.setattr(strategies, "_FOLDER", tmp_path)
    _strategy_file(tmp_path, signature)
    with pytest.raises(UserError, match="option 'tail' of strategy 'mine'"):
        strategies.options("mine")


def test_a_file_beside_a_study_chooses_alone_and_for_others(tmp_path):
    path = tmp_path / "first.py"
    path.write_text(
        "from weakneg.strategies.pool import top_k\n\n\n"
        "def select(pool, k, generator, *, last: bool = False):\n"
        "    return top_k(pool, pool.ids.double() * (1 if last else -1), k)\n"
    )
    data = Data(9)
    ids = sorted(data.ids.tolist())
    first, last = (data.select(str(path), {"last": last}, 2).ids.tolist() for last in (False, True))
    assert (first, last) == (ids[:2], ids[:-3:-1])
    trimmed = {"share": 0.0, "then": {"strategy": str(path)}}
    assert data.select("trimmed", trimmed, 2).ids.tolist() == ids[:2]
    assert (
        strategies.load(str(path)).func
        is strategies.load(f"{tmp_path}/../{path.parent.name}/first.py").func
    )


def test_a_pool_refuses_ids_that_are_not_distinct_integers():
    with pytest.raises(ValueError, match="id 5 occurs more than once"):
        Pool(torch.tensor([5, 3, 5]), None, None, strategy="random", epoch=1)
    with pytest.raises(ValueError, match=r"int64 of shape \(N,\), not torch.float32"):
        Pool(torch.tensor([5.0, 3.0]), None, None, strategy="random", epoch=1)


@pytest.mark.parametrize("field", ["logits", "embeddings", "positive_embeddings"])
def test_a_pool_refuses_scores_that_do_not_fit_its_ids(field):
    data = Data(5)
    setattr(data, field, getattr(data, field)[:-1])
    pool = data.pool(slice(None))
    with pytest.raises(ValueError, match=r"has \d bags, but logits of .* and embeddings of"):
        _ = pool.logits, pool.positives


def test_a_pool_refuses_gradients_that_do_not_fit_its_ids():
    data = Data(5)
    data.gradients["known"] = data.gradients["known"].sum(1)
    with pytest.raises(ValueError, match=r"5 bags, but gradients of shape \(5,\)"):
        data.pool().gradients("known")


def test_a_pool_without_positive_bags_cannot_be_scored():
    with pytest.raises(ValueError, match="no positive bag"):
        _ = Data(5, positives=0).pool().positives


def test_a_negative_budget_is_an_error():
    with pytest.raises(ValueError, match="at least 0, not -1"):
        top_k(Data(5).pool(), torch.zeros(5), -1)


def test_scores_computed_by_a_strategy_must_be_finite_too():
    scores = torch.tensor([0.0, torch.nan])
    with pytest.raises(UserError, match="strategy 'margin', epoch 2: 1 of 2 scores"):
        top_k(Pool(torch.tensor([1, 2]), None, None, strategy="margin", epoch=2), scores, 1)


@pytest.mark.parametrize("name", [n for n in strategies.names() if strategies.same_choice_as(n)])
@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 30), k=st.integers(0, 30), seed=st.integers(0, 100))
def test_a_strategy_that_says_so_chooses_the_bags_of_another(name, n, k, seed):
    data = Data(n, seed=seed)
    selection = data.select(name, {}, k)
    other = data.select(strategies.same_choice_as(name), {}, k)
    assert torch.equal(selection.ids, other.ids)
    assert torch.equal(selection.scores, other.scores)
    assert strategies.options(name) == strategies.options(strategies.same_choice_as(name)) == {}

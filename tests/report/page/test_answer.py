"""The answer in words: it says no more than the statistics show."""

import re

import numpy as np
import pandas as pd
import pytest
from partly_labelled import settings_of_methods
from synthetic import metrics_of, study_of

from weakneg.analysis.comparison import compare, detectable
from weakneg.analysis.study import Study
from weakneg.report.formatting import MINUS
from weakneg.report.page.answer import (
    answer,
    answer_of_budgets,
    answer_of_hidden,
    answer_of_methods,
)

GAINS = {"random": 0.0, "badge": 0.05, "margin": -0.05, "entropy": 0.0, "full": 0.02}


def answered(n_classes=12, n_seeds=3, strategies=(*GAINS,), gains=GAINS):
    """The answer of a study in which strategies gain as much over random, up to noise of .01."""
    random = np.random.default_rng(0)
    classes = [f"c{i}" for i in range(n_classes)]
    values = {
        (c, s): 0.5 + gains[s] + random.normal(0, 0.01, n_seeds)
        for c in classes
        for s in strategies
    }
    metrics, study = metrics_of(values), study_of(classes, list(strategies))
    comparisons = pd.concat([compare(metrics, study, metric) for metric in ("ap", "roc_auc")])
    return answer(comparisons, detectable(metrics, study, "ap")[0], study)


def test_what_a_test_over_classes_finds_is_said_with_its_uncertainty():
    found = answered()
    assert found.headline == "BADGE is better than Random"
    first, second, third = found.sentences
    assert re.match(
        r"BADGE has a higher AP .* 12 classes and 3 seeds: \+\.0\d\d \[\+\.\d+, ", first
    )
    assert "Holm-corrected for 3 comparisons: p = .001" in first
    assert f"Margin has a lower AP: {MINUS}.0" in second
    assert "for Entropy, a difference in AP cannot be told" in second
    assert "this test finds a mean difference of .0" in third
    assert "four times in five" in third
    assert "training on all negatives (Full set, no budget) differs from Random by +.0" in third


def test_noise_is_no_answer():
    found = answered(gains=dict.fromkeys(GAINS, 0.0))
    assert found.headline == "No difference from Random can be told"
    assert "No strategy is shown to have a higher AP" in found.sentences[0]
    assert found.sentences[1] == "By ROC-AUC, no difference can be told."


@pytest.mark.parametrize("n_classes", [1, 4])
def test_too_few_classes_for_any_result_are_no_answer(n_classes):
    found = answered(n_classes)
    assert found.headline.startswith("Cannot be told from ")
    assert "in general cannot be told" in found.sentences[0]
    worst, best = rf"{MINUS}\.\d+ \(Margin\)", r"\+\.\d+ \(BADGE\)"
    said = f"mean differences in AP over 3 seeds are from {worst} to {best}"
    assert re.search(said, found.sentences[1])


def test_a_single_seed_is_said_to_hide_the_noise_of_training():
    assert answered(n_seeds=1).sentences[-1].startswith("With 1 seed, the noise of training")


def test_the_upper_bound_alone_and_nothing_at_all_are_answered_too():
    found = answered(strategies=("random", "full"))
    assert found.headline == "Full set is better than Random"
    assert answered(strategies=("random",)).headline == "Nothing to compare"


def test_a_mean_against_most_classes_is_no_verdict_on_the_upper_bound():
    """Better on 36 classes of 40, and much worse on the others."""
    random = np.random.default_rng(0)
    classes = [f"c{i}" for i in range(40)]
    values = {(c, "random"): [0.5, 0.5] for c in classes}
    values |= {
        (c, "full"): [0.5 + (0.01 if i < 36 else -0.2) + random.normal(0, 1e-4)] * 2
        for i, c in enumerate(classes)
    }
    metrics, study = metrics_of(values), study_of(classes, ["random", "full"])
    comparisons = pd.concat([compare(metrics, study, metric) for metric in ("ap", "roc_auc")])
    [row] = [row for _, row in comparisons.iterrows() if row["metric"] == "ap"]
    assert row["difference"] < 0 < row["wins"] - row["losses"]
    assert row["wilcoxon_p"] < 0.05
    found = answer(comparisons, np.nan, study)
    assert found.headline == "No difference between Full set and Random can be told"


def test_every_answer_is_at_most_three_sentences():
    for n_classes in (1, 12):
        for strategies in (("random", "badge"), ("random", "full"), (*GAINS,)):
            found = answered(n_classes, strategies=strategies)
            assert 1 <= len(found.sentences) <= 3
            assert all(s[0].isupper() and s.endswith(".") for s in found.sentences)


def answered_of_hidden(gains, shares=(0.0, 0.4)):
    """The answer where strategies gain over random at each share; intervals are .02 to each side.

    The AP is .5 less what is hidden.
    """
    rows = [
        (s, "BCE", share, measure, mean, mean - 0.02, mean + 0.02, 5)
        for s, gain in {"Random": 0.0, **gains}.items()
        for share in shares
        for measure, mean in (("ap", 0.5 - share), ("ap_difference", gain))
    ]
    columns = ["strategy", "loss", "hidden", "measure", "mean", "low", "high", "seeds"]
    hidden = {"random": ("Random", "BCE", 0.0), "margin": ("Margin", "BCE", 0.4)}
    study = study_of(["a"], [*hidden], hidden=hidden)
    return answer_of_hidden(pd.DataFrame(rows, columns=columns), study)


@pytest.mark.parametrize(("gain", "told"), [(0.1, True), (0.0, False)])
def test_hidden_positives_are_answered_by_what_is_left_after_correction(gain, told):
    found = answered_of_hidden({"Margin": gain})
    assert ("1 of 1 combinations are better" in found.headline) == told
    assert ("can be told" in found.headline) != told


def test_one_interval_of_many_that_excludes_zero_is_no_difference():
    found = answered_of_hidden({"Margin": 0.021} | dict.fromkeys("ABCDEFGH", 0.0))
    assert "1 have a higher AP" in found.sentences[0]
    assert "After Holm's correction for 9 comparisons, none is left" in found.sentences[0]
    assert found.headline == "No difference from Random with BCE can be told"


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0.2, 0.4), " is .100 [.080, .120] instead of .300 [.280, .320] with 20%"),
        ((0.4,), " is .100 [.080, .120];"),
    ],
)
def test_what_hiding_costs_names_both_shares(shares, said):
    assert said in answered_of_hidden({"Margin": 0.0}, shares).sentences[1]


def answered_of_budgets(gains, n_classes=20, n_seeds=3, lost=0.03, strategies=("Random", "Mine")):
    """The answer where "Mine" gains over random at each budget; random at 1 loses to the full set.

    All intervals are .01 to each side.
    """
    rows = [
        {"strategy": s, "budget": budget, "mean": 0.5 + gain}
        | {"difference": gain if s == "Mine" else 0.0, "from_full": -lost if budget == 1 else 0.0}
        for budget, each in gains.items()
        for s, gain in zip(strategies, (0.0, each), strict=False)
    ]
    table = pd.DataFrame([*rows, {"strategy": "Full set", "mean": 0.5, "from_full": 0.0}])
    table = table.assign(metric="ap", classes=n_classes, seeds=n_seeds)
    sure = {
        "from_full": (n_classes > 1) & table["budget"].notna(),
        "difference": (n_classes > 1) & (table["strategy"] == "Mine"),
    }
    for name, known in sure.items():
        table[f"{name}_low"] = (table[name] - 0.01).where(known)
        table[f"{name}_high"] = (table[name] + 0.01).where(known)
    bound = 0.01 if n_seeds > 1 else np.nan
    table = table.assign(low=table["mean"] - bound, high=table["mean"] + bound)
    study = study_of(["a"], ["random", "margin"])
    return answer_of_budgets(table, study)


@pytest.mark.parametrize(
    ("gains", "headline", "until"),
    [
        (
            {1: 0.05, 2: 0.05, 4: 0.0},
            "From 4 negatives per positive on, no difference from Random can be told",
            "from 4 negatives per positive on, it includes zero for all",
        ),
        (
            {1: 0.0, 4: -0.05},
            "A difference from Random is left at 4 negatives per positive",
            "with 4 negatives per positive, the most that were tried, it still excludes zero",
        ),
        (
            {1: 0.0, 4: 0.0},
            "No difference from Random can be told at any budget",
            "above zero for 0",
        ),
    ],
)
def test_budgets_are_answered_by_their_intervals(gains, headline, until):
    found = answered_of_budgets(gains)
    assert found.headline == headline
    assert until in found.sentences[1]
    assert "below that of the full set from 2" in found.sentences[0] or 2 not in gains
    assert "up to .010 may be lost all the same" in found.sentences[0]
    assert "not corrected" in found.sentences[2]
    assert "chance alone gives" in found.sentences[1]
    few = answered_of_budgets(gains, n_classes=8)
    assert "chance alone" not in few.sentences[1], "intervals of few classes are too narrow"


def test_one_interval_of_many_budgets_is_no_difference():
    found = answered_of_budgets({1: 0.0, 2: 0.011, 3: 0.0, 4: 0.0, 5: 0.0})
    assert found.headline == "No difference from Random can be told at any budget"
    assert "above zero for 1 of 5" in found.sentences[1]


def test_more_than_was_tried_is_needed_where_the_baseline_never_reaches_the_full_set():
    found = answered_of_budgets({1: 0.0}, strategies=("Random",))
    assert found.headline == "More negatives than were tried are needed"
    assert "even with the most negatives that were tried" in found.sentences[0]


def test_budgets_that_never_reach_the_full_set_are_not_called_enough():
    found = answered_of_budgets({1: 0.0})
    assert found.sentences[0] == (
        "For Random and Mine, AP is below that of the full set even with the most negatives"
        " that were tried."
    )


@pytest.mark.parametrize("n_classes", [1, 2])
@pytest.mark.parametrize("n_seeds", [1, 3])
def test_few_classes_or_one_seed_say_little_about_budgets(n_classes, n_seeds):
    found = answered_of_budgets({1: 0.05, 4: 0.05}, n_classes, n_seeds)
    assert found.headline.startswith("Cannot be told from ")
    assert "cannot be told in general" in found.sentences[0]
    assert ("noise of training" in found.sentences[0]) == (n_seeds == 1)
    assert len(found.sentences) <= 3
    several = answered_of_budgets({1: 0.05, 4: 0.05}, 8, n_seeds).sentences[-1]
    assert "too narrow: few classes" in several
    assert ("noise of training" in several) == (n_seeds == 1)


def test_the_baseline_alone_or_the_full_set_alone_is_answered_too():
    found = answered_of_budgets({1: 0.0, 4: 0.0}, strategies=("Random",))
    assert (
        found.headline == "No loss from fewer negatives is shown from 4 negatives per positive on"
    )
    table = pd.DataFrame({"metric": ["ap"], "budget": [np.nan]})
    assert answer_of_budgets(table, study_of(["a"], ["random"])).headline == "Nothing to compare"


def answered_of_methods(gains, n_classes=20, n_seeds=3, over_classes=0.01):
    """The answer where methods gain over the baseline; intervals over seeds are .01 to each side.

    A method that gains "all" sees all labels and is the upper bound.
    """
    ways = {"bce": ("Naive AN", "1 positive")}
    ways |= {name: (name, "all" if gain == "all" else "1 positive") for name, gain in gains.items()}
    upper = next((name for name, gain in gains.items() if gain == "all"), None)
    rows = [
        {"method": method, "observed": observed, "mean": 0.5, "difference": gain}
        for (method, observed), gain in zip(ways.values(), [None, *gains.values()], strict=True)
    ]
    table = pd.DataFrame(rows).assign(metric="ap", group="all", classes=n_classes, seeds=n_seeds)
    table["difference"] = pd.to_numeric(table["difference"], errors="coerce")
    for over, half in (
        ("seeds", 0.01 if n_seeds > 1 else np.nan),
        ("classes", over_classes if n_classes > 1 else np.nan),
    ):
        table[f"{over}_low"] = table["difference"] - half
        table[f"{over}_high"] = table["difference"] + half
    bound = 0.01 if n_seeds > 1 else np.nan
    table = table.assign(low=table["mean"] - bound, high=table["mean"] + bound)
    settings = settings_of_methods(["a"], ways, upper_bound=upper)
    return answer_of_methods(table, Study.of(settings))


def test_a_method_is_better_if_both_its_intervals_say_so():
    gains = {"LL-R": 0.05, "WAN": -0.05, "EPR": 0.005, "Full label": "all"}
    found = answered_of_methods(gains)
    assert found.headline == "1 of 3 methods is better than Naive AN, 1 worse"
    first, second, third = found.sentences
    assert "1 has a higher AP (LL-R) and 1 a lower one (WAN) than Naive AN" in first
    assert "+.050 (95% interval over seeds [+.040, +.060], over classes" in second
    assert "Full label, which sees all labels, of .500" in second
    assert "After Holm's correction for 3 comparisons, 1 and 1 are left" in first
    assert "not independent" in third
    found = answered_of_methods(gains, over_classes=0.1)
    assert found.headline == "No difference from Naive AN can be told"


@pytest.mark.parametrize(
    ("sizes", "why"),
    [({"n_seeds": 1}, "1 seed"), ({"n_classes": 1}, "1 class")],
)
def test_one_seed_or_class_says_nothing_of_methods(sizes, why):
    found = answered_of_methods({"LL-R": 0.05}, **sizes)
    assert found.headline == f"Cannot be told from {why}"
    assert "+.050" in found.sentences[1]


def test_a_method_alone_is_not_compared():
    assert answered_of_methods({"Full label": "all"}).headline == "Nothing to compare"


def test_every_answer_about_methods_is_whole_sentences():
    for gains in ({"LL-R": 0.05}, {}, {"LL-R": 0.0, "WAN": -0.1}):
        for n in (1, 12):
            found = answered_of_methods(gains, n_classes=n, n_seeds=n)
            assert all(s[0].isupper() and s.endswith(".") for s in found.sentences)

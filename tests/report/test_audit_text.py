"""The audit of the selections as a text for people."""

import re

import numpy as np
import pytest
from selections import choose_dogs, values, write_clips
from synthetic import HOSTILE


def test_people_see_turnover_and_where_a_training_ended(made):
    lines = made.audit()["markdown"].splitlines()
    [header] = [line for line in lines if line.startswith("| Strategy")]
    assert [cell.strip() for cell in header.split("|")[2:-1]] == [
        "New in a selection",
        "Share of the pool used",
        "Chosen before",
    ]
    row = [line for line in lines if line.startswith("| BADGE")][-1]
    # One seed ends with 6 of 9 bags used, three of the last four chosen twice before; the other
    # with 5 of 9, three of the last four chosen once before.
    assert [cell.strip() for cell in row.split("|")[2:-1]] == [
        f"25.0% ({5 / 9:.1%})",
        f"{(6 / 9 + 5 / 9) / 2:.1%} ({1 - ((5 / 9) ** 3 + (5 / 9) ** 2) / 2:.1%})",
        "1.1 (0.7)",
    ]
    assert not any(line.startswith("| Full set") for line in lines)


def test_people_see_the_bags_pooled_over_strategies_that_score(made):
    tables = made.audit()
    section = tables["markdown"].split("### a")[1].split("###")[0]
    pools = [made.pool("a", seed) for seed in (0, 1)]
    chosen = {}  # row -> times, selections
    for pool, epochs in zip(pools, (3, 2), strict=True):
        for row in pool:
            times, selections = chosen.get(row, (0, 0))
            in_margin = epochs * (row in pool[:4])
            in_badge = epochs * (row in pool[:3]) + sum(
                row == pool[5 + epoch] for epoch in range(1, epochs + 1)
            )
            chosen[row] = (times + in_margin + in_badge, selections + 2 * epochs)
    lines = re.findall(r"^\d\. bag (\d+), chosen (\d+) of (\d+) times$", section, re.M)
    assert len(lines) == 5
    found = {int(bag) - 100: (int(times), int(selections)) for bag, times, selections in lines}
    assert found == {row: chosen[row] for row in found}
    share = {row: times / selections for row, (times, selections) in chosen.items()}
    assert [share[row] for row in found] == sorted(share.values(), reverse=True)[:5]


def test_related_labels_are_compared_with_their_share_of_the_pool(clips):
    seed = choose_dogs(clips)
    tables = clips.audit()
    badge = {"table": tables["selection_turnover"], "strategy": "badge"}
    # Mean over Animal (dogs: 2/3, 2/3, all) and, at the first epoch, Car, which has no relations.
    assert values(column="related", **badge) == pytest.approx([1 / 3, 2 / 3, 1])
    pool = clips.pool("Animal", seed)
    expected = pytest.approx([2 / len(pool)] * 2)
    assert values(column="expected_related", **badge)[1:] == expected
    # Means over classes: chosen (7/9 + 0) / 2, pool (2 / pool + 0) / 2.
    row = next(line for line in tables["markdown"].splitlines() if line.startswith("| BADGE"))
    assert row.split("|")[-2].strip() == f"{7 / 9 * len(pool) / 2:.2f}"
    share = f"Related labels: 75.0% of the chosen bags, {2 / len(pool):.1%} of the pool."
    assert share in tables["markdown"]  # 6 of the 8 chosen bags


def test_the_enrichment_has_an_interval_over_seeds(clips):
    seeds = [s for s in range(200) if {6, 7, 3} <= {*clips.pool("Animal", s).tolist()}][:2]
    for class_name in ("Animal", "Car"):
        for strategy in ("random", "badge"):
            pools = {seed: clips.pool(class_name, seed) for seed in seeds}
            made_up = {seeds[0]: {1: [6, 7]}, seeds[1]: {1: [6, 3]}}
            chosen = made_up if class_name == "Animal" else {s: {1: pools[s]} for s in seeds}
            clips.choose(class_name, strategy, chosen)
    size = len(clips.pool("Animal", seeds[0]))
    ratios = np.array([1, 1 / 2]) * size / 2
    half = 12.7062 * ratios.std(ddof=1) / np.sqrt(2)  # Student's t for one degree of freedom
    assert f"{ratios.mean():.2f} ± {half:.2f} |" in clips.audit()["markdown"]


def test_hostile_ids_and_labels_stay_text(clips):
    labels = [["Animal"]] * 3 + [["Car"]] * 3 + [[text.replace(";", "")] for text in HOSTILE]
    ids = [f"clip{row}" for row in range(6)] + HOSTILE
    write_clips(clips.manifests[0], labels, ids)
    clips.labels = {n: np.array([n in of_clip for of_clip in labels]) for n in clips.labels}
    for class_name in ("Animal", "Car"):
        pool = clips.pool(class_name, 0)
        pool = pool[pool > 5]
        for strategy in ("random", "badge"):
            clips.choose(class_name, strategy, {0: {1: pool}})
    tables = clips.audit()
    found = set(tables["most_selected"]["id"])
    assert found <= set(HOSTILE)
    assert len(found) >= 5
    text = tables["markdown"]
    assert len(re.findall(r"^#", text, re.M)) == 6  # title, three parts, two classes
    for line in re.findall(r"^\d\. .*", text, re.M):
        [link] = re.findall(r"(?<!\\)\]\(([^)]*)\)", line)
        assert re.fullmatch(r"https://example\.org/[^\s<>()|\[\]\\\"`]*", link)
        assert "<" not in re.sub(r"\\<", "", line)
    assert "\u202e" not in text

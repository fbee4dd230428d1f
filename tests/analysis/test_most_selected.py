"""The negatives that were chosen most often."""

import json

import numpy as np
import pytest
from selections import FRACTION, LABEL, Made, choose_dogs, image_bags

from weakneg.analysis.most_selected import COLUMNS
from weakneg.bags.manifest import write_manifest
from weakneg.bags.split import split_validation


def test_most_selected_ranks_by_share_then_times_then_place(tmp_path):
    made = Made(tmp_path, ["random", "badge"], {"a": LABEL})
    pools = {seed: set(made.pool("a", seed).tolist()) for seed in (0, 1)}
    always, once = sorted(pools[0] & pools[1]), sorted(pools[0] - pools[1])
    late, early, rare = always[:3]
    chosen = {
        0: {
            1: ([early, once[0], late, rare], [2, 9, 1, 1]),
            2: ([early, once[0], late], [4, 9, 1]),
        },
        1: {1: ([late, early], [6, 1]), 2: ([early, late], [8, 1])},
    }
    made.choose("a", "random", chosen)
    made.choose("a", "badge", chosen)
    table = made.audit()["most_selected"]
    assert list(table.columns) == COLUMNS
    assert table["strategy"].unique().tolist() == ["badge"]  # random choice says nothing
    assert table["rank"].tolist() == [1, 2, 3, 4]
    assert table["bag"].tolist() == [100 + row for row in (early, late, once[0], rare)]
    assert table["times"].tolist() == [4, 4, 2, 1]
    assert table["selections"].tolist() == [4, 4, 2, 4]  # one bag was once for validation
    # Where in a selection a bag was, first to last: of 4, 3, 2 and 2 bags.
    places = [(0 + 0 + 1 / 2 + 0) / 4, (2 / 4 + 2 / 3 + 0 + 1 / 2) / 4]
    places += [(1 / 4 + 1 / 3) / 2, 3 / 4]
    assert table["mean_place"].tolist() == pytest.approx(places)
    assert table["mean_score"].tolist() == [15 / 4, 9 / 4, 9, 1]


def test_most_selected_stops_at_twenty(tmp_path):
    made = Made(tmp_path, ["random", "badge"], {"a": [1, 1] + [0] * 60})
    for strategy in ("random", "badge"):
        pool = made.pool("a", 0)
        made.choose("a", strategy, {0: {1: pool, 2: pool[5:]}})
    table = made.audit()["most_selected"]
    assert table["rank"].tolist() == list(range(1, 21))
    assert table["bag"].tolist() == [100 + row for row in pool[5:25]]
    assert made.audit()["markdown"].count("\n1. ") == 1
    assert "\n5. " in made.audit()["markdown"]
    assert "\n6. " not in made.audit()["markdown"]


def test_each_seed_may_have_bags_of_its_own(tmp_path):
    made = Made(tmp_path, ["random", "badge"], {"a": LABEL})
    write_manifest(made.manifests[0], {3: image_bags(LABEL), 5: image_bags(LABEL)})
    for strategy in ("random", "badge"):
        pools = {seed: made.pool("a", seed) for seed in (3, 5)}
        common = sorted(set(pools[3]) & set(pools[5]))
        chosen = {3: {1: common[:1], 2: common[:1]}, 5: {1: common[:1], 2: common[1:2]}}
        made.choose("a", strategy, chosen)
        path = made.folder_of("a", strategy) / "run.json"
        run = json.loads(path.read_text())
        run["settings"]["draw_per_seed"] = True
        path.write_text(json.dumps(run))
    tables = made.audit()
    found = tables["most_selected"][["draw", "bag", "times", "selections"]].to_numpy().tolist()
    first, second = (100 + row for row in common[:2])
    assert found == [[3, first, 2, 2], [5, first, 1, 2], [5, second, 1, 2]]
    assert f"1. bag {first} of draw 3, chosen 2 of 2 times" in tables["markdown"]


def test_clips_are_named_linked_and_labelled(clips):
    choose_dogs(clips)
    table = clips.audit()["most_selected"]
    of_animal = table[table["class"] == "Animal"]
    columns = ["bag", "id", "start", "link", "times", "other_labels", "related_labels"]
    link = "https://example.org/--clip_{}?t={}"
    assert of_animal[columns].to_numpy().tolist() == [
        [1006, "--clip_6", 60.0, link.format(6, 60), 3, "Dog;Bark", "Dog;Bark"],
        [1007, "--clip_7", 70.0, link.format(7, 70), 3, "Speech;Dog", "Dog"],
        [1003, "--clip_3", 30.0, link.format(3, 30), 2, "Car", ""],
    ]
    section = clips.audit()["markdown"].split("### Animal")[1].split("###")[0]
    assert (
        f"1. [--clip\\_6]({link.format(6, 60)}), chosen 3 of 3 times: **Dog**; **Bark**" in section
    )
    assert ", chosen 3 of 3 times: Speech; **Dog**\n" in section


def test_chosen_bags_that_nobody_knows_are_called_so(clips):
    seed = choose_dogs(clips)
    before = clips.audit()
    assert "unknown" not in before["most_selected"].columns
    assert "nknown" not in before["markdown"]
    # Nobody looked for animals in the clips 7 and 8; all others are known.
    text = clips.manifests[0].read_text().splitlines()
    with_negatives = [
        f"{line},{'' if 'Animal' in line or row in (7, 8) else 'Animal'}"
        f"{'' if 'Car' in line else ';Car'}"
        for row, line in enumerate(text[1:])
    ]
    clips.manifests[0].write_text("\n".join([f"{text[0]},negatives", *with_negatives]) + "\n")
    label = np.array([0] * 16)
    label[:3], label[[7, 8]] = 1, -1
    train, _ = split_validation(label, FRACTION, seed)
    pool = train[label[train] != 1]
    seven = [row for row in (3, 6, 7) if row in pool]
    clips.choose("Animal", "badge", {seed: {1: seven}}, n_pool={str(seed): len(pool)})
    clips.choose("Animal", "random", {seed: {1: pool[:3]}}, n_pool={str(seed): len(pool)})
    after = clips.audit()
    of_animal = after["most_selected"].query("`class` == 'Animal'")
    assert 7 in seven
    assert dict(zip(of_animal["bag"], of_animal["unknown"], strict=True)) == {
        1000 + row: int(row == 7) for row in seven
    }
    section = after["markdown"].split("### Animal")[1].split("###")[0]
    assert f"Unknown: {1 / len(seven):.1%} of the chosen bags, {2 / len(pool):.1%} of" in section
    assert section.count("(unknown)") == 1

"""The configuration: what it refuses and how it says so, what it means, what each stage reads."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from workspace import ROOT

from weakneg import datasets, losses, strategies
from weakneg.config import load as config
from weakneg.config.classes import class_slug
from weakneg.config.files import SCHEMAS, STUDIES, WORKFLOW
from weakneg.config.report import FigureSettings, ReportSettings
from weakneg.config.stages import (
    AcquireSettings,
    FeaturesSettings,
    ManifestSettings,
    RunSettings,
    ScoreSettings,
    canonical,
)
from weakneg.config.study import Study
from weakneg.config.subset import subset
from weakneg.datasets import Dataset
from weakneg.errors import UserError
from weakneg.workspace.results import Results

STUDY = "title: Mine\ndataset: {name: cifar10}\nstrategies: [full, random, badge]\n"
CIFAR10 = "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"
STRATEGIES = ", ".join(strategies.names())
RANKINGS = (
    "entropy, gradient_embedding, hardest, kl_embedding, kl_probability, least_confidence, "
    "mahalanobis, margin, semi_hard, svm_margin"
)
SECTIONS = ", ".join(Study.model_fields)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def study(here):
    """Makes a study of lines added to a small one."""

    def make(lines: str = "", start: str = STUDY, name: str = "mine") -> Study:
        (here / f"{name}.yaml").write_text(start + lines)
        return config.load_study(f"{name}.yaml")

    return make


def message(call, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ----------------------------------------------------------------------------- mistakes in a study
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "trainng: {epochs: 3}",
            f"trainng: 'trainng' is not a key here; did you mean 'training'? Allowed: {SECTIONS}",
        ),
        (
            "bags: {size: 3}",
            "bags.size: 'size' is not a key here; did you mean 'bag_size'? "
            "Allowed: bag_size, label_density, draw_per_seed",
        ),
        ("training: {epochs: 0}", "training.epochs: must be greater than or equal to 1, not 0"),
        ("training: {epochs: true}", "training.epochs: must be a valid integer, not True"),
        ("training: {epochs: '5'}", "training.epochs: must be a valid integer, not '5'"),
        (
            "training: {learning_rate: .nan}",
            "training.learning_rate: must be a finite number, not nan",
        ),
        (
            "training: {schedule: cosin}",
            "training.schedule: 'cosin' is not a choice; did you mean 'cosine'? "
            "Allowed: constant, cosine",
        ),
        (
            "training: {loss: bec}",
            "training.loss: 'bec' is not a loss; did you mean 'bce'? "
            f"Allowed: {', '.join(losses.names())}",
        ),
        ("training: 5", "training: must be a mapping of keys to values, not 5"),
        (
            "training: {epochs: 0, batch_size: 0}",
            "training.epochs: must be greater than or equal to 1, not 0 (and 1 more)",
        ),
        ("bags: {draw_per_seed: 1}", "bags.draw_per_seed: must be a valid boolean, not 1"),
        (
            "bags: {label_density: 2}",
            "bags.label_density: must be 'uniform' or a number above 0 and up to 1, not 2",
        ),
        (
            "bags: {label_density: 0.09}",
            "bags.label_density: 0.09 of bag_size 5 leaves no positive instance in a positive bag; "
            "it must be at least 0.1",
        ),
        (
            "model: {name: simple_cn}",
            "model.name: 'simple_cn' is not a model; did you mean 'simple_cnn'? "
            "Allowed: cnn, efficientnet_b0, efficientnet_b2, mlp, resnet18, simple_cnn",
        ),
        ("seeds: 0", "seeds: must be from 1 to 10,000, not 0"),
        ("seeds: 999999999", "seeds: must be from 1 to 10,000, not 999999999"),
        (f"seeds: [{2**63}]", f"seeds[0]: must be less than {2**63}, not {2**63}"),
        ("seeds: true", "seeds: must be a number of seeds or a list of them, not True"),
        ("seeds: [2, 1, 2]", "seeds[2]: 2 is listed twice"),
        ("seeds: [0, -1]", "seeds[1]: must be greater than or equal to 0, not -1"),
        ("seeds: []", "seeds: must not be empty"),
        (
            "classes: [bird, airplan]",
            "classes[1]: 'airplan' is not a class of cifar10; did you mean 'airplane'? "
            f"Allowed: {CIFAR10}",
        ),
        ("classes: [airplane, 0]", "classes[1]: 'airplane' is listed twice"),
        (
            "classes: [10]",
            "classes[0]: 10 is not a class of cifar10 (names, or numbers from 0 to 9). "
            f"Allowed: {CIFAR10}",
        ),
        (
            "baseline: entropy",
            "baseline: 'entropy' is not among the strategies of the study. "
            "Allowed: full, random, badge",
        ),
        (
            "sampling: {warmup_epochs: 15}",
            "sampling.warmup_epochs: 15 must be less than training.epochs (15), "
            "so that some epoch trains on chosen bags",
        ),
        (
            "sampling: {resample_every: 4}\ntraining: {epochs: 3}",
            "sampling.resample_every: 4 must be at most training.epochs (3)",
        ),
        (
            "reference: {source: s, values: {bagde: {bird: {ap: 0.5}}}}",
            "reference.values.bagde: 'bagde' is not a strategy; did you mean 'badge'? "
            f"Allowed: {STRATEGIES}",
        ),
        (
            "reference: {source: s, values: {margin: {brid: {ap: 0.5}}}}",
            "reference.values.margin.brid: 'brid' is not a class of cifar10; did you mean 'bird'? "
            f"Allowed: {CIFAR10}",
        ),
        ("title: Again", "line 4: the key 'title' occurs twice"),
        ("seeds:2\nclasses: [a]", "line 4: a key ends with a colon and a space"),
        ("bags: [1", "line 5: did not find expected ',' or ']'"),
        (
            "extends: digts",
            "extends: 'digts' is not a study; did you mean 'digits'? Allowed: "
            f"{', '.join(sorted(file.stem for file in STUDIES.glob('*.yaml')))}, or the path of "
            "a YAML file",
        ),
        ("extends: ./other.yaml", "extends: there is no file other.yaml"),
        (
            "training: {positive_weight: balanced, batch_sampling: weighted}",
            "training.positive_weight: 'balanced' makes up for the imbalance, and so does "
            "batch_sampling: weighted: choose one of them",
        ),
        ("extends: mine.yaml", "extends: 'mine.yaml' creates a cycle: mine -> mine"),
    ],
)
def test_mistake_in_a_study_is_one_line_with_file_key_value_and_choices(study, lines, expected):
    assert message(study, lines) == f"mine.yaml: {expected}"


@pytest.mark.parametrize(
    ("strategies", "expected"),
    [
        (
            "[random, bagde]",
            "strategies[1]: 'bagde' is not a strategy; did you mean 'badge'? "
            f"Allowed: {STRATEGIES}",
        ),
        ("[random, badge, random]", "strategies[2]: 'random' is listed twice"),
        ("[badge]", "baseline: 'random' is not among the strategies of the study. Allowed: badge"),
        (
            "[random, {strategy: badge, loss_label: known}]",
            "strategies[1]: a strategy with options needs a name, such as 'name: badge_known'",
        ),
        (
            "[random, {name: b, strategy: badge, loss_label: knwn}]",
            "strategies[1].loss_label: 'knwn' is not a choice; did you mean 'known'? "
            "Allowed: hypothesised, known",
        ),
        (
            "[random, {name: m, strategy: margin, loss_label: known}]",
            "strategies[1].loss_label: 'loss_label' is not an option of margin: it has none",
        ),
        (
            "[random, {name: margin, strategy: badge, loss_label: known}]",
            "strategies[1].name: 'margin' is the name of another strategy: choose a different name",
        ),
        (
            "[random, {strategy: trimmed, share: 0.1, then: {strategy: badge, loss_label: known}}]",
            "strategies[1]: a strategy with options needs a name, such as 'name: "
            "trimmed_0_1_badge_known'",
        ),
        (
            "[random, {name: t, strategy: trimmed, share: 2}]",
            "strategies[1].share: must be at least 0 and at most 1, not 2.0",
        ),
        (
            "[random, {name: t, strategy: trimmed, over_epochs: -1}]",
            "strategies[1].over_epochs: must be at least 0, not -1",
        ),
        (
            "[random, {name: t, strategy: trimmed, then: bagde}]",
            "strategies[1].then: 'bagde' is not a strategy; did you mean 'badge'? "
            f"Allowed: {STRATEGIES}",
        ),
        (
            "[random, {name: t, strategy: trimmed, then: {strategy: trimmed, then: [badge]}}]",
            "strategies[1].then.then: must be a strategy's name or {strategy: ..., options}, "
            "not ['badge']",
        ),
        (
            "[random, {name: t, strategy: trimmed, then: {strategy: badge, los_label: known}}]",
            "strategies[1].then.los_label: 'los_label' is not an option of badge; did you mean "
            "'loss_label'? Allowed: loss_label",
        ),
        (
            "[random, {name: t, strategy: trimmed, then: {strategy: badge, loss_label: knwn}}]",
            "strategies[1].then.loss_label: 'knwn' is not a choice; did you mean 'known'? "
            "Allowed: hypothesised, known",
        ),
        (
            "[random, {name: p, strategy: power, of: badge}]",
            f"strategies[1].of: badge does not rank bags by a score: choose one of {RANKINGS}",
        ),
        (
            "[random, {name: g, strategy: gibbs, of: {strategy: trimmed, then: margin}}]",
            f"strategies[1].of: trimmed does not rank bags by a score: choose one of {RANKINGS}",
        ),
        (
            "[random, {name: a/b, strategy: badge}]",
            "strategies[1].name: must consist of a-z, 0-9 and _, not 'a/b'",
        ),
    ],
)
def test_mistake_in_the_strategies_is_one_line(study, strategies, expected):
    start = STUDY.replace("[full, random, badge]", strategies)
    assert message(study, "", start) == f"mine.yaml: {expected}"


@pytest.mark.parametrize("missing", ["title", "dataset", "strategies"])
def test_missing_key_is_named(study, missing):
    lines = [line for line in STUDY.splitlines(True) if not line.startswith(missing)]
    assert message(study, "", "".join(lines)) == f"mine.yaml: {missing}: is missing"


def test_a_folder_or_unreadable_file_is_one_line(here):
    (here / "empty.yaml").write_text("")
    (here / "bytes.yaml").write_bytes(b"title: \xff")
    assert message(config.load_study, "empty.yaml").startswith("empty.yaml: must hold keys")
    assert message(config.load_study, "bytes.yaml") == "bytes.yaml: is not UTF-8 text"
    assert message(config.load_study, "none.yaml") == "study: there is no file none.yaml"


def test_study_file_name_must_fit_paths(study):
    assert message(study, "", STUDY, "My study") == (
        "study: 'My study.yaml': the name of a study's file must consist of a-z, 0-9 and _"
    )


# ----------------------------------------------------------------------------- what a study means
def test_classes_by_name_number_or_all(study):
    assert study("classes: [ship, 0, 2]").classes == ["ship", "airplane", "bird"]
    assert study("classes: horse").classes == ["horse"]
    assert study().classes == study("classes: all").classes == CIFAR10.split(", ")


def test_number_that_is_a_class_name_means_that_class(study, monkeypatch):
    assert study("classes: [8, '3']", STUDY.replace("cifar10", "digits")).classes == ["8", "3"]
    monkeypatch.setattr("weakneg.config.classes.class_names", lambda dataset: ("2", "0", "1"))
    assert study("classes: [0]").classes == ["0"]


def test_number_of_seeds_counts_from_zero(study):
    assert study("seeds: 3").seeds == [0, 1, 2]
    assert study("seeds: [7, 2]").seeds == [7, 2]


def test_learning_rate_in_scientific_notation_is_a_number(study):
    assert study("training: {learning_rate: 1e-3}").training.learning_rate == 0.001


def test_options_are_given_or_default(study):
    strategies = "[random, badge, {name: badge_known, strategy: badge, loss_label: known}]"
    mine = study("", STUDY.replace("[full, random, badge]", strategies))
    assert mine.strategy_names == ["random", "badge", "badge_known"]
    assert mine.strategy("badge").options == {"loss_label": "hypothesised"}
    assert mine.strategy("badge_known").options == {"loss_label": "known"}
    assert mine.strategy("badge_known").strategy == "badge"


@pytest.mark.parametrize(
    ("name", "slug"), [("Male speech, man speaking", "male_speech_man_speaking"), ("Café", "cafe")]
)
def test_class_slug_is_safe_in_paths(name, slug):
    assert class_slug(name) == slug


def test_classes_that_would_share_a_folder_are_refused(study, monkeypatch):
    names = ("Dog bark", "Dog, bark", "?")
    for module in ("classes", "checks"):
        monkeypatch.setattr(f"weakneg.config.{module}.class_names", lambda dataset: names)
    assert message(study) == (
        "mine.yaml: classes[1]: 'Dog, bark' and 'Dog bark' would share a folder: leave one of them "
        "out"
    )
    assert message(study, "classes: ['?']") == (
        "mine.yaml: classes[0]: '?' has no letters or digits to name a folder after: leave it out"
    )


# ----------------------------------------------------------------------------- extends
def test_extends_merges_mappings_replaces_lists_and_keeps_what_is_its_own(study, here):
    study("training: {epochs: 7, patience: 2}\nclasses: [bird, cat]\nnote: Old.", name="base")
    start = "title: Child\nextends: base.yaml\ntraining: {epochs: 9}\nclasses: [dog]\n"
    child = study("", start)
    assert (child.training.epochs, child.training.patience) == (9, 2)
    assert child.classes == ["dog"]
    assert child.strategy_names == ["full", "random", "badge"]
    assert (child.name, child.title, child.note) == ("mine", "Child", "")


def test_extends_by_path_is_relative_to_the_file_that_says_it(here):
    folder = here / "deep"
    folder.mkdir()
    (folder / "base.yaml").write_text(STUDY)
    (folder / "child.yaml").write_text("title: Child\nextends: ./base.yaml\nseeds: 1\n")
    assert config.load_study("deep/child.yaml").seeds == [0]


def test_extends_in_a_circle_is_refused(here):
    for name, parent in (("a", "b"), ("b", "c"), ("c", "a")):
        (here / f"{name}.yaml").write_text(f"title: T\nextends: {parent}.yaml\n")
    assert message(config.load_study, "a.yaml") == (
        "c.yaml: extends: 'a.yaml' creates a cycle: a -> b -> c -> a"
    )


def test_title_is_not_inherited(study):
    study(name="base")
    assert message(study, "", "extends: base.yaml\n") == "mine.yaml: title: is missing"


def test_mistake_in_what_is_inherited_names_both_files(study, here):
    (here / "base.yaml").write_text(STUDY + "training: {epochs: 0}\n")
    assert message(study, "", "title: T\nextends: base.yaml\n") == (
        "mine.yaml (extends base): training.epochs: must be greater than or equal to 1, not 0"
    )


# ----------------------------------------------------------------------------- config.yaml
def built(**settings) -> Study:
    """The one study that is built with these settings of config.yaml or the command line."""
    loaded = config.load(settings, "no such file")
    return loaded.study(loaded.default_studies[0])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"study": "digits"},
            "study: 'study' is not a key here; did you mean 'studies'? "
            "Allowed: studies, data, device, classes, strategies, seeds",
        ),
        ({"studies": []}, "studies: must not be empty"),
        (
            {"studies": ["digits", "digits"]},
            "studies[1]: 'digits': the study digits is listed twice",
        ),
        ({"studies": ["a/b.yaml"]}, "studies[0]: there is no file a/b.yaml"),
        (
            {"device": "gpu"},
            "device: 'gpu' is not a device; did you mean 'cpu'? Allowed: auto, cpu, cuda, cuda:N",
        ),
        (
            {"data": {"cifar": "x"}},
            "data.cifar: 'cifar' is not a data set; did you mean 'cifar10'? "
            "Allowed: audioset, audioset_vggish, cifar10, cifar100, digits, "
            "instances, recordings, soundscapes",
        ),
        ({"seeds": 0}, "seeds: must be from 1 to 10,000, not 0"),
        (
            {"studies": "cifar10", "classes": ["airplan"]},
            "classes: 'airplan' is not a class of the study cifar10; did you mean 'airplane'? "
            f"Allowed: {CIFAR10}",
        ),
        (
            {"studies": "cifar10_ratio1", "classes": ["truck"]},
            "classes: 'truck' is not a class of the study cifar10_ratio1. "
            "Allowed: airplane, automobile",
        ),
        (
            {"studies": "cifar10_ratio1", "strategies": ["entropy"]},
            "strategies: 'entropy' is not a strategy of the study cifar10_ratio1. "
            "Allowed: random, gradient_embedding, badge",
        ),
    ],
)
def test_mistake_on_the_command_line_is_one_line(here, settings, expected):
    assert message(lambda: built(**settings)) == f"--config: {expected}"


def test_mistake_is_traced_to_the_file_or_the_command_line(here):
    (here / "config.yaml").write_text("device: gpu\nseeds: 2\n")
    in_file = {"device": "gpu", "seeds": 2}
    assert message(config.load, in_file).startswith("config.yaml: device: 'gpu'")
    assert message(config.load, in_file | {"device": "tpu"}).startswith("--config: device: 'tpu'")


def test_numbers_in_lists_of_the_command_line_are_numbers(here):
    # As Snakemake reads `--config 'classes=[0,9]' 'seeds=[4,0]'`.
    study = built(studies="cifar10", classes=["0", "9"], seeds=["4", "0"])
    assert (study.classes, study.seeds) == (["airplane", "truck"], [4, 0])
    assert built(studies="digits", classes=["8", "3"]).classes == ["3", "8"]


def test_a_study_is_said_as_the_command_line_takes_it(here):
    (here / "mine.yaml").write_text("title: Mine\nextends: digits\n")
    settings = config.load({"studies": ["mine.yaml"]})
    assert (settings.said("mine"), settings.said("cifar10")) == ("mine.yaml", "cifar10")
    (here / "config.yaml").write_text("seeds: 3\n")
    shrunk = config.load({"classes": {"top": "2"}, "strategies": "badge", "seeds": 3})
    expected = """audioset --config 'classes={"top": 2}' 'strategies=["badge"]'"""
    assert shrunk.said("audioset") == expected


def test_command_line_shrinks_the_grid_in_the_order_of_the_study(here):
    study = built(studies="cifar10", classes=["truck", 0], strategies=["badge", "random"], seeds=2)
    assert study.classes == ["airplane", "truck"]
    assert study.strategy_names == ["random", "badge"]
    assert study.seeds == [0, 1]
    assert study.name == "cifar10"


def test_one_value_on_the_command_line_is_a_list_of_one(here):
    study = built(studies="cifar10", classes="ship", strategies="random", seeds=[4])
    assert (study.classes, study.strategy_names, study.seeds) == (["ship"], ["random"], [4])


def test_baseline_stays_in_a_smaller_grid(here):
    assert built(studies="cifar10", strategies="badge").strategy_names == ["random", "badge"]


def test_study_that_is_not_built_may_lack_the_class_asked_for(here):
    loaded = config.load({"studies": ["digits"], "classes": ["airplane"]})
    assert loaded.study("cifar10").classes == ["airplane"]
    assert message(loaded.study, "digits").startswith("--config: classes: 'airplane'")


def test_only_studies_asked_for_need_to_be_right(here):
    folder = here / "studies"
    folder.mkdir()
    (folder / "good.yaml").write_text(STUDY)
    (folder / "bad.yaml").write_text("tilte: T\n")
    loaded = config.load({"studies": ["good"]}, studies_folder=folder)
    assert loaded.study_names == ["bad", "good"]
    assert message(loaded.study, "bad").startswith("studies/bad.yaml: tilte: 'tilte'")
    assert message(lambda: config.load({"studies": "bad"}, studies_folder=folder)).startswith(
        "studies/bad.yaml: tilte: 'tilte'"
    )


def test_study_of_ones_own_is_a_file_anywhere(here):
    (here / "my").mkdir()
    (here / "my" / "own.yaml").write_text("title: Own\nextends: digits\nclasses: [4]\n")
    loaded = config.load({"studies": ["my/own.yaml"]})
    assert loaded.default_studies == ["own"]
    assert {"own", "digits", "cifar10"} <= set(loaded.study_names)
    assert loaded.study("own").classes == ["4"]


def test_study_of_ones_own_may_not_take_a_name_that_is_taken(here):
    (here / "digits.yaml").write_text(STUDY)
    assert "has the same name as" in message(config.load, {"studies": ["digits.yaml"]})


# ----------------------------------------------------------------------------- sources of sound
OF_AUDIOSET = (
    "title: Mine\ndataset: {name: audioset}\nclasses: [Dog]\nmodel: {name: cnn}\n"
    "strategies: [random]\n"
)
OF_SOUNDSCAPES = OF_AUDIOSET.replace("audioset", "soundscapes").replace("Dog", "Bark")


@pytest.mark.parametrize(
    ("start", "lines", "expected"),
    [
        (
            OF_AUDIOSET,
            "source: {type: youtub}",
            "source.type: 'youtub' is not a source; did you mean 'youtube'? "
            "Allowed: folder, youtube, huggingface",
        ),
        (OF_AUDIOSET, "source: {url: 'http://a.org/{id}'}", "source.type: is missing"),
        (
            OF_AUDIOSET,
            "source: youtube",
            "source: must be a mapping of keys to values, not 'youtube'",
        ),
        (
            OF_AUDIOSET,
            "source: {type: folder, folder: clips, nam: x}",
            "source.nam: 'nam' is not a key of the source folder; did you mean 'name'? "
            "Allowed: type, folder, name",
        ),
        (
            OF_AUDIOSET,
            "source: {type: youtube, retries: -1}",
            "source.retries: must be greater than or equal to 0, not -1",
        ),
        *(
            (
                OF_AUDIOSET,
                lines,
                "source.folder: is missing: name the folder of the clips, which audioset does not "
                "include",
            )
            for lines in ("", "source: {type: folder}")
        ),
        *(
            (OF_SOUNDSCAPES, lines, "source: soundscapes includes its sound: remove this key")
            for lines in ("source: {type: youtube}", "source: {type: folder, folder: x}")
        ),
        (
            STUDY,
            "source: {type: folder, folder: x}",
            "source: cifar10 is not an audio data set: remove this key",
        ),
    ],
)
def test_mistake_in_a_source_is_one_line(study, start, lines, expected):
    assert message(study, lines, start) == f"mine.yaml: {expected}"


@pytest.mark.parametrize(
    ("start", "lines", "expected"),
    [
        (
            STUDY,
            "augmentation: {}",
            "augmentation: cifar10 is not an audio data set: remove this key",
        ),
        (
            OF_SOUNDSCAPES,
            "augmentation: {frequency_mask: 0}",
            "augmentation.mixup_domain: mixing waveforms requires that they are kept: set "
            "audio.waveform to true, or mixup_domain to 'spectrogram'",
        ),
        (
            OF_SOUNDSCAPES,
            "augmentation: {mixup_rate: 0.0, frequency_mask: 200}",
            "augmentation.frequency_mask: 200 is more than audio.mel_bins (128)",
        ),
        (
            OF_SOUNDSCAPES,
            "augmentation: {mixup: 0.5}",
            "augmentation.mixup: 'mixup' is not a key here; did you mean 'mixup_rate'? Allowed: "
            "mixup_rate, mixup_alpha, mixup_domain, frequency_mask, time_mask, noise",
        ),
        (
            OF_SOUNDSCAPES,
            "augmentation: {mixup_rate: 0, noise: {folder: backgrounds}}",
            "augmentation.noise: requires that waveforms are kept: set audio.waveform to true",
        ),
        (
            OF_SOUNDSCAPES,
            "augmentation: {mixup_domain: spectrogram, noise: {folder: backgrounds}}\n"
            "audio: {waveform: true}",
            "augmentation.mixup_domain: must be 'waveform', since noise is added to waveforms, or "
            "mixup_rate 0",
        ),
        (
            OF_SOUNDSCAPES,
            "augmentation: {mixup_rate: 0, noise: {folder: backgrounds, snr_db: [30, 3]}}\n"
            "audio: {waveform: true}",
            "augmentation.noise.snr_db: must be the lowest ratio and the highest, not [30.0, 3.0]",
        ),
        (
            STUDY,
            "training: {betas: [0.9]}",
            "training.betas: must have 2 numbers, not [0.9]",
        ),
        (
            STUDY,
            "sampling: {candidate_fraction: 0.0}",
            "sampling.candidate_fraction: must be greater than 0, not 0.0",
        ),
    ],
)
def test_mistake_in_how_a_model_is_trained_is_one_line(study, start, lines, expected):
    assert message(study, lines, start) == f"mine.yaml: {expected}"


def test_what_needs_no_waveforms_does_not_ask_for_them(study):
    for lines in (
        "augmentation: {mixup_domain: spectrogram}",
        "augmentation: {mixup_rate: 0.0}",
        "audio: {waveform: true}\naugmentation: {}",
    ):
        assert study(lines, OF_SOUNDSCAPES).augmentation is not None
    assert study("augmentation: null", OF_SOUNDSCAPES).augmentation is None


def test_how_politely_a_source_is_asked_is_no_parameter_of_what_is_asked(study):
    def settings(more: str = "") -> tuple[dict, str]:
        made = study(f"source: {{type: youtube{more}}}", OF_AUDIOSET)
        return AcquireSettings.of(made, "train", "000").source, Results(made).politeness

    for more in (", clips_per_minute: 1.0", ", retry_failed: true", ", cookies: c", ", retries: 0"):
        assert settings(more)[0] == settings()[0]
        assert settings(more)[1] != settings()[1]
    other = settings(", url: 'https://a.org/{id}'")
    assert other[0] != settings()[0]
    assert other[1] == settings()[1]


# ----------------------------------------------------------------------------- what stages read
def slices(study: Study) -> dict[str, str]:
    return {
        "features": FeaturesSettings.of(study).text(),
        "bags": ManifestSettings.of(study).text(),
        "run": RunSettings.of(study, "badge").text(),
        "score": ScoreSettings.of(study).text(),
        "report": ReportSettings.of(study).text(),
    }


@pytest.mark.parametrize(
    ("lines", "readers"),
    [
        ("title: Other", {"report"}),
        ("note: Mind this.", {"report"}),
        ("description: Words.", set()),
        ("baseline: full", {"report"}),
        ("classes: [bird]", {"report"}),
        ("strategies: [random, badge]", {"report"}),
        ("reference: {source: s, values: {}}", {"report"}),
        ("dataset: {name: cifar100}\nclasses: [bed]", {"features", "report"}),
        ("bags: {bag_size: 3}", {"bags"}),
        ("bags: {draw_per_seed: true}", {"bags", "run", "score"}),
        ("model: {pooling: softmax_max}", {"run", "score"}),
        ("sampling: {negatives_per_positive: 1.0}", {"run"}),
        ("training: {epochs: 3}", {"run"}),
        ("training: {score_batch_size: 8}", {"run", "score"}),
        ("seeds: 2", {"run"}),
    ],
)
def test_a_change_reaches_the_stages_that_read_it_and_no_other(study, lines, readers):
    study(name="base")
    start = "extends: base.yaml\n" + ("" if "title" in lines else "title: Mine\n")
    before = slices(study(name="changed"))
    after = slices(study(lines, start, name="changed"))
    assert {stage for stage in before if before[stage] != after[stage]} == readers


def test_seeds_reach_the_bags_when_each_seed_draws_its_own(study):
    assert ManifestSettings.of(study("seeds: 2")).seeds is None
    own = study("seeds: 2\nbags: {draw_per_seed: true}")
    assert ManifestSettings.of(own).seeds == [0, 1]


def test_default_said_or_left_out_is_the_same_run(study):
    strategies = "[random, {name: badge, strategy: badge, loss_label: hypothesised}]"
    said = study("training: {epochs: 15}", STUDY.replace("[full, random, badge]", strategies))
    assert RunSettings.of(said, "badge") == RunSettings.of(study(), "badge")


def test_settings_name_no_default_loss_so_that_old_runs_stay(study):
    settings = RunSettings.of(study("training: {loss: bce}"), "badge")
    assert "loss" not in settings.model_dump()["training"]
    assert RunSettings.model_validate_json(settings.text()).training.loss.name == "bce"
    assert "losses.bce" in settings.plugins


def test_option_reaches_its_own_run_only(study):
    strategies = "[random, badge, {name: known, strategy: badge, loss_label: known}]"
    mine = study("", STUDY.replace("[full, random, badge]", strategies))
    assert RunSettings.of(mine, "badge") == RunSettings.of(study(), "badge")
    assert RunSettings.of(mine, "known").options == {"loss_label": "known"}


def test_a_strategy_in_an_option_reaches_the_run_with_its_options_and_its_file(study):
    strategies = (
        "[random, {name: trimmed_badge, strategy: trimmed, share: 0.1, then: badge}, "
        "{name: known, strategy: trimmed, then: {strategy: badge, loss_label: known}}, trimmed]"
    )
    mine = study("", STUDY.replace("[full, random, badge]", strategies))
    settings = RunSettings.of(mine, "trimmed_badge")
    badge = {"strategy": "badge", "loss_label": "hypothesised"}
    assert settings.options == {"share": 0.1, "over_epochs": 0, "then": badge}
    assert RunSettings.of(mine, "known").options["then"] == badge | {"loss_label": "known"}
    assert RunSettings.of(mine, "trimmed").options["then"] == {"strategy": "random"}
    for run, inner in (("trimmed_badge", "badge"), ("known", "badge"), ("trimmed", "random")):
        settings = RunSettings.of(mine, run)
        assert RunSettings.model_validate_json(settings.text()) == settings
        loaded = [plugin for plugin in settings.plugins if plugin.startswith("strategies.")]
        assert loaded == ["strategies.trimmed", f"strategies.{inner}"]
    assert ReportSettings.of(mine).display_names["trimmed_badge"] == "BADGE, trimmed"


def test_a_draw_by_scores_uses_those_of_the_hardest_unless_told_otherwise(study):
    strategies = "[random, power, {name: gibbs_margin, strategy: gibbs, beta: 2, of: margin}]"
    mine = study("", STUDY.replace("[full, random, badge]", strategies))
    assert RunSettings.of(mine, "power").options == {"beta": 1.0, "of": {"strategy": "hardest"}}
    settings = RunSettings.of(mine, "gibbs_margin")
    assert settings.options == {"beta": 2.0, "of": {"strategy": "margin"}}
    assert "strategies.margin" in settings.plugins
    shown = ReportSettings.of(mine).display_names
    assert (shown["power"], shown["gibbs_margin"]) == ("Hardest, power", "Margin, Gibbs")


def test_strategies_share_a_run_if_those_in_their_options_choose_the_same_bags(study):
    strategies = (
        "[random, {name: a, strategy: trimmed, then: margin}, "
        "{name: b, strategy: trimmed, then: entropy}, "
        "{name: c, strategy: trimmed, then: {strategy: trimmed, then: entropy}}]"
    )
    mine = study("", STUDY.replace("[full, random, badge]", strategies))
    assert mine.runs == {"random": "random", "a": "a", "b": "a", "c": "c"}


@pytest.mark.parametrize("name", sorted(path.stem for path in STUDIES.glob("*.yaml")))
def test_stages_read_back_what_a_study_hands_them(name):
    study = config.load_study(name)
    read = [FeaturesSettings.of(study), ScoreSettings.of(study), ReportSettings.of(study)]
    read += [RunSettings.of(study, each) for each in study.strategy_names]
    if study.kind == "images":
        read.append(ManifestSettings.of(study))
    for settings in read:
        assert type(settings).model_validate_json(settings.text()) == settings


def test_strategies_that_choose_the_same_bags_share_a_run_in_every_grid():
    digits = config.load_study("digits")
    shared = {"entropy": "margin", "least_confidence": "margin"}
    assert digits.runs == {name: shared.get(name, name) for name in digits.strategy_names}
    alone = subset(digits, None, ["entropy"], None)
    assert alone.runs == {"random": "random", "entropy": "margin"}
    assert RunSettings.of(alone, "margin") == RunSettings.of(digits, "margin")


def test_one_strategy_under_two_names_has_one_run(here):
    (here / "mine.yaml").write_text(
        "title: Mine\nextends: digits\nstrategies: [random, badge, entropy, "
        "{name: guessed, strategy: badge, loss_label: hypothesised}, "
        "{name: known, strategy: badge, loss_label: known}, {name: unsure, strategy: margin}]\n"
    )
    assert config.load_study("mine.yaml").runs == {
        "random": "random",
        **dict.fromkeys(("badge", "guessed"), "badge"),
        **dict.fromkeys(("entropy", "unsure"), "margin"),
        "known": "known",
    }


def test_canonical_form_does_not_depend_on_the_order_of_keys():
    assert canonical({"b": [1, 2], "a": None}) == '{"a":null,"b":[1,2]}'
    assert canonical({"a": None, "b": [1, 2]}) == '{"a":null,"b":[1,2]}'


# ----------------------------------------------------------------------------- the files
def test_schemas_are_in_step_with_the_models():
    for name, text in config.schemas().items():
        assert (SCHEMAS / name).read_text() == text, "run `python -m weakneg schema`"


def test_every_key_of_a_schema_is_described():
    for text in config.schemas().values():
        schema = json.loads(text)
        for key, entry in schema["properties"].items():
            described = entry if "description" in entry else schema["$defs"][entry["$ref"][8:]]
            assert described["description"], key


def test_config_file_says_every_key_with_its_default():
    content = yaml.safe_load((ROOT / "config.yaml").read_text())
    defaults = config.Config().model_dump()
    defined = {name: datasets.load(name) for name in datasets.names()}
    fetched = {name for name, each in defined.items() if isinstance(each, Dataset) and each.files}
    assert content.pop("data").keys() == fetched - {"soundscapes"}  # made on the spot
    assert content == {key: value for key, value in defaults.items() if key != "data"}


def test_cifar10_has_table_1_of_the_paper():
    study = config.load_study("cifar10")
    values = study.reference.values
    assert (len(study.classes), len(study.strategies), study.seeds) == (10, 10, [0, 1, 2, 3, 4])
    assert set(study.strategy_names) - set(values) == {"margin", "kl_probability"}
    assert values["svm_margin"]["airplane"].model_dump() == {"ap": 0.87, "roc_auc": 0.95}
    assert values["kl_embedding"]["automobile"].ap == 0.89


def test_checking_every_study_needs_no_torch():
    code = (
        "import sys\n"
        "from weakneg.config.files import STUDIES\n"
        "from weakneg.config.load import load_study\n"
        "for path in STUDIES.glob('*.yaml'): load_study(path)\n"
        "print([name for name in ('torch', 'sklearn', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(WORKFLOW)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_a_file_of_no_class_or_strategy_of_the_study_is_a_clear_line():
    digits = config.load_study("digits")
    assert "did you mean 'badge'" in message(digits.strategy, "bagde")
    assert "'7' is not a class of the study digits" in message(digits.class_of, "7")


def test_the_look_of_a_strategy_reaches_the_figures_and_that_of_a_variant_does_not(study):
    strategies = "[random, badge, {name: known, strategy: badge, loss_label: known}]"
    settings = FigureSettings.of(study("", STUDY.replace("[full, random, badge]", strategies)))
    assert settings.looks.keys() == {"random", "badge"}
    assert settings.looks["badge"] == {"colour": "#0072B2", "marker": "P"}


def test_the_upper_bound_is_the_strategy_without_a_budget():
    digits = config.load_study("digits")
    assert ReportSettings.of(digits).upper_bound == "full"
    assert ReportSettings.of(subset(digits, None, ["badge"], None)).upper_bound is None


def test_only_lists_of_a_users_own_leave_anything_unknown(study):
    with pytest.raises(UserError, match=r"dataset\.unlisted: cifar10 has no unknown bags: remove"):
        study("dataset: {name: cifar10, unlisted: unknown}", "title: T\nstrategies: [random]\n")
    said = study("dataset: {name: cifar10, unlisted: negative}", "title: T\nstrategies: [random]\n")
    assert "unlisted" not in FeaturesSettings.of(said).text()

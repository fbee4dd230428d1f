"""Trained models on new recordings: the study's own scores, by the command line and as ONNX."""

import csv
import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import soundfile
import torch
from by_position import compute_shard, score_run, train_run
from onnx import load as load_onnx
from scipy.special import expit, logit
from sklearn.metrics import f1_score

from weakneg.audio.decode import open_audio
from weakneg.audio.recordings import Recording, write_recordings
from weakneg.bags.manifest import list_clips
from weakneg.command_line import main
from weakneg.config.sections import AudioSettings, ModelSettings
from weakneg.config.stages import OF_STORES, RunSettings, ScoreSettings
from weakneg.features.from_shards import join as join_features
from weakneg.inference import export as exporting
from weakneg.inference import predict as predicting
from weakneg.inference.one_class import one_class
from weakneg.inference.unfinished import unfinished_tables
from weakneg.models import bag_classifier
from weakneg.models.pooling import POOLINGS
from weakneg.training.thresholds import Validation

RATE = 16_000
AUDIO = AudioSettings(clip_seconds=1.0, mel_bins=16, frame_shift_ms=5.0)
SEEDS = (0, 3)
CLASSES = ("Hum", "Ring, loud")
RUNS = [*((name, pooling) for pooling in ("attention", "psla", *POOLINGS) for name in CLASSES)]

# Test recordings: name -> seconds.
TEST = {
    "a b.wav": 1.0,
    "-x.wav": 0.7,
    "été 鳥.flac": 2.6,
    'q"u,o;te.wav': 1.0,
    "deep/long.ogg": 3.0,
}


def sound(seconds: float, hertz: list[float], seed: int) -> np.ndarray:
    """Noise, and a tone of every frequency somewhere in it."""
    rng = np.random.default_rng(seed)
    samples = 0.05 * rng.standard_normal(round(seconds * RATE))
    for frequency in hertz:
        start, length = int(rng.integers(len(samples) // 2)), len(samples) // 3
        tone = np.sin(2 * np.pi * frequency * np.arange(length) / RATE)
        samples[start : start + length] += 0.3 * tone
    return samples


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    subtype = {} if path.suffix == ".ogg" else {"subtype": "PCM_16"}
    soundfile.write(str(path), samples, rate, **subtype)
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A small study of sound: recordings, features, and in runs/ models with the test's scores."""
    folder = tmp_path_factory.mktemp("study")
    names = {
        "train": {f"{number}.wav": 0.6 + number % 3 for number in range(24)},
        "test": TEST,
    }
    settings = AUDIO.model_dump(exclude=OF_STORES)
    rows, shards = [], {}
    for split, of_split in names.items():
        for number, (name, seconds) in enumerate(of_split.items()):
            labels = [label for bit, label in enumerate(CLASSES) if number >> bit & 1]
            hertz = [{"Hum": 200.0, "Ring, loud": 3000.0}[label] for label in labels]
            write(folder / split / name, sound(seconds, hertz, number + 100 * len(of_split)))
            rows.append({"id": name, "split": split, "file": name, "labels": labels})
        with open(folder / "status.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("id", "path", "start", "end", "status", "message"))
            writer.writerows((name, folder / split / name, "", "", "ok", "") for name in of_split)
        shards[split] = [folder / split / "000.h5"]
        compute_shard(folder / "status.csv", settings, shards[split][0], 1)
    write_recordings(folder / "recordings.csv", map(Recording.of, rows))
    stores = {split: folder / f"{split}.h5" for split in shards}
    settings |= {"statistics": "training", "padding": "masked"}
    listed = folder / "recordings.csv"
    join_features(listed, shards, CLASSES, settings, *stores.values(), folder / "problems.csv")
    for split, store in stores.items():
        list_clips(store, folder / f"{split}.csv")
    for class_name, pooling in RUNS:
        run(folder, class_name, pooling)
    return folder


def run(folder: Path, class_name: str, pooling: str, classes: list[str] | None = None) -> Path:
    """Train and score a run, of one class or of many; the strategy is called like the pooling."""
    model = {"name": "cnn", "pooling": pooling}
    settings = RunSettings.model_validate(
        {
            "model": model,
            "sampling": {"negatives_per_positive": 1.0},
            "training": {"epochs": 2, "batch_size": 8, "validation_fraction": 0.3},
            "strategy": "random" if classes is None else "full",
            "options": {},
            "seeds": list(SEEDS),
            "draw_per_seed": False,
            "classes": classes,
        }
    )
    identity = {"study": "s", "class": class_name, "strategy": pooling, "fingerprint": "f00d"}
    target = folder / "runs" / class_name / pooling
    train_run(folder / "train.h5", folder / "train.csv", target, settings, identity, "cpu", 1)
    score_run(
        folder / "test.h5",
        folder / "test.csv",
        target / "model.pt",
        class_name,
        target / "scores.parquet",
        ScoreSettings(
            model=settings.model, score_batch_size=7, draw_per_seed=False, classes=classes
        ),
        "cpu",
        1,
    )
    return target


def runs(study: Path, pooling: str = "attention") -> list[Path]:
    """One of each class."""
    return [study / "runs" / name / pooling for name in CLASSES]


@pytest.fixture
def predict(tmp_path):
    """predict(models, recordings, options...) -> the table, or those of clips and of frames."""

    def predict(models, recordings, *options, frames=False, status=0):
        tables = [tmp_path / name for name in ("scores.csv", "frames.csv")][: 1 + frames]
        arguments = ["--threads", "2", "--device", "cpu", "--output", tables[0], *options]
        arguments += ["--frames", tables[1]] if frames else []
        arguments = ["predict", *arguments, "--models", *models, "--", *recordings]
        assert main(list(map(str, arguments))) == status
        read = [pd.read_csv(table) for table in tables]
        return read if frames else read[0]

    return predict


def own_scores(study: Path, run: Path, seed: int, number: int | None = None) -> pd.Series:
    """(recording, start) -> probability in the study's scores, of a class where there are many."""
    bags = pd.read_csv(study / "test.csv", index_col="bag")
    scores = pd.read_parquet(run / "scores.parquet")
    scores = scores[scores.seed == seed].set_index("bag").score
    if number is not None:
        scores = scores.str[number]
    scores.index = pd.MultiIndex.from_arrays(
        [bags.id.str.rsplit("@", n=1).str[0].loc[scores.index], bags.start.loc[scores.index]]
    )
    return 1 / (1 + np.exp(-scores))


def by_clip(table: pd.DataFrame, folder: Path) -> pd.Series:
    names = table.recording.map(lambda path: Path(path).relative_to(folder).as_posix())
    return table.set_index([names, table.start.rename("start")]).score


# ---- scores ------------------------------------------------------------------------------------
@pytest.mark.parametrize("pooling", ["attention", "psla", *POOLINGS])
def test_the_scores_of_the_test_recordings_are_those_of_the_study(study, predict, pooling):
    for model in runs(study, pooling):
        expected = {seed: own_scores(study, model, seed) for seed in SEEDS}
        assert expected[0].nunique() == len(expected[0]) == 9
        for chosen in ([0], [3], SEEDS):
            options = [] if chosen is SEEDS else ["--seeds", *chosen]
            table = predict([model], [study / "test"], *options)
            assert set(table.seeds.astype(str)) == {";".join(map(str, chosen))}
            found = by_clip(table, study / "test")
            mean = sum(expected[seed] for seed in chosen) / len(chosen)
            assert set(found.index) == set(mean.index)
            np.testing.assert_allclose(found, mean.loc[found.index], rtol=0, atol=2e-6)


@pytest.mark.parametrize("pooling", ["attention", "psla", "mean_softmax", "softmax_max"])
def test_a_model_of_many_classes_scores_each_as_the_study_does(study, predict, pooling):
    model = run(study, "All", pooling, list(CLASSES))
    clips, frames = predict([model], [study / "test"], frames=True)
    assert len(clips) == 2 * 9
    for number, (name, table) in enumerate(clips.groupby("class", sort=False)):
        assert name == CLASSES[number]
        mean = sum(own_scores(study, model, seed, number) for seed in SEEDS) / len(SEEDS)
        found = by_clip(table, study / "test")
        np.testing.assert_allclose(found, mean.loc[found.index], rtol=0, atol=2e-6)
    assert frames.groupby("class").size().nunique() == 1
    assert frames.part.isna().all() == (pooling in POOLINGS)


@pytest.mark.parametrize("pooling", ["attention", "psla", "softmax_max"])
@pytest.mark.parametrize("n_classes", [1, 2])
def test_a_class_of_a_model_has_its_logits_however_many_there_are(pooling, n_classes):
    settings = ModelSettings(name="cnn", pooling=pooling)
    many = bag_classifier.load(settings, (24, 16), n_classes).eval()
    x = torch.randn(3, 1, 24, 16)
    for number in range(n_classes):
        one = one_class(many, settings, number)
        torch.testing.assert_close(one(x), many(x)[:, number])


def test_a_model_of_many_classes_is_exported_as_one_of_each(study, tmp_path):
    model = run(study, "All", "attention", list(CLASSES))
    file = tmp_path / "many.onnx"  # export compares its scores with those of the model
    assert main(["export", "--models", str(model), "--output", str(file)]) == 0
    (listed,) = (each.value for each in load_onnx(file).metadata_props if each.key == "models")
    assert [each["class"] for each in json.loads(listed)] == list(CLASSES)


def test_every_clip_has_a_row_of_every_model(study, predict):
    models = [study / "runs" / name / pooling for name, pooling in RUNS]
    together = predict(models, [study / "test"])
    assert len(together) == 9 * len(models)
    assert not together.duplicated(["recording", "start", "study", "class", "strategy"]).any()
    for (name, pooling), rows in together.groupby(["class", "strategy"]):
        alone = predict([study / "runs" / name / pooling / "model.pt"], [study / "test"])
        pd.testing.assert_frame_equal(rows.reset_index(drop=True), alone, atol=1e-6, rtol=0)


def test_long_recordings_are_scored_clip_by_clip(study, predict, tmp_path):
    """A clip gets the score of the same second in a file of its own; the last one may be short."""
    samples = sound(3.7, [200.0], 5)
    table = predict(runs(study)[:1], [write(tmp_path / "long.wav", samples)])
    assert table.start.tolist() == [0, 1, 2, 3]
    assert table.end.tolist() == [1, 2, 3, 3.7]
    for number, row in table.iterrows():
        clip = samples[number * RATE : (number + 1) * RATE]
        alone = predict(runs(study)[:1], [write(tmp_path / f"{number}.wav", clip)])
        assert alone.score.item() == pytest.approx(row.score, abs=1e-6)


def test_a_model_hears_the_channel_that_it_was_trained_on(study, predict, tmp_path):
    saved = torch.load(runs(study)[0] / "model.pt", weights_only=True)
    saved["parameters"]["channel"] = "first"
    torch.save(saved, tmp_path / "model.pt")
    left, right = sound(1.0, [200.0], 5), sound(1.0, [3000.0], 6)
    both = predict(
        [tmp_path / "model.pt"], [write(tmp_path / "both.wav", np.stack([left, right], 1))]
    )
    alone = predict(runs(study)[:1], [write(tmp_path / "left.wav", left)])
    assert both.score.item() == pytest.approx(alone.score.item(), abs=1e-6)


def test_a_clip_has_the_time_at_which_it_starts(study, predict, tmp_path):
    name = tmp_path / "POND_20191231_235959.wav"
    table = predict(runs(study)[:1], [write(name, sound(2.0, [200.0], 5))])
    assert table[["date", "time", "site"]].to_numpy().tolist() == [
        ["2019-12-31", "23:59:59", "POND"],
        ["2020-01-01", "00:00:00", "POND"],
    ]


def test_what_is_left_at_the_end_of_a_recording_is_scored(study, predict, tmp_path):
    """In a clip that ends with the recording, unless the study's own clips are wanted."""
    samples = sound(3.3, [200.0], 5)
    long = write(tmp_path / "long.wav", samples)
    table = predict(runs(study)[:1], [long])
    assert table.start.tolist() == [0, 1, 2, 2.3]
    assert table.end.tolist() == [1, 2, 3, 3.3]
    alone = predict(runs(study)[:1], [write(tmp_path / "end.wav", samples[-RATE:])])
    assert table.score.iloc[-1] == pytest.approx(alone.score.item(), abs=1e-6)
    without = predict(runs(study)[:1], [long], "--no-tail")
    pd.testing.assert_frame_equal(without, table[:3], check_dtype=False)


def test_names_come_back_as_they_are(study, predict, monkeypatch):
    monkeypatch.chdir(study / "test")
    Path(".hidden.wav").write_bytes(b"")
    Path("notes.txt").write_text("no sound")
    assert sorted(set(predict(runs(study), ["."]).recording)) == sorted(TEST)
    named = ["-x.wav", "a b.wav", 'q"u,o;te.wav']
    assert predict(runs(study)[:1], named).recording.tolist() == named
    assert predict(runs(study)[:1], ["a b.wav", "a b.wav", "deep"]).recording.tolist() == [
        "a b.wav",
        *["deep/long.ogg"] * 3,
    ]


def test_what_a_folder_holds_besides_is_said(study, predict, tmp_path, capsys):
    folder = tmp_path / "in"
    write(folder / "a.wav", sound(1.0, [], 0))
    shutil.copy(folder / "a.wav", folder / "b.rf64")
    for name in ("notes.txt", "more.txt", "README"):
        (folder / name).write_text("no sound")
    assert len(predict(runs(study)[:1], [folder])) == 2
    said = f"{folder}: 3 files are skipped for their endings (2 .txt, 1 no ending)"
    assert said in capsys.readouterr().err


def test_a_name_that_is_no_text_does_not_stop_the_rest(study, predict, tmp_path):
    path = write(tmp_path / "in" / "a.wav", sound(1.0, [], 0))
    try:
        shutil.copy(path, bytes(path.parent) + b"/b\xff.wav")
    except OSError:
        pytest.skip("the file system takes text only")
    table = predict(runs(study)[:1], [path.parent])
    assert table.recording.str.endswith(("a.wav", r"b\udcff.wav")).all()
    assert len(set(table.score)) == 1


# ---- what cannot be scored -----------------------------------------------------------------------
def test_what_cannot_be_scored_has_its_reason_and_no_score(study, predict, tmp_path, capsys):
    recordings = tmp_path / "in"
    write(recordings / "1 good.wav", sound(1.0, [], 0))
    write(recordings / "2 silent.wav", np.zeros(RATE))
    half = np.concatenate([np.zeros(RATE), sound(1.0, [], 1), np.zeros(RATE)])
    write(recordings / "3 silent at both ends.wav", half)
    (recordings / "4 empty.wav").write_bytes(b"")
    (recordings / "5 no sound.mp3").write_text("<html>not found</html>")
    soundfile.write(recordings / "6 nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    write(recordings / "7 one sample.wav", np.ones(1))
    table = predict(runs(study), [recordings])
    problems = table[table.score.isna()]
    assert table.problem.notna().tolist() == table.score.isna().tolist()
    assert problems["class"].isna().all()
    assert problems.problem.str.split(":").str[0].tolist() == [
        *["silent"] * 3,
        *["empty", "unreadable", "not_finite", "silent"],
    ]
    assert problems.start.tolist()[1:3] == [0, 2]
    scored = table.recording[table.score.notna()].map(lambda path: Path(path).name)
    assert scored.tolist() == ["1 good.wav"] * 2 + ["3 silent at both ends.wav"] * 2
    assert "2 clips of 7 recordings were scored, 7 could not be used" in capsys.readouterr().err


def test_without_any_score_the_status_says_so_and_the_reasons_are_there(
    study, predict, tmp_path, capsys
):
    table = predict(runs(study), [write(tmp_path / "a.wav", np.zeros(RATE))], status=1)
    assert table.problem.str.startswith("silent").tolist() == [True]
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("what", ["missing", "empty folder"])
def test_no_recording_is_one_error_and_no_table(study, tmp_path, capsys, what):
    path = tmp_path / "there are none"
    if what != "missing":
        path.mkdir()
    output = tmp_path / "scores.csv"
    model = study / "runs" / "Hum" / "attention"
    assert main(["predict", str(path), "--models", str(model), "--output", str(output)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert not output.exists()


def test_a_folder_as_output_is_an_error_before_anything_is_scored(study, tmp_path, capsys):
    arguments = ["predict", study / "test", "--models", study / "runs" / CLASSES[0] / "attention"]
    assert main([*map(str, arguments), "--output", str(tmp_path)]) == 1
    assert f"{tmp_path} is a folder: name a file to write" in capsys.readouterr().err


def test_clips_and_frames_do_not_go_to_one_file(study, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    output, frames = tmp_path / "scores.csv", tmp_path / "there/../scores.csv"
    arguments = ["predict", study / "test", "--models", study / "runs" / CLASSES[0] / "attention"]
    assert main([*map(str, arguments), "--output", str(output), "--frames", str(frames)]) == 1
    assert "give --frames another name" in capsys.readouterr().err
    assert not output.exists()


def test_an_output_that_cannot_be_written_is_one_error(study, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" / "scores.csv"  # below a file
    model = study / "runs" / "Hum" / "attention"
    arguments = ["predict", study / "test", "--models", model, "--output", output]
    assert main(list(map(str, arguments))) == 1
    assert f"error: {output.parent} cannot be written" in capsys.readouterr().err


# ---- thresholds and chances ----------------------------------------------------------------------
def kept_of(run: Path) -> pd.DataFrame:
    """The validation bags that a run has kept, of all seeds."""
    kept = torch.load(run / "model.pt", weights_only=True)["validation"]
    assert set(kept) == set(SEEDS)
    return pd.concat(
        pd.DataFrame({name: each.numpy() for name, each in of_seed.items()})
        for of_seed in kept.values()
    )


def test_training_keeps_the_validation_bags_of_which_its_thresholds_are_the_best(study):
    run = study / "runs" / "Hum" / "attention"
    thresholds = json.loads((run / "run.json").read_text())["thresholds"]
    kept = torch.load(run / "model.pt", weights_only=True)["validation"]
    for seed, of_seed in kept.items():
        scored, label = of_seed["logit"].numpy(), of_seed["label"].numpy()
        scores = {t: f1_score(label, scored >= t) for t in scored}
        assert thresholds[str(seed)]["f1"] in scores
        assert scores[thresholds[str(seed)]["f1"]] == max(scores.values())


def test_a_threshold_of_each_class_is_written_and_said(study, predict, capsys):
    """It is the lowest score of a positive validation bag, as recall:1 is to find them all."""
    table = predict(runs(study), [study / "test"], "--threshold", "recall:1")
    lines = capsys.readouterr().err.splitlines()
    for run, name in zip(runs(study), CLASSES, strict=True):
        kept = kept_of(run)
        lowest = kept.logit[kept.label == 1].min()
        negatives = kept.logit[kept.label == 0]
        [threshold] = table.threshold[table["class"] == name].unique()
        assert threshold == pytest.approx(expit(lowest), abs=1e-12)
        said = f"{name} (s/attention): detected from a score of {threshold:.4g} (recall:1) on; on "
        [line] = [line for line in lines if line.startswith(said)]
        assert f"and {(negatives >= lowest).sum()} of {len(negatives)} negatives" in line


def test_a_model_of_many_classes_has_a_threshold_of_each(study, predict, tmp_path, capsys):
    model = run(study, "All", "attention", list(CLASSES))
    kept = torch.load(model / "model.pt", weights_only=True)["validation"].values()
    label, scored = (torch.cat([each[key] for each in kept]).numpy() for key in ("label", "logit"))
    for options in ([], ["--calibrated"]):
        table = predict([model], [study / "test"], "--threshold", "recall:1", *options)
        for number, (name, rows) in enumerate(table.groupby("class", sort=False)):
            validation = Validation(label[:, number], scored[:, number].astype(np.float64))
            lowest = validation.logit[validation.label == 1].min()
            if options:
                lowest = validation.calibrate().logit(lowest)
            assert name == CLASSES[number]
            assert rows.threshold.unique() == pytest.approx(expit(lowest), abs=1e-6)
    written = [tmp_path / name for name in ("written.csv", "chosen.csv")]
    command = ["detections", str(tmp_path / "scores.csv"), "--format", "csv", "--output"]
    assert main([*command, str(written[0])]) == 0
    rule = ["--threshold", "recall:1", "--models", str(model)]
    assert main([*command, str(written[1]), *rule]) == 0
    pd.testing.assert_frame_equal(*map(pd.read_csv, written), rtol=0, atol=1e-6)


def test_calibrated_scores_keep_the_order_and_are_the_mean_over_seeds(study, predict):
    [run, _] = runs(study)
    before = predict([run], [study / "test"])
    table = predict([run], [study / "test"], "--calibrated")
    assert (table.calibrated == "yes").all()
    kept = kept_of(run)
    slope, intercept = Validation(kept.label.to_numpy(), kept.logit.to_numpy()).calibrate()
    expected = sum(expit(slope * logit(own_scores(study, run, seed)) + intercept) for seed in SEEDS)
    found = by_clip(table, study / "test")
    np.testing.assert_allclose(found, expected.loc[found.index] / len(SEEDS), rtol=0, atol=1e-5)
    assert not np.allclose(found, by_clip(before, study / "test"), atol=0.01)


def test_detections_use_what_predict_has_written_or_the_models(study, predict, tmp_path, capsys):
    """The same rule gives the same detections either way, also of calibrated scores."""
    for options in ([], ["--calibrated"]):
        rule = ["--threshold", "best-gmean"]
        table = predict(runs(study), [study / "test"], *options, *rule)
        scores = tmp_path / "scores.csv"
        to = {name: tmp_path / f"{name}.csv" for name in ("written", "chosen")}
        command = ["detections", str(scores), "--format", "csv", "--output"]
        assert main([*command, str(to["written"])]) == 0
        pd.DataFrame(table.drop(columns="threshold")).to_csv(scores, index=False)
        capsys.readouterr()
        assert main([*command, str(to["chosen"]), *rule]) == 1
        assert "--threshold best-gmean needs the model of Hum" in capsys.readouterr().err
        models = ["--models", *map(str, runs(study))]
        assert main([*command, str(to["chosen"]), *rule, *models]) == 0
        assert "(best-gmean) on; on validation bags: " in capsys.readouterr().err
        found = [pd.read_csv(path) for path in to.values()]
        pd.testing.assert_frame_equal(*found, rtol=0, atol=1e-12)
        assert (found[0].score >= found[0].threshold).all()
    folder = ["--format", "raven", "--output", str(tmp_path / "found"), *rule, *models]
    assert main(["detections", str(scores), *folder]) == 0
    applied = pd.read_csv(tmp_path / "found" / "_thresholds.csv").set_index("class")
    for run, name in zip(runs(study), CLASSES, strict=True):
        row, positives = applied.loc[name], kept_of(run).label.sum()
        assert row.positives == positives
        assert row.recall == row.true_positives / positives


def test_a_model_of_an_older_version_takes_scores_as_thresholds_only(study, tmp_path, capsys):
    saved = torch.load(runs(study)[0] / "model.pt", weights_only=True)
    del saved["validation"]
    torch.save(saved, tmp_path / "model.pt")
    arguments = ["predict", str(study / "test"), "--models", str(tmp_path / "model.pt")]
    arguments += ["--device", "cpu", "--output", str(tmp_path / "scores.csv")]
    for option in (["--threshold", "best-f1"], ["--calibrated"]):
        assert main([*arguments, *option]) == 1
        assert "has kept no validation scores" in capsys.readouterr().err
    assert main([*arguments, "--threshold", "0.4"]) == 0
    assert (pd.read_csv(tmp_path / "scores.csv").threshold == 0.4).all()


def test_clips_overlap_as_asked(study, predict, tmp_path):
    samples = sound(2.6, [200.0], 5)
    long = write(tmp_path / "long.wav", samples)
    table = predict(runs(study)[:1], [long], "--overlap", "0.75")
    assert table.start.tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]
    assert table.end.tolist() == [1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.6]
    alone = predict(runs(study)[:1], [write(tmp_path / "one.wav", samples[RATE // 2 :][:RATE])])
    assert table.score[2] == pytest.approx(alone.score.item(), abs=1e-6)


@pytest.mark.parametrize("overlap", ["1", "-0.5", "nan"])
def test_clips_cannot_overlap_entirely(study, tmp_path, capsys, overlap):
    arguments = ["predict", study / "test", "--models", *runs(study)[:1], f"--overlap={overlap}"]
    assert main([*map(str, arguments), "--output", str(tmp_path / "scores.csv")]) == 1
    assert "must be at least 0 and less than 1 s" in capsys.readouterr().err


# ---- interruptions -----------------------------------------------------------------------------
@pytest.fixture
def four(tmp_path) -> list[Path]:
    """Recordings: of several clips, with a problem, with nothing to score, and a single clip."""
    folder = tmp_path / "in"
    silence = np.zeros(RATE)
    return [
        write(folder / "a.wav", sound(40.3, [200.0], 0)),
        write(folder / "b.wav", np.concatenate([sound(1.0, [], 1), silence, sound(1.7, [], 2)])),
        write(folder / "c.wav", silence),
        write(folder / "d.wav", sound(1.0, [3000.0], 3)),
    ]


@pytest.fixture
def interrupt(monkeypatch):
    """interrupt(path): Ctrl-C arrives when this recording is opened; returns the opened ones."""

    def interrupt(path: Path | None) -> list[str]:
        opened = []

        def opening(name, *arguments, **options):
            opened.append(Path(name).name)
            if path is not None and Path(name) == path:
                raise KeyboardInterrupt
            return open_audio(name, *arguments, **options)

        monkeypatch.setattr(predicting, "open_audio", opening)
        return opened

    return interrupt


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("stopped_at", [0, 1, 2, 3])
def test_an_interrupted_run_goes_on_where_it_was(
    study, predict, tmp_path, capsys, four, interrupt, threads, stopped_at
):
    tables = [tmp_path / name for name in ("scores.csv", "frames.csv")]
    options = ["--threads", threads]
    whole = predict(runs(study), four, *options, frames=True)
    for table in tables:
        table.unlink()
    capsys.readouterr()
    interrupt(four[stopped_at])
    arguments = ["predict", *four, "--output", tables[0], "--frames", tables[1], *options]
    arguments = [*map(str, [*arguments, "--device", "cpu", "--models", *runs(study)])]
    assert main(arguments) == 130
    lines = [line for line in capsys.readouterr().err.splitlines() if "clips/s" not in line]
    assert lines == [
        f"error: interrupted when {stopped_at} of 4 recordings were scored: repeat the command "
        "with --resume to go on."
    ]
    assert not any(table.exists() for table in tables)
    opened = interrupt(None)
    assert main([*arguments, "--resume"]) == 0
    assert opened == [path.name for path in four[stopped_at:]]
    for table, expected in zip(tables, whole, strict=True):
        # Scores depend on the other clips of a batch in the last digits.
        pd.testing.assert_frame_equal(pd.read_csv(table), expected, rtol=0, atol=1e-6)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "scores.csv", "frames.csv"}
    said = capsys.readouterr().err
    assert "scores.csv: 45 clips of 4 recordings were scored, 2 could not be used" in said


def test_rows_that_the_machine_lost_are_written_again(study, predict, tmp_path, four, interrupt):
    """After a power failure, a table can be shorter than the journal says."""
    whole = predict(runs(study), four)
    (tmp_path / "scores.csv").unlink()
    interrupt(four[2])
    arguments = ["predict", *four, "--models", *runs(study), "--output", tmp_path / "scores.csv"]
    assert main([*map(str, arguments)]) == 130
    part = tmp_path / "scores.csv.part"
    part.write_bytes(part.read_bytes()[:-30])
    interrupt(None)
    assert main([*map(str, arguments), "--resume"]) == 0
    found = pd.read_csv(tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(found, whole, rtol=0, atol=1e-6)


def test_what_a_killed_run_wrote_of_a_recording_is_written_again(
    study, predict, tmp_path, four, interrupt
):
    whole = predict(runs(study), four)
    interrupt(four[2])
    arguments = ["predict", *four, "--models", *runs(study), "--output", tmp_path / "scores.csv"]
    (tmp_path / "scores.csv").unlink()
    assert main([*map(str, arguments)]) == 130
    with open(tmp_path / "scores.csv.part", "ab") as part:
        part.write(b"half a row, 1.0")
    with open(tmp_path / "scores.csv.done", "ab") as done:
        done.write(b'["half a li')
    interrupt(None)
    assert main([*map(str, arguments), "--resume"]) == 0
    found = pd.read_csv(tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(found, whole, rtol=0, atol=1e-6)


def test_a_run_that_is_killed_before_its_first_recording_keeps_those_of_earlier_runs(tmp_path):
    def tables(resume: bool):
        return unfinished_tables({tmp_path / "scores.csv": ["recording"]}, {}, resume)

    with suppress(KeyboardInterrupt), tables(resume=False) as written:
        written.finish("a.wav", 1, 0)
        raise KeyboardInterrupt
    with suppress(KeyboardInterrupt), tables(resume=True):
        left = {path: path.read_bytes() for path in tmp_path.iterdir()}  # by a kill at this moment
        raise KeyboardInterrupt
    for path, content in left.items():
        path.write_bytes(content)
    with tables(resume=True) as written:
        assert list(written.finished) == ["a.wav"]


def test_only_the_same_run_goes_on(study, predict, tmp_path, capsys, four, interrupt):
    interrupt(four[2])
    predict_four = ["predict", *map(str, four), "--output", str(tmp_path / "scores.csv")]
    models = ["--models", *map(str, runs(study))]
    assert main([*predict_four, *models]) == 130
    interrupt(None)
    part = tmp_path / "scores.csv.part"
    before = part.read_bytes()
    for other in (["--no-tail"], ["--seeds", "0"], ["--frames", str(tmp_path / "f.csv")]):
        assert main([*predict_four, *models, *other, "--resume"]) in (0, 1)
        if other[0] != "--frames":
            expected = f"error: {part} was made with other models or options: repeat the command"
            assert expected in capsys.readouterr().err
            assert part.read_bytes() == before


def test_a_recording_that_changed_is_not_kept(study, tmp_path, capsys, four, interrupt):
    interrupt(four[2])
    arguments = [*map(str, ["predict", *four, "--output", tmp_path / "scores.csv"])]
    arguments += ["--models", *map(str, runs(study))]
    assert main(arguments) == 130
    interrupt(None)
    write(four[0], sound(2.0, [], 9))
    assert main([*arguments, "--resume"]) == 1
    assert f"error: {four[0]} has changed since it was scored" in capsys.readouterr().err
    assert main(arguments) == 0  # from the start
    table = pd.read_csv(tmp_path / "scores.csv")
    assert (table.recording == str(four[0])).sum() == 2 * 2
    assert not list(tmp_path.glob("scores.csv.*"))


def test_without_an_earlier_run_everything_is_scored(study, predict, four, capsys):
    table = predict(runs(study), four, "--resume")
    assert len(table) == 2 * 45 + 2
    assert "--resume: nothing is kept" in capsys.readouterr().err


def test_frequencies_that_the_models_do_not_hear_are_said(study, predict, tmp_path, capsys):
    """Bats at 256 kHz got scores without a word."""
    predict(runs(study), [study / "test"])
    assert "kHz" not in capsys.readouterr().err
    bat = write(tmp_path / "bat.wav", np.random.default_rng(0).normal(0, 0.1, 256_000), 256_000)
    predict(runs(study), [bat, study / "test"])
    assert (
        "scores.csv: 1 of 6 recordings may hold frequencies of up to 128 kHz, but the spectrograms "
        "end at 8 kHz: see docs/own-recordings.md on sample_rate, low_hz and high_hz"
    ) in capsys.readouterr().err


# ---- models ------------------------------------------------------------------------------------
class _Malicious:
    def __reduce__(self):
        return Path.touch, (Path("was_executed"),)


DAMAGE = {
    "cut short": ("damaged or not a model", None),
    "no model": ("damaged or not a model", None),
    "code": ("damaged or not a model", _Malicious()),
    "list": ("is not a model", [1]),
    "a state of training": ("is not a model", {"epoch": 1}),
    "older": ("trained with an old version", lambda saved: saved.pop("kind")),
    "images": ("is a model of images", lambda saved: saved.update(kind="images")),
    "other weights": ("size mismatch", lambda saved: saved["model"].update(attention_heads=2)),
    "no weight": ("Missing key", lambda saved: saved["weights"][0].popitem()),
    "no number": (
        "gives scores that are NaN",
        lambda saved: saved["weights"][0]["head.bias"].fill_(torch.nan),
    ),
    "an unknown encoder": ("'os' is not a model", lambda saved: saved["model"].update(name="os")),
    "other settings": (
        "its spectrograms are 196 x 16",
        lambda saved: saved["parameters"].update(mel_bins=8),
    ),
    "nonsense": ("sample_rate", lambda saved: saved["parameters"].pop("sample_rate")),
    "no mean": ("train it again", lambda saved: saved.update(mean=[])),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_model_that_cannot_be_used_is_one_error(study, tmp_path, monkeypatch, capsys, damage):
    monkeypatch.chdir(tmp_path)
    message, change = DAMAGE[damage]
    source, path = study / "runs" / "Hum" / "attention" / "model.pt", tmp_path / "model.pt"
    if damage == "cut short":
        path.write_bytes(source.read_bytes()[:-1000])
    elif damage == "no model":
        path.write_text("hello")
    elif callable(change):
        saved = torch.load(source, weights_only=True)
        change(saved)
        torch.save(saved, path)
    else:
        torch.save(change, path)
    arguments = ["predict", study / "test", "--models", path, "--output", tmp_path / "scores.csv"]
    assert main(list(map(str, arguments))) == 1
    lines = capsys.readouterr().err.splitlines()
    [line] = [line for line in lines if "recordings," not in line and "skipped" not in line]
    assert line.startswith(f"error: {path}")
    assert message in line
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]


def test_models_that_do_not_go_together_are_one_error(study, tmp_path, capsys):
    hum, ring = runs(study)
    saved = torch.load(ring / "model.pt", weights_only=True)
    saved["parameters"]["window"] = "povey"
    torch.save(saved, tmp_path / "povey.pt")
    shutil.copy(hum / "model.pt", tmp_path / "copy.pt")

    def message(*models) -> str:
        arguments = ["predict", study / "test", "--output", tmp_path / "s.csv", "--models", *models]
        assert main(list(map(str, arguments))) == 1
        [line] = capsys.readouterr().err.splitlines()
        return line

    assert "need different spectrograms" in message(hum, tmp_path / "povey.pt")
    assert "are both of study s, class Hum" in message(hum, tmp_path / "copy.pt")
    assert "has no seed 7: name some of its seeds (0, 3)" in message(hum, "--seeds", 7)
    assert f"{study}/model.pt is missing" in message(study)


# ---- frames --------------------------------------------------------------------------------------
FORMULAS = {
    "attention": lambda frames: expit(frames.part.sum()),
    "psla": lambda frames: frames.part.sum(),
    "softmax_mean": lambda frames: frames.score.mean(),
    "softmax_max": lambda frames: frames.score.max(),
    **dict.fromkeys(
        ("mean_softmax", "mean_boosted"),
        lambda frames: 1 / (1 + np.prod(1 / frames.score - 1) ** (1 / len(frames))),
    ),
}
CLIP = ["recording", "start", "class", "strategy"]


@pytest.mark.parametrize("pooling", FORMULAS)
def test_frames_make_up_the_score_of_their_clip(study, predict, tmp_path, pooling):
    """For clips without padding, as the docstring of the pooling says."""
    recordings = [write(tmp_path / "a.wav", sound(4.0, [200.0, 3000.0], 3))]
    clips, frames = predict(runs(study, pooling), recordings, "--seeds", 3, frames=True)
    assert len(clips) == 8
    made = frames.groupby(CLIP)[["score", "part"]].apply(FORMULAS[pooling])
    assert len(set(made.round(9))) == 8
    np.testing.assert_allclose(made, clips.set_index(CLIP).score.loc[made.index], atol=1e-6)
    assert frames.part.isna().all() == (pooling in POOLINGS)


def test_a_frame_of_psla_has_the_score_of_a_clip_of_nothing_else(study, predict, tmp_path):
    """With several heads too, and for the mean over seeds: sums stay sums."""
    recordings = [write(tmp_path / "a.wav", sound(2.0, [200.0], 3))]
    clips, frames = predict(runs(study, "psla"), recordings, frames=True)
    sums = frames.groupby(CLIP).part.sum()
    np.testing.assert_allclose(sums, clips.set_index(CLIP).score.loc[sums.index], atol=1e-6)
    low, high = (frames.groupby(CLIP).score.agg(f) for f in ("min", "max"))
    assert (low <= sums + 1e-6).all()
    assert (sums <= high + 1e-6).all()


def test_frames_are_where_they_are_heard(study, predict, tmp_path):
    """Eight rows of 5 ms apart, from the centre of the first; none behind the sound."""
    samples = sound(1.7, [200.0], 3)
    changed = samples.copy()
    changed[RATE + 9600 :] += sound(0.1, [3000.0], 4)
    tables = [
        predict(runs(study)[:1], [write(tmp_path / f"{n}.wav", x)], frames=True)[1]
        for n, x in enumerate((samples, changed))
    ]
    first, second = (tables[0][tables[0].start == start].time for start in (0, 1))
    np.testing.assert_allclose(first, 0.0125 + 0.04 * np.arange(25), atol=1e-9)
    np.testing.assert_allclose(second, 1.0125 + 0.04 * np.arange(17), atol=1e-9)
    difference = np.abs(tables[0].score - tables[1].score)
    near = tables[0].time > 1.6 - 0.1  # a frame looks at a tenth of a second around it
    assert difference[near].max() > 100 * difference[~near].max()


@pytest.mark.parametrize("pooling", ["attention", *POOLINGS])
def test_certain_clips_keep_their_ranks(study, predict, tmp_path, pooling):
    """All of them with a probability above 1 - 1e-9, where float32 and nine digits see only 1."""
    saved = torch.load(runs(study, pooling)[0] / "model.pt", weights_only=True)
    bias = saved["weights"][0]["head.bias"]
    boost = 5 if pooling == "mean_boosted" else 1  # of what speaks for the class
    bias[len(bias) // 2 :] += 24 / boost  # the logits of instances
    torch.save(saved, tmp_path / "certain.pt")
    before, of_frames = predict(
        runs(study, pooling)[:1], [study / "test"], "--seeds", 0, frames=True
    )
    expected = before.score.rank()
    if pooling == "softmax_mean":  # of probabilities, so that adding to logits may change the order
        doubts = expit(-24 - logit(of_frames.score))
        means = doubts.groupby([of_frames.recording, of_frames.start], sort=False).mean()
        expected = (-means).rank().reset_index(drop=True)
    after, frames = predict([tmp_path / "certain.pt"], [study / "test"], "--seeds", 0, frames=True)
    assert (after.score > 1 - 1e-9).all()
    assert after.score.nunique() == before.score.nunique() == 9
    assert (after.score.rank() == expected).all()
    assert (frames.score > 1 - 1e-9).all()
    assert frames.score.nunique() > 0.9 * len(frames)


# ---- progress ------------------------------------------------------------------------------------
def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(study, predict, capsys, monkeypatch):
    predict(runs(study), [study / "test"])
    assert "5 of 5 recordings, 9 clips" in capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    predict(runs(study), [study / "test"])
    assert f"\r[{'#' * 30}] 5 of 5 recordings, 9 clips" in capsys.readouterr().err


# ---- ONNX ----------------------------------------------------------------------------------------
def exported(models, output: Path, *recordings) -> int:
    arguments = ["export", *recordings, "--models", *models, "--output", output]
    return main(list(map(str, arguments)))


@pytest.fixture(scope="module")
def onnx(study) -> Path:
    assert exported(to_export(study), study / "models.onnx", study / "test") == 0
    return study / "models.onnx"


def to_export(study: Path) -> list[Path]:
    """Every pooling once, and both classes."""
    return [
        study / "runs" / CLASSES[number % 2] / pooling
        for number, pooling in enumerate(("attention", "psla", *POOLINGS))
    ]


@pytest.fixture
def already_exported(onnx, monkeypatch):
    """Exporting, which takes a while, gives these models whatever is asked for."""
    monkeypatch.setattr(exporting, "_model", lambda models: load_onnx(onnx))


def test_the_exported_models_give_the_scores_of_predict(study, onnx, predict):
    """From the samples of the files alone, in batches, without this library."""
    session = onnxruntime.InferenceSession(onnx)
    metadata = session.get_modelmeta().custom_metadata_map
    columns = json.loads(metadata["models"])
    models = [study / "runs" / each["class"] / each["strategy"] for each in columns]
    assert models == to_export(study)
    assert all(each["study"] == "s" and each["seeds"] == list(SEEDS) for each in columns)
    assert float(metadata["clip_seconds"]) == 1.0
    assert int(metadata["sample_rate"]) == RATE
    table = predict(models, [study / "test"])
    for seconds, clips in table.groupby((table.end - table.start).round(6)):
        parts = clips.drop_duplicates(["recording", "start"])
        batch = [
            soundfile.read(row.recording, round(seconds * RATE), round(row.start * RATE))[0]
            for row in parts.itertuples()
        ]
        (found,) = session.run(["score"], {"waveform": np.array(batch, np.float32)})
        assert found.shape == (len(parts), len(models))
        assert found.dtype == np.float64, "float32 has no room for ranks near 1"
        expected = clips.score.to_numpy().reshape(found.shape)
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.usefixtures("already_exported")
def test_a_file_with_other_scores_is_not_written(study, tmp_path, capsys):
    assert exported(to_export(study), tmp_path / "right.onnx") == 0
    capsys.readouterr()
    assert exported(to_export(study)[::-1], tmp_path / "wrong.onnx") == 1
    assert "wrong.onnx was not written: its scores differ" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["right.onnx"]


@pytest.mark.usefixtures("already_exported")
def test_models_too_large_for_one_file_are_an_error(study, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(exporting, "MOST_BYTES", 1 << 16)
    assert exported(to_export(study), tmp_path / "models.onnx") == 1
    assert "of weights, but an ONNX file can hold" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("already_exported")
def test_a_recording_that_cannot_be_checked_is_an_error(study, tmp_path, capsys):
    silent = write(tmp_path / "silent.wav", np.zeros(RATE))
    assert exported(to_export(study), tmp_path / "models.onnx", silent) == 1
    assert f"{silent} cannot be used for the check (silent" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["silent.wav"]

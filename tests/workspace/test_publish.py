"""Publishing a study: what is published is complete, and its provenance is true."""

import hashlib
import json
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from weakneg.analysis.metrics import collect_metrics
from weakneg.errors import UserError
from weakneg.workspace import publish as module
from weakneg.workspace.fingerprint import fingerprint
from weakneg.workspace.publish import publish

CODE = fingerprint(
    "weakneg.training.run:train_run",
    ["models.simple_cnn", "strategies.margin", "losses.bce", "batches.plain"],
)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A finished study: one run, shared by two strategies, in a repository without changes."""
    folder = tmp_path / "results" / "toy"
    write_run(folder / "runs" / "cat" / "margin", CODE)
    write_run(folder / "runs" / "removed" / "margin", "of other code, long ago")
    run = folder / "runs" / "cat" / "margin"
    collect_metrics([("margin", run), ("entropy", run)], folder / "metrics.csv")
    for name in ("tables/table1.md", "figures/a.svg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    write_features(folder / "features", 0)
    repository = tmp_path / "repository"
    repository.mkdir()
    monkeypatch.chdir(repository)
    for command in (
        ["init", "-q"],
        ["config", "user.name", "a"],
        ["config", "user.email", "a@b"],
        ["commit", "-q", "--allow-empty", "-m", "empty"],
    ):
        subprocess.run(["git", *command], check=True)
    return folder


def write_features(folder, value):
    """Stores as of sound: a view of a shard each."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "test"):
        with h5py.File(folder / f"{split}_shard.h5", "w") as file:
            file.create_dataset("x", data=np.full((3, 2), value), track_times=False)
        layout = h5py.VirtualLayout((3, 2), np.int64)
        layout[:] = h5py.VirtualSource(f"{split}_shard.h5", "x", (3, 2))
        with h5py.File(folder / f"{split}.h5", "w") as file:
            file.create_virtual_dataset("x", layout)


def write_run(folder, code):
    folder.mkdir(parents=True)
    label = np.array([1, 0, 1, 0])
    scores = {"seed": 0, "bag": np.arange(4), "label": label, "score": [4.0, 3.0, 2.0, 1.0]}
    pd.DataFrame(scores).to_parquet(folder / "scores.parquet")
    history = {"seed": 0, "epoch": [1], "validation_ap": [0.5], "bags_trained": [9], "best": [True]}
    pd.DataFrame(history).to_parquet(folder / "history.parquet")
    phases = ("scoring", "selecting", "training", "evaluating")
    clock = {f"seconds_{phase}": [900.0] for phase in phases}
    pd.DataFrame({"seed": 0, "epoch": [1], **clock}).to_parquet(folder / "timing.parquet")
    record = {
        "class": folder.parent.name,
        "strategy": "margin",
        "fingerprint": code,
        "settings": {
            "model": {"name": "simple_cnn"},
            "strategy": "margin",
            "sampling": {"warmup_epochs": 0},
            "training": {},
            "options": {},
            "seeds": [0],
            "draw_per_seed": False,
        },
        "made_with": {"0": {"device": "cpu: A", "torch": "2"}},
        **{name: {"0": 3} for name in ("n_positive", "n_pool", "budget")},
        "thresholds": {"0": {"f1": 0.0, "g_mean": 0.0}},
    }
    (folder / "run.json").write_text(json.dumps(record))


def test_provenance_counts_a_shared_run_once_and_leaves_out_what_is_not_in_the_tables(results):
    publish(Path(results), Path("published"), "snakemake toy", "1 h")
    provenance = json.loads(Path("published/provenance.json").read_text())
    assert provenance["trained_models"] == 1
    assert provenance["training_hours"] == 1.0
    assert provenance["machines"] == ["cpu: A"]
    assert provenance["versions"] == [{"torch": "2"}]
    assert provenance["own_files_sha256"] == {}
    assert provenance["fingerprints"] == {"margin": [CODE], "entropy": [CODE]}
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    assert provenance["commit"] == head.stdout.strip()
    assert Path("published/tables/table1.md").read_text() == "tables/table1.md"


def test_provenance_has_the_hash_of_a_users_own_strategy(results):
    path = Path("mine.py")
    path.write_text("def select(pool, k, generator): ...\n")
    plugins = ["models.simple_cnn", "strategies.mine.py", "losses.bce", "batches.plain"]
    code = fingerprint("weakneg.training.run:train_run", plugins)
    run = results / "runs/cat/margin"
    record = (run / "run.json").read_text().replace(CODE, code)
    (run / "run.json").write_text(
        record.replace('"strategy": "margin", "s', '"strategy": "mine.py", "s')
    )
    collect_metrics([("mine", run)], results / "metrics.csv")
    publish(Path(results), Path("published"), "snakemake toy", "1 h")
    provenance = json.loads(Path("published/provenance.json").read_text())
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert provenance["own_files_sha256"] == {"mine.py": expected}


def test_the_features_are_told_apart_by_what_is_in_their_shards(results):
    found = []
    for value in (0, 0, 1):
        write_features(results / "features", value)
        publish(Path(results), Path("published"), "snakemake toy", "1 h")
        found.append(json.loads(Path("published/provenance.json").read_text())["features_sha256"])
    assert found[0]["train"] != found[2]["train"]
    assert found[0]["test"] != found[2]["test"]


def test_results_of_other_code_than_the_commit_are_not_published(results, monkeypatch):
    monkeypatch.setattr(module, "code_of", lambda _: ["another"])
    with pytest.raises(UserError, match="was made by other code than that of this commit"):
        publish(Path(results), Path("published"), "snakemake toy", "1 h")


def test_nothing_is_published_from_changed_files(results, tmp_path):
    file = tmp_path / "repository" / "file"
    file.write_text("a")
    subprocess.run(["git", "add", "file"], check=True)
    with pytest.raises(UserError, match="commit them"):
        publish(Path(results), Path("published"), "snakemake toy", "1 h")


@pytest.mark.parametrize("name", ["workflow/weakneg/strategies/mine.py", "workflow/studies/a.yaml"])
def test_nothing_is_published_that_new_files_may_have_made(results, tmp_path, name):
    file = tmp_path / "repository" / name
    file.parent.mkdir(parents=True)
    file.write_text("")
    with pytest.raises(UserError, match="commit them"):
        publish(Path(results), Path("published"), "snakemake toy", "1 h")


def test_metrics_without_their_runs_are_not_published(results):
    (results / "runs/cat/margin/run.json").unlink()
    with pytest.raises(UserError, match=r"has runs that .* does not hold: run the study again"):
        publish(Path(results), Path("published"), "snakemake toy", "1 h")
    assert not Path("published").exists()


def test_a_study_is_not_published_onto_itself(results):
    with pytest.raises(UserError, match="publish to another folder"):
        publish(Path(results), Path(results.parent / "." / results.name), "snakemake toy", "1 h")
    assert (results / "tables/table1.md").exists()


def test_what_was_published_stays_where_publishing_fails(results, monkeypatch):
    publish(Path(results), Path("published"), "snakemake toy", "1 h")
    (results / "figures/b.svg").write_text("b")

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(module.shutil, "copy", full)
    with pytest.raises(OSError, match="space"):
        publish(Path(results), Path("published"), "snakemake toy, again", "1 h")
    assert not Path("published/figures/b.svg").exists()
    assert Path("published/tables/table1.md").exists()
    assert "again" not in Path("published/provenance.json").read_text()
    assert not list(Path("published").glob(".*"))


def test_an_unfinished_study_is_not_published(results):
    (results / "metrics.csv").unlink()
    with pytest.raises(UserError, match=r"metrics.csv does not exist: finish the study"):
        publish(Path(results), Path("published"), "snakemake toy", "1 h")

"""The workflow as people use it: `snakemake` in a copy of the repository.

The embedded studies run once, for real.
"""

import ast
import json
import os
import re
import shutil
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from workspace import ROOT, Workspace

from weakneg.stages import entry
from weakneg.workspace.fingerprint import explain

CIFAR = "cifar-10-batches-py"
SMALL = ["classes=[0,1]", "strategies=[random,badge]", "seeds=2"]


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path)


def test_a_plain_run_ends_with_figures_and_tables_that_its_last_lines_name(finished):
    metrics = pd.read_csv(finished.folder / "results/digits/metrics.csv")
    assert Counter(metrics["strategy"].value_counts()) == {10: 10}  # 2 classes x 5 seeds
    prevalence = metrics["test_positive"] / metrics["test_bags"]
    assert metrics["ap"].mean() > 3 * prevalence.mean()
    last_lines = finished.output.split("Finished. Figures, tables and page:")[1]
    named = re.findall(r"^  (results/digits/\S+)$", last_lines, re.MULTILINE)
    assert {Path(path).name for path in named} >= {"win_count.png", "table1.md"}
    assert named[-1] == "results/digits/report.html"
    assert all((finished.folder / path).stat().st_size > 0 for path in named)


def test_a_study_of_clips_lists_its_suspects(finished):
    tables = finished.folder / "results/soundscapes/tables"
    suspects = pd.read_csv(tables / "suspects.csv", keep_default_na=False)
    metrics = pd.read_csv(finished.folder / "results/soundscapes/metrics.csv")
    negatives = metrics.assign(n=metrics["test_bags"] - metrics["test_positive"])
    expected = negatives.groupby("class")["n"].first().clip(upper=100)
    assert suspects["class"].value_counts().to_dict() == expected.to_dict()
    assert all(
        name not in labels.split(";")
        for name, labels in zip(suspects["class"], suspects["other_labels"], strict=True)
    )
    assert not (finished.folder / "results/digits/tables/suspects.csv").exists()
    assert not (tables / "truth.csv").exists()


def test_strategies_that_choose_the_same_bags_have_the_same_results(finished):
    metrics = pd.read_csv(finished.folder / "results/digits/metrics.csv")
    ap = metrics.pivot(index=["class", "seed"], columns="strategy", values="ap")
    assert ap["margin"].equals(ap["entropy"])
    assert ap["margin"].equals(ap["least_confidence"])
    assert not ap["margin"].equals(ap["random"])
    runs = {path.name for path in (finished.folder / "results/digits/runs/3").iterdir()}
    assert "margin" in runs
    assert not runs & {"entropy", "least_confidence"}


def test_all_that_a_stage_runs_is_in_its_fingerprint(finished):
    definitions = {}

    def definition(file: str, line: int) -> str:
        """Which definition at the top of a module a line is in."""
        path = Path(file)
        if path not in definitions:
            definitions[path] = ast.parse(path.read_text()).body
        name = "<module>"
        for node in definitions[path]:
            first = min(each.lineno for each in (node, *getattr(node, "decorator_list", ())))
            if first <= line <= node.end_lineno:
                name = getattr(node, "name", "<module>")
                if isinstance(node, ast.Assign):
                    name = ast.unparse(node.targets[0])
        parts = path.relative_to(finished.folder / "workflow").with_suffix("").parts
        return f"{'.'.join(part for part in parts if part != '__init__')}:{name}"

    stages, missing = set(), set()
    for line in finished.traces.read_text().splitlines():
        trace = json.loads(line)
        stage, *plugins = trace["code"]
        stages.add(stage)
        covered = explain(entry(stage), plugins)
        ran = {definition(*place) for place in trace["ran"]}
        assert entry(stage) in ran
        missing |= {(stage, each) for each in ran - set(covered)}
    assert len(stages) > 8
    assert missing == set()


def test_a_second_run_has_nothing_to_do(finished):
    assert finished.planned() == {}


def test_a_run_ends_with_its_last_job(workspace):
    """Snakemake would wait once more for the time in which it starts 100 jobs at most."""
    began = time.monotonic()
    workspace.run("--max-jobs-per-timespan", "100/2m", "--", "results/digits/features/train.h5")
    assert time.monotonic() - began < 100


def test_a_deleted_figure_comes_back_with_the_same_bytes(finished):
    path = finished.folder / "results/digits/figures/differences.svg"
    before = path.read_bytes()
    path.unlink()
    finished.run()
    assert path.read_bytes() == before


def test_another_seed_leaves_the_trained_ones_in_copied_results_too(finished, workspace):
    for name in ("results", "resources", ".snakemake"):
        shutil.copytree(finished.folder / name, workspace.folder / name, dirs_exist_ok=True)
    assert workspace.planned() == {}
    run = workspace.folder / "results/digits/runs/3/random"
    before = (run / "seeds/0.pt").stat().st_mtime_ns
    target = "results/digits/runs/3/random/run.json"
    workspace.run("--config", "studies=digits", "seeds=6", "--", target)
    assert (run / "seeds/0.pt").stat().st_mtime_ns == before
    assert (run / "seeds/5.pt").exists()


def test_every_study_passes_a_dry_run(workspace):
    names = [path.stem for path in (ROOT / "workflow/studies").glob("*.yaml")]
    assert {"digits", "cifar10", "cifar100"} <= set(names)
    jobs = workspace.planned(*names)
    assert jobs["collect_metrics"] == len(names)
    assert jobs["fetch_cifar10"] == 1


def test_a_study_of_ones_own_outside_the_repository(workspace, tmp_path_factory):
    mine = tmp_path_factory.mktemp("elsewhere") / "mine.yaml"
    mine.write_text("title: Mine\nextends: digits\nclasses: ['7']\ntraining: {epochs: 2}\n")
    shown = workspace.run_on_terminal(
        *("--config", f"studies=[{mine}]", "strategies=[random,margin]", "seeds=2")
    )
    assert len(re.findall(r"^(?:random|margin), 7: AP \.\d+", shown, re.MULTILINE)) == 2
    assert "mine: done" in shown.split("Finished. Figures")[0]
    for log in workspace.folder.glob(".snakemake/log/*"):
        assert "mine: done" not in log.read_text()
    metrics = pd.read_csv(workspace.folder / "results/mine/metrics.csv")
    assert metrics[["class", "strategy", "seed"]].values.tolist() == [
        [7, "random", 0],
        [7, "random", 1],
        [7, "margin", 0],
        [7, "margin", 1],
    ]


def test_the_commands_of_the_readme_plan_jobs(workspace):
    jobs = workspace.planned("audioset_vggish", "--config", "classes={top: 4}", "seeds=2")
    assert jobs["train_run"] == 4 * 8
    names = "classes=[Dog, /m/04rlf]"
    jobs = workspace.planned("audioset_vggish", "--config", names, "strategies=[badge]")
    assert jobs["train_run"] == 2 * 2  # and the baseline


def test_what_a_large_study_costs_is_said_before_it_starts(workspace):
    planned = workspace.snakemake("--dry-run", "audioset")
    assert planned.returncode == 0
    assert "audioset: 320 training jobs, 1,600 models; at most " in planned.stderr
    fewer = workspace.snakemake("--dry-run", "audioset", "--config", "classes=[Dog]", "seeds=2")
    assert "audioset: 8 training jobs, 16 models; at most " in fewer.stderr
    in_hours = """estimate audioset --config 'classes=["Dog"]' 'seeds=[0, 1]'\n"""
    assert in_hours in fewer.stderr


def test_a_dry_run_says_that_the_sound_is_not_there(workspace):
    (workspace.folder / "list.csv").write_text("file,labels,split\na,x,train\nb,x,test\n")
    (workspace.folder / "mine.yaml").write_text(
        "title: Mine\nextends: esc10\ndataset: {list: list.csv, folder: soundz, test_split: test}\n"
    )
    result = workspace.snakemake("--dry-run", "--config", "studies=mine.yaml")
    assert result.returncode == 0
    assert "warning: there is no folder soundz here or in " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["studies=[digit]"], ["--config: studies[0]", "'digit'", "did you mean 'digits'"]),
        (["strategies=[bagde]"], ["--config: strategies", "'bagde'", "did you mean 'badge'"]),
        (["classes=[7]"], ["--config: classes", "'7'", "study digits"]),
        (["seeds=0"], ["--config: seeds", "0"]),
        (["device=gpu"], ["--config: device", "'gpu'", "cuda"]),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_before_any_job(workspace, arguments, words):
    result = workspace.snakemake("--cores", "1", "--config", *arguments)
    assert result.returncode != 0
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert all(word in line for word in words), line
    assert not (workspace.folder / "results/digits").exists()


def test_a_mistake_in_a_study_names_file_and_key(workspace):
    path = workspace.folder / "workflow/studies/digits.yaml"
    path.write_text(path.read_text().replace("epochs:", "epoch:"))
    result = workspace.snakemake("--cores", "1")
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert "workflow/studies/digits.yaml: training.epoch" in line
    assert "did you mean 'epochs'" in line


@pytest.fixture(scope="module")
def published_cifar() -> Path:
    folder = Path(os.environ.get("WEAKNEG_DATA", os.devnull))
    if not (folder / CIFAR).is_dir():
        pytest.skip(f"the environment variable WEAKNEG_DATA names no folder that holds {CIFAR}")
    return folder


def test_cifar10_runs_on_the_real_images(workspace, published_cifar):
    study = workspace.folder / "workflow/studies/tiny.yaml"
    study.write_text(
        "title: Tiny\nextends: cifar10\ntraining: {epochs: 1}\n"
        "sampling: {candidate_fraction: 0.1}\n"
    )
    workspace.run(
        *("--config", "classes=[airplane]", "strategies=[random,margin]", "seeds=1"),
        *("--", "results/tiny/metrics.csv"),
        WEAKNEG_DATA=str(published_cifar),
    )
    metrics = pd.read_csv(workspace.folder / "results/tiny/metrics.csv")
    assert metrics["strategy"].tolist() == ["random", "margin"]
    assert (metrics["ap"] > 2 * metrics["test_positive"] / metrics["test_bags"]).all()
    manifest = pd.read_csv(workspace.folder / "results/tiny/bags/airplane/train.csv")
    assert len(manifest) == 10_000


def test_a_corrupt_local_copy_is_one_clear_line(workspace, published_cifar, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(published_cifar / CIFAR, copy / CIFAR)
    broken = copy / CIFAR / "data_batch_3"
    broken.chmod(0o644)
    with open(broken, "r+b") as file:
        file.seek(1000)
        file.write(b"\0\0\0\0")
    result = workspace.snakemake(
        *("--cores", "1", "cifar10", "--config", f"data={{cifar10: {copy}}}")
    )
    assert result.returncode != 0
    lines = (result.stdout + result.stderr).splitlines()
    [line] = {line for line in lines if line.startswith("error:")}
    assert str(broken) in line
    assert "md5" in line
    assert not (workspace.folder / "resources/cifar10" / CIFAR / "data_batch_3").exists()


def test_a_missing_local_copy_is_one_clear_line(workspace):
    result = workspace.snakemake("--cores", "1", "cifar10", "--config", "data={cifar10: nowhere}")
    assert result.returncode != 0
    lines = (result.stdout + result.stderr).splitlines()
    [line] = {line for line in lines if line.startswith("error:")}
    assert "nowhere" in line
    assert "cifar10" in line

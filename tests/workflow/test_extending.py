"""The examples of docs/extending.md, copied from the page, work as it says."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from workspace import ROOT, Workspace

from weakneg import plugins
from weakneg.stages import entry
from weakneg.workspace.fingerprint import fingerprint

# A block of code, the first line of which is a comment that names a file.
EXAMPLE = re.compile(r"```(\w+)\n((?:#|\.\.) (\S+)\n.*?)```", re.DOTALL)


def examples() -> list[tuple[str, str, str]]:
    """Language, text and file of each example of the page."""
    return EXAMPLE.findall((ROOT / "docs/extending.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Workspace:
    """A copy of the repository to which all examples were added."""
    workspace = Workspace(tmp_path_factory.mktemp("extended"))
    for language, text, file in examples():
        path = workspace.folder / file
        path.parent.mkdir(exist_ok=True)
        if language == "diff":
            lines = text.splitlines()
            old, new = ([line[1:] for line in lines if line[0] == sign] for sign in "-+")
            workspace.edit(file, "\n".join(old), "\n".join(new))
        elif path.exists():
            path.write_text(f"{path.read_text()}\n\n{text}")
        else:
            path.write_text(text)
    return workspace


def test_the_page_has_an_example_of_each_kind(extended):
    folders = [Path(file).parent.name for _, _, file in examples()]
    assert folders == [
        *("", "strategies", "losses", "study", "study", "study", "models", "datasets"),
        *("figures", "report", "analysis", "rules", "workspace"),
    ]


def test_every_figure_has_its_caption(extended):
    library = extended.folder / "workflow/weakneg"
    captions = {path.stem for path in (extended.folder / "workflow/report").glob("*.rst")}
    assert captions == {
        "workflow",
        "page",
        "run",
        *plugins.names(library / "report/figures", "draw"),
    }


def test_the_examples_are_in_the_style_of_the_house(extended):
    files = [file for _, _, file in examples() if file.endswith(".py")]
    for command in (["check"], ["format", "--diff"]):
        call = [sys.executable, "-m", "ruff", *command, "--config", ROOT / "pyproject.toml"]
        done = subprocess.run(
            [*call, *files], cwd=extended.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_adding_the_examples_reruns_nothing(extended):
    package = extended.folder / "workflow/weakneg"
    for stage, *loaded in (
        ("build_features", "features.from_files", "datasets.digits"),
        ("draw_bags",),
        ("train_run", "models.simple_cnn", "strategies.badge", "losses.bce", "batches.plain"),
        ("score_run", "models.simple_cnn"),
        ("collect_metrics",),
        ("write_tables",),
        ("audit_selections", "datasets.digits"),
        ("draw_figure", "figures.cost"),
    ):
        before = fingerprint(entry(stage), loaded)
        assert fingerprint(entry(stage), loaded, package=package) == before, stage


def test_all_examples_together_make_the_study_of_the_page(extended):
    """Snakemake makes no figure and no table that nothing asks for."""
    new = ("draw_trainings", "count_negatives")
    extended.run("--config", "studies=mine.yaml", "--until", *new)
    results = extended.folder / "results/mine"
    run = json.loads((results / "runs/20_degrees/hardness_easiest/run.json").read_text())
    assert run["settings"]["options"] == {"order": "easiest"}
    assert run["settings"]["training"]["loss"] == {"name": "generalised", "power": 0.5}
    assert run["settings"]["model"]["name"] == "flat"
    metrics = pd.read_csv(results / "metrics.csv", index_col="strategy")
    assert metrics.loc["random", "lift"] > 2
    for ext in ("pdf", "png", "svg"):
        assert (results / f"figures/trainings.{ext}").stat().st_size > 0
    counted = pd.read_csv(results / "tables/distinct_negatives.csv")
    assert counted["strategy"].tolist() == ["random", "hardness", "hardness_easiest"]
    assert ((counted["distinct"] > 0) & (counted["distinct"] <= counted["pool"])).all()
    assert extended.planned("--config", "studies=mine.yaml", "--until", *new) == {}


def test_files_beside_a_study_are_trained_with_and_followed(extended):
    """Also where the path needs quotes."""
    study = extended.folder / "my study (2)"
    shutil.copytree(extended.folder / "study", study)
    grid = ("--config", f"studies={study.name}/own.yaml")
    extended.run(*grid, "--until", "train_run")
    runs = sorted(path.name for path in (extended.folder / "results/own/runs/3").iterdir())
    assert runs == ["middling", "random", "trimmed_middling"]
    run = extended.folder / "results/own/runs/3/middling/run.json"
    record = json.loads(run.read_text())
    strategy, loss = (f"{study.name}/{name}.py" for name in ("middling", "distance"))
    assert record["settings"]["strategy"] == strategy
    assert record["settings"]["training"]["loss"] == {"name": loss, "power": 1.5}
    code = extended.folder / f"results/.provenance/code/{record['fingerprint']}.json"
    assert {f"{strategy}:select", f"{loss}:loss"} <= json.loads(code.read_text())["parts"].keys()
    assert not list(study.glob("__pycache__"))

    def trained_after(file: str, old: str, new: str) -> int:
        extended.edit(file, old, new)
        return extended.planned(*grid).get("train_run", 0)

    assert trained_after(strategy, '"""The k bags', '"""Those') == 0
    assert trained_after(strategy, ".median()).abs()", ".mean()).abs()") == 2
    assert trained_after(loss, "** power", "** (power + 1)") == 3

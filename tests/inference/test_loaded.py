"""Trained models in Python, as docs/own-recordings.md shows them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

import weakneg
from weakneg.command_line import main
from weakneg.errors import UserError

ROOT = Path(__file__).parents[2]


def test_a_data_frame_has_what_predict_writes(encoded, tmp_path):
    runs = [*(encoded / "runs").glob("*/random")]
    torch.set_num_threads(3)
    models = weakneg.load(runs, threads=2)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "empty.wav").write_bytes(b"")
    recordings = [encoded / "test", tmp_path / "in"]
    found = models.predict(recordings)
    assert torch.get_num_threads() == 3  # those of the caller are left alone
    output = tmp_path / "scores.csv"
    arguments = ["predict", *recordings, "--models", *runs, "--output", output]
    assert main([*map(str, arguments)]) == 0
    texts = dict.fromkeys(("study", "class", "strategy", "seeds", "problem"), str)
    expected = pd.read_csv(output, dtype=texts, keep_default_na=False, na_values={"score": ""})
    for name in ("start", "end"):
        expected[name] = pd.to_numeric(expected[name])
    pd.testing.assert_frame_equal(found, expected, rtol=0, atol=1e-6)
    assert found.problem.str.startswith("empty").sum() == 1
    assert models.predict(encoded / "test" / "test1.wav").recording.nunique() == 1


def test_the_lines_of_the_documentation_run(encoded, tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs" / "own-recordings.md").read_text()
    (lines,) = re.findall(r"```python\n(import weakneg\n.*?)```", text, re.DOTALL)
    assert len(lines.strip().split("\n")) <= 12
    for run in (encoded / "runs").glob("*/random"):
        folder = tmp_path / "here/results/mine/runs" / run.parent.name
        folder.mkdir(parents=True)
        (folder / "dns").symlink_to(run)
        (folder / "full").symlink_to(run)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/new").symlink_to(encoded / "test")
    monkeypatch.chdir(tmp_path / "here")
    exec(compile(lines, "own-recordings.md", "exec"), {})
    assert capsys.readouterr().out.count(".wav") == 20
    wide = pd.read_csv("../mine/wide.csv")
    assert list(wide.columns) == ["recording", "start", "end", "Hum", "Ring"]
    with pytest.raises(UserError, match="results/mine has models of dns, full: choose one"):
        weakneg.load("results/mine")
    with pytest.raises(UserError, match="has no models of margin: choose one of dns, full"):
        weakneg.load("results/mine", strategy="margin")


def test_importing_weakneg_imports_nothing_heavy():
    code = "import sys, weakneg; sys.exit(bool({'torch', 'numpy', 'pandas'} & {*sys.modules}))"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)

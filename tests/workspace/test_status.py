"""`python -m weakneg status`: what would run, as Snakemake says, and why, in words."""

import subprocess
import sys

import pytest

from weakneg.workspace.status import _code_words, _differences

STATUS = "weakneg.workspace.status"

STUDIES = "workflow/studies"


def status(workspace, *arguments) -> subprocess.CompletedProcess:
    code = "import sys; from weakneg.command_line import main; s = main(sys.argv[1:]);"
    code += "assert 'torch' not in sys.modules; sys.exit(s)"
    return subprocess.run(
        [sys.executable, "-c", code, "status", *arguments],
        cwd=workspace.folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(workspace.folder / "workflow")},
        capture_output=True,
        text=True,
    )


def test_what_is_done_and_what_it_was_made_with(finished):
    lines = status(finished).stdout.splitlines()
    assert lines[0] == "digits: done"
    assert lines[1].startswith("  16 runs trained with torch 2")
    assert " on cpu: " in lines[1]
    assert "soundscapes: done" in lines


def test_what_would_run_and_why(edited):
    edited.edit("workflow/weakneg/strategies/badge.py", "_BLOCK = 128", "_BLOCK = 64")
    edited.edit("workflow/weakneg/report/figures/win_count.py", '"#ECECEC"', '"#EEEEEE"')
    edited.edit(f"{STUDIES}/soundscapes.yaml", "mel_bins: 64", "mel_bins: 40")
    edited.edit("envs/requirements.txt", "\nmatplotlib==", "\nmatplotlib==9.")
    removed = edited.folder / "results/digits/tables/table1.md"
    away = removed.rename(removed.with_name("away"))
    try:
        text = status(edited).stdout
        planned = edited.planned()
    finally:
        away.rename(removed)
    digits, hidden, soundscapes = text.split("\n\n")
    assert "train_run 2 (badge): strategies/badge.py:_BLOCK changed, about " in digits
    assert "write_tables: results/digits/tables/table1.md missing, about " in digits
    assert "score_run 2 (badge)" in digits
    assert "  14 runs trained with torch" in digits
    assert "compute_shard 3: mel_bins 64 -> 40, about " in soundscapes
    numbers = [int(part.split(": ")[1].split(" of ")[0]) for part in (digits, hidden, soundscapes)]
    assert sum(numbers) == sum(planned.values())


def test_a_definition_a_file_and_a_package_are_named(edited):
    edited.edit("workflow/weakneg/report/figures/win_count.py", '"#ECECEC"', '"#EEEEEE"')
    edited.edit("envs/requirements.txt", "\nscikit-learn==", "\nscikit-learn==9.")
    text = status(edited, "digits").stdout
    [reason] = [line for line in text.splitlines() if line.startswith("  build_features: ")]
    assert "scikit-learn==" in reason
    assert "-> scikit-learn==9." in reason
    assert "soundscapes" not in text


def test_settings_of_the_command_line(edited):
    edited.edit(f"{STUDIES}/digits.yaml", "epochs: 4", "epochs: 5")
    text = status(edited, "--config", "studies=digits", "seeds=2", "strategies=[badge]").stdout
    assert "train_run 4 (badge, random): " in text or "train_run 4 (random, badge): " in text
    assert "training.epochs 4 -> 5" in text
    assert "seeds without 2, 3, 4" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cifar11"], "no study cifar11"),
        (["--config", "strategies=[bagde]"], "did you mean 'badge'"),
    ],
)
def test_a_mistake_is_one_line(finished, arguments, words):
    result = status(finished, *arguments)
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert words in line


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}, ["a.b 1 -> 3"]),
        ({"a": [1, 2]}, {"a": [2, 3]}, ["a without 1 and with 3"]),
        (["x", "y"], ["y", "x"], ["in another order"]),
        ({"a": 1}, {"a": 1, "b": True}, ["b None -> True"]),
        ("old", "new", ["old -> new"]),
    ],
)
def test_settings_that_differ_are_named_by_their_keys(old, new, words):
    assert list(_differences(old, new, "")) == words


def test_a_users_own_file_is_named_by_its_path(monkeypatch):
    part = "study/mine.py:select"
    monkeypatch.setattr(f"{STATUS}.read_code", lambda fingerprint: {"parts": {part: "a"}})
    monkeypatch.setattr(f"{STATUS}.explain", lambda entry, plugins: {part: "b"})
    found = list(_code_words(["old"], ["new", "train_run", "strategies.study/mine.py"]))
    assert found == [f"{part} changed"]

"""The command line: one clear line for bad input, and no code but the one that was announced."""

import pytest

from weakneg.__main__ import main
from weakneg.workspace.fingerprint import fingerprint


@pytest.fixture
def arguments(tmp_path):
    return ["metrics", "--runs", f"random={tmp_path}/none", "--output", f"{tmp_path}/metrics.csv"]


def test_bad_input_is_one_line_and_status_1(arguments, capsys):
    assert main(arguments) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "none" in line


def test_code_that_changed_since_the_workflow_started_does_not_run(arguments, capsys):
    """Its result would be recorded as that of the code from before."""
    assert main([*arguments, "--code", "0123456789abcdef", "weakneg.analysis.metrics"]) == 1
    assert "the code of weakneg.analysis.metrics was changed" in capsys.readouterr().err
    assert main(
        [*arguments, "--code", fingerprint("weakneg.analysis.metrics"), "weakneg.analysis.metrics"]
    )
    assert "the code of" not in capsys.readouterr().err


def test_a_missing_argument_is_named(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["score", "--store", "x"])
    assert stopped.value.code != 0
    assert "--manifest" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["metrics", "--runs", "random", "--output", "x"], "must be STRATEGY=FOLDER, not 'random'"),
        (["predict", "--threads", "0"], "must be a whole number from 1, not '0'"),
    ],
)
def test_a_value_of_the_wrong_form_is_one_line(capsys, words, expected):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code != 0
    assert expected in capsys.readouterr().err.splitlines()[-1]

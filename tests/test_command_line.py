"""The command line: what a stage's signature says, and one clear line for bad input."""

import importlib
import inspect
import re
import signal

import pytest
from workspace import ROOT

from weakneg import command_line
from weakneg.command_line import main, parser_of
from weakneg.stages import entries, entry
from weakneg.workspace.fingerprint import SOURCES, digest_of_sources, fingerprint
from weakneg.workspace.results import LOCALISATION_TABLES

COMMAND = re.compile(r"python -m weakneg (\w+)")


@pytest.fixture
def arguments(tmp_path):
    output = f"{tmp_path}/metrics.csv"
    return ["collect_metrics", "--runs", f"random={tmp_path}/none", "--output", output]


def test_bad_input_is_one_line_and_status_1(arguments, capsys):
    assert main(arguments) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "none" in line


def test_a_file_that_cannot_be_read_is_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command_line, "run", lambda *_: (tmp_path / "night.wav").read_bytes())
    assert main(["compute_shard"]) == 1
    message = f"error: No such file or directory: {tmp_path / 'night.wav'}.\n"
    assert capsys.readouterr().err == message


def test_a_process_that_ignores_sigterm_goes_on_to_do_so(monkeypatch):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        monkeypatch.setattr(command_line, "run", lambda *_: signal.raise_signal(signal.SIGTERM))
        main(["train_run"])
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_code_that_changed_since_the_workflow_started_does_not_run(arguments, capsys):
    """Its result would be recorded as that of the code from before."""
    assert main([*arguments, "--code", "0123456789abcdef", "collect_metrics"]) == 1
    assert "the code of collect_metrics was changed" in capsys.readouterr().err
    current = fingerprint(entry("collect_metrics"))
    assert main([*arguments, "--code", current, "collect_metrics"]) == 1
    assert "the code of" not in capsys.readouterr().err


def test_code_is_compared_only_if_a_source_changed_since_the_workflow_started(
    arguments, monkeypatch, capsys
):
    code = ["--code", "0123456789abcdef", "collect_metrics"]
    monkeypatch.setenv(SOURCES, "of other sources")
    assert main([*arguments, *code]) == 1
    assert "the code of collect_metrics was changed" in capsys.readouterr().err
    monkeypatch.setenv(SOURCES, digest_of_sources())
    assert main([*arguments, *code]) == 1
    assert "the code of" not in capsys.readouterr().err
    own = [*code, "strategies.mine.py"]  # is not among those sources
    assert main([*arguments, *own]) == 1
    assert "error: there is no" in capsys.readouterr().err


def test_a_missing_argument_is_named(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["score_run", "--store", "x"])
    assert stopped.value.code != 0
    assert "--manifest" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["collect_metrics", "--runs", "random", "--output", "x"],
            "must be STRATEGY=FOLDER, not 'random'",
        ),
        (["predict", "x", "--threads", "0"], "must be a whole number of at least 1, not '0'"),
        (["draw_bags", "--settings", '{"bag_size": 0}'], "bag_size: "),
    ],
)
def test_a_value_of_the_wrong_form_is_one_line(capsys, words, expected):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code != 0
    assert expected in capsys.readouterr().err.splitlines()[-1]


def test_an_unknown_stage_is_one_line_with_the_nearest_name(capsys):
    assert main(["trian_run"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "'trian_run'" in line
    assert "did you mean 'train_run'" in line


def test_the_help_names_every_stage_and_command_with_what_it_does(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in entries():
        [line] = [line for line in lines if line.split()[:1] == [name]]
        assert len(line.split()) > 3


@pytest.mark.parametrize("name", sorted(entries()))
def test_the_help_of_a_stage_describes_every_option(name):
    module, _, function = entry(name).partition(":")
    parser = parser_of(name, getattr(importlib.import_module(module), function))
    assert parser.description
    lacking = [action.dest for action in parser._actions if not action.help]
    assert lacking == []


def test_rules_commands_and_functions_have_the_same_names():
    rules: dict[str, str] = {}
    for file in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for part in re.split(r"^ *rule ?", file.read_text(), flags=re.MULTILINE)[1:]:
            if re.search(r"name:\s+stage\b", part):  # a rule for each of several stages
                assert " {params.stage} " in part
                rules |= {stage: stage for stage in LOCALISATION_TABLES}
                continue
            name = re.match(r"(\w+):", part) or re.search(r'name:\s+f"(\w+)_\{', part)
            rules[name[1]] = COMMAND.search(part)[1]
    stages = {name for name, (_, kind) in entries().items() if kind == "stage"}
    assert set(rules.values()) == stages
    for rule, stage in rules.items():
        assert stage == rule or stage.startswith(f"{rule}_"), (rule, stage)


def test_a_stage_is_called_as_its_signature_says():
    """The options of the rules are parameters, and those that have no default are given."""
    for file in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for shell in re.findall(r'(?:"[^"\n]*"\s*)+', file.read_text()):
            text = "".join(re.findall(r'"([^"\n]*)"', shell))
            text = text.replace("{params.stage}", "measure_event_detection")
            called = COMMAND.search(text)
            if not called or entries()[called[1]][1] != "stage":
                continue
            module, _, function = entry(called[1]).partition(":")
            parameters = inspect.signature(
                getattr(importlib.import_module(module), function)
            ).parameters
            given = {name.replace("-", "_") for name in re.findall(r" --([\w-]+)", text)}
            assert given - {"code"} <= set(parameters), called[1]
            needed = {name for name, p in parameters.items() if p.default is p.empty}
            assert needed <= given, called[1]

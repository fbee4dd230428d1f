"""The commands in the pages: none is misspelt, and each plans or parses as it stands.

A command that no test can check has `<!-- not checked: why -->` before it, or before its block.
"""

import importlib
import re
import shlex
from itertools import dropwhile, takewhile
from typing import NamedTuple

import pytest
import yaml
from snakemake.cli import get_argument_parser
from workspace import ROOT, Workspace

from weakneg.command_line import parser_of
from weakneg.config.files import STUDIES, read_config
from weakneg.config.load import load
from weakneg.config.values import as_list
from weakneg.stages import entry

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "tests/benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
BLOCK = re.compile(
    r"(<!-- not checked: \w.* -->\n)?^```(?:bash|sh|console|shell)\n(.*?)^```", re.M | re.S
)
INLINE = re.compile(
    r"(<!-- not checked: \w[^>]* -->)?(?<!`)`((?:snakemake|sbatch|make|python -m weakneg) [^`\n]+)`"
)
# Parts of commands that stand for something else: <study>, STUDY, N, ...
PLACEHOLDER = re.compile(r"[<>]|\.\.\.|[A-Z]{3}|\bN\b")
PLAIN = re.compile(r"snakemake(?: -n| --cores all)* ?(\w*)")
SHELL = {"cd", "cp", "done", "export", "for", "git", "source"}
STUDY_NAMES = {file.stem for file in STUDIES.glob("*.yaml")}
RULES = {
    name
    for file in (ROOT / "workflow/rules").glob("*.smk")
    for name in re.findall(r"^ *(?:rule |name: f?\")(\w+)", file.read_text(), re.MULTILINE)
}


class Command(NamedTuple):
    page: str
    words: tuple[str, ...]


def commands_of(text: str) -> list[tuple[str, ...]]:
    """The words of each command in a page, without those that are marked as not checked."""
    found = []
    for marked, block in BLOCK.findall(text):
        lines = block.replace("\\\n", " ").splitlines() if not marked else []
        found += [shlex.split(line, comments=True) for line in lines]
    found += [
        shlex.split(words)
        for marked, words in INLINE.findall(text)
        if not marked and not PLACEHOLDER.search(words)
    ]
    variable = re.compile(r"\w+=")
    return [tuple(dropwhile(variable.match, words)) for words in found if words]


COMMANDS = [
    Command(page.relative_to(ROOT).as_posix(), words)
    for page in PAGES
    for words in dict.fromkeys(commands_of(page.read_text(encoding="utf-8")))
    if words and words[0] not in SHELL
]


def check_snakemake(words, page):
    """Its options exist, and so do the studies, rules and keys that it names."""
    given = get_argument_parser().parse_args(words)
    assert set(given.targets) <= STUDY_NAMES | RULES
    assert {*(given.until or ()), *(given.forcerun or ()), *(given.cache or ())} <= RULES
    config = yaml.safe_load("\n".join(each.replace("=", ": ", 1) for each in given.config or ()))
    own = [name for name in as_list((config or {}).pop("studies", [])) if name not in STUDY_NAMES]
    # Files of the reader's own are shown by the page.
    assert all(name.rpartition("/")[2] in page for name in own)
    file = ROOT / "config.yaml"
    loaded = load(read_config(file) | (config or {}), file)
    for study in STUDY_NAMES.intersection(given.targets):
        loaded.study(study)


def check_weakneg(words, page):
    name, *options = words
    if name in re.findall(r"^@stage\ndef (\w+)", page, re.MULTILINE):
        return
    module, _, function = entry(name).partition(":")
    parser = parser_of(name, getattr(importlib.import_module(module), function))
    if options:
        parser.parse_args(options)


def check_python(words, page):
    file = next(word for word in words if not word.startswith("-"))
    if words[:2] == ["-m", "pytest"]:
        files = [word for word in words[2:] if word.endswith(".py")]
        assert all((ROOT / file).is_file() for file in files)
    elif words[:2] == ["-m", "weakneg"]:
        check_weakneg(words[2:], page)
    else:
        assert (ROOT / file).is_file() or f"# {file}\n" in page


def check_make(words, page):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {word for word in words if "=" not in word} <= {*targets}


def check_sbatch(words, page):
    """The script exists, and what follows are arguments for Snakemake."""
    options = [*takewhile(lambda word: word.startswith("-"), words)]
    for script, *rest in [words[len(options) :]] if len(options) < len(words) else []:
        assert (ROOT / script).is_file()
        check_snakemake(rest, page)


CHECKS = {
    **{"make": check_make, "python": check_python, "sbatch": check_sbatch},
    "snakemake": check_snakemake,
}


@pytest.mark.parametrize("page", [page.relative_to(ROOT).as_posix() for page in PAGES])
def test_every_command_of_a_page_is_checked(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for words in [command.words for command in COMMANDS if command.page == page]:
        try:
            CHECKS[words[0]](list(words[1:]), text)
        except (Exception, SystemExit) as error:
            raise AssertionError(f"{page}: {shlex.join(words)}: {error!r}") from error


def test_the_pages_have_commands_of_every_kind():
    assert {command.words[0] for command in COMMANDS} == {*CHECKS}
    named = {command.words[2] for command in COMMANDS if command.words[1:2] == ("-m",)}
    assert "weakneg" in named
    assert len(COMMANDS) > 40


def test_a_study_that_the_pages_say_to_run_plans_jobs(tmp_path):
    """A dry run of each command that names a study of the repository and nothing more."""
    workspace = Workspace(tmp_path)
    said = {shlex.join(command.words) for command in COMMANDS}
    targets = {found[1] for each in said if (found := PLAIN.fullmatch(each))}
    assert targets >= {"", "cifar10", "audioset"}
    for target in sorted(targets - {"soundscapes"}):  # one of the studies without a target
        assert workspace.planned(*target.split()), target


@pytest.mark.parametrize(
    "line",
    [
        "snakemake --cores all cifar01",
        "snakemake --cores all --untill acquire_shard audioset",
        "snakemake --cores all audioset --until acquire_shards",
        "snakemake --cores all cifar10 --config seed=2",
        "snakemake --cores all cifar10 --config classes=[aeroplane]",
        "python -m weakneg predicts x",
        "python -m weakneg diff a b --tolerence 1",
        "python tests/benchmarks/none.py",
        "make runs",
        "sbatch slurm/allocations.sh digits",
    ],
)
def test_a_misspelt_command_is_found(line):
    [[first, *words]] = commands_of(f"```bash\n{line}\n```\n")
    with pytest.raises((Exception, SystemExit)):
        CHECKS[first](words, "")

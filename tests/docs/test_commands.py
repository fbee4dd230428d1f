"""The commands in the pages: none is misspelt, and they run as they stand where that is cheap.

Commands of the library run in a copy of the finished workspace, with files that stand for the
reader's own. Those of Snakemake are planned there, since their jobs would take minutes to weeks.
What sets up an environment, needs a cluster, tests or measures is only parsed.

A command that no test can check has `<!-- not checked: why -->` before it, or before its block.
"""

import importlib
import re
import shlex
import shutil
import subprocess
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
SHELL = {"cd", "cp", "done", "export", "for", "git", "source"}
STUDY_NAMES = {file.stem for file in STUDIES.glob("*.yaml")}
RULES = {
    name
    for file in (ROOT / "workflow/rules").glob("*.smk")
    for name in re.findall(r"^ *(?:rule |name: f?\")(\w+)", file.read_text(), re.MULTILINE)
}


class Command(NamedTuple):
    page: str
    line: str
    words: tuple[str, ...]


def commands_of(text: str, page: str = "") -> list[Command]:
    """Each command in a page, without those that are marked as not checked."""
    lines = []
    for marked, block in BLOCK.findall(text):
        lines += block.replace("\\\n", " ").splitlines() if not marked else []
    lines += [
        words
        for marked, words in INLINE.findall(text)
        if not marked and not PLACEHOLDER.search(words)
    ]
    variable = re.compile(r"\w+=")
    commands = {}
    for line in lines:
        words = tuple(dropwhile(variable.match, shlex.split(line, comments=True)))
        if words and words[0] not in SHELL:
            commands.setdefault(words, Command(page, line, words))
    return [*commands.values()]


COMMANDS = [
    command
    for page in PAGES
    for command in commands_of(page.read_text("utf-8"), page.relative_to(ROOT).as_posix())
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


def parser_of_stage(name):
    module, _, function = entry(name).partition(":")
    return parser_of(name, getattr(importlib.import_module(module), function))


def check_weakneg(words, page):
    name, *options = words
    if name in re.findall(r"^@stage\ndef (\w+)", page, re.MULTILINE):
        return
    parser = parser_of_stage(name)
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


# A block of code, the first line of which is a comment that names a file.
EXAMPLE = re.compile(r"```(?:python|yaml)\n(# ([\w/.]+)\W.*?)```", re.DOTALL)
MINE = """\
title: Mine
dataset: {name: recordings, list: list.csv, folder: ../esc10, unlisted: unknown}
audio: {clip_seconds: 4}
model: {name: cnn}
strategies: [random, dns]
"""
CLASSES = ["Dog bark", "Rain", "Rooster", "Bark"]


@pytest.fixture(scope="module")
def clone(finished, tmp_path_factory) -> Workspace:
    """A copy of the finished workspace, and what the pages take for granted beside it."""
    around = tmp_path_factory.mktemp("reader")
    shutil.copytree(finished.folder, around / "clone")
    workspace = Workspace(around / "clone")
    workspace.ran = set()
    shutil.copytree(ROOT / "docs", workspace.folder / "docs")
    results = workspace.folder / "results"
    (results / "published").symlink_to(ROOT / "results/published")
    for name in ("../mine/before.csv", "before/metrics.csv", "now/metrics.csv"):
        (workspace.folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(results / "digits/metrics.csv", workspace.folder / name)
    # A study of the reader's recordings: those of soundscapes, by other names.
    shutil.copytree(results / "soundscapes", results / "mine")
    (results / "mine/runs/bark").rename(results / "mine/runs/001_dog_bark")
    for run in [*(results / "mine/runs").glob("*/badge")]:
        run.rename(run.with_name("dns"))
    recordings = sorted((workspace.folder / "resources/soundscapes/audio/test").iterdir())[:24]
    for folder in ("mine/new", "esc10"):
        (around / folder).mkdir(parents=True)
        for path in recordings:
            shutil.copy(path, around / folder)
    rows = ["file,labels,negatives"]
    rows += [
        f"{path.name},{CLASSES[n % 4]},{CLASSES[n % 4 - 1]}" for n, path in enumerate(recordings)
    ]
    (around / "mine/list.csv").write_text("\n".join(rows))
    (around / "mine/mine.yaml").write_text(MINE)
    shutil.copytree(results, around / "other-clone/results", symlinks=True)
    return workspace


# Exit statuses other than 0 that tell something: a difference, and that nothing is running.
STATUSES = {"diff": (0, 1), "watch": (1,)}


def really(command: Command, clone: Workspace) -> bool:
    """Whether to run a command rather than to plan its jobs or parse it."""
    program, *words = command.words
    if program == "snakemake":
        return bool({"--report", "--unlock"} & {*words})
    if program == "python" and words[:2] == ["-m", "weakneg"]:
        return is_whole(words[2:])
    return program == "python" and (clone.folder / words[0]).is_file()


def is_whole(words) -> bool:
    """Whether a command of the library has all that it needs: a page may only mention its name."""
    try:
        parser_of_stage(words[0]).parse_args(words[1:])
    except SystemExit:
        return False
    return True


@pytest.mark.parametrize("page", dict.fromkeys(command.page for command in COMMANDS))
def test_the_commands_of_a_page_run_one_after_the_other(clone, page):
    if page == "docs/extending.md":
        pytest.skip("tests/workflow/test_extending.py runs them, with what the page adds")
    for example, file in EXAMPLE.findall((ROOT / page).read_text(encoding="utf-8")):
        if not (clone.folder / file).exists():
            (clone.folder / file).write_text(example)
    for command in [command for command in COMMANDS if command.page == page]:
        if command.words in clone.ran or "$" in command.line:  # the latter is a part of a loop
            continue
        clone.ran.add(command.words)
        if really(command, clone):
            done = subprocess.run(
                ["bash", "-c", command.line],
                cwd=clone.folder,
                env=clone.environment() | {"PYTHONPATH": str(clone.folder / "workflow")},
                capture_output=True,
                text=True,
            )
            [expected] = [STATUSES[name] for name in STATUSES if name in command.words] or [(0,)]
            assert done.returncode in expected, f"{command.line}\n{done.stdout}{done.stderr}"
        elif command.words[0] == "snakemake":
            clone.planned(*command.words[1:], SNAKEMAKE_OUTPUT_CACHE=str(clone.folder.parent))


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
    [command] = commands_of(f"```bash\n{line}\n```\n")
    first, *words = command.words
    with pytest.raises((Exception, SystemExit)):
        CHECKS[first](words, "")

"""The command line: `python -m weakneg <stage> --option value ...`.

The rules of the workflow call it, and users can, too, with the commands that `snakemake -p` prints.
A stage or command is a function (see `weakneg.stages`), and its signature and docstring define its
command line: parameters are options, and those before a `/` are positional arguments.
"""

import argparse
import ast
import importlib
import inspect
import os
import re
import signal
import sys
import threading
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from weakneg.errors import INTERRUPTED, UserError
from weakneg.io.files import NO_ROOM
from weakneg.plugins import is_own
from weakneg.stages import entries, entry

PROGRAM = "python -m weakneg"


def overview() -> str:
    """The text of `--help`: every stage and command with the first line of its docstring."""
    lines = [f"usage: {PROGRAM} STAGE [options]; {PROGRAM} STAGE --help lists them"]
    titles = {"command": "commands", "stage": "stages, which the workflow runs"}
    for kind, title in titles.items():
        lines += ["", f"{title}:"]
        for name, (_, of_kind) in sorted(entries().items()):
            if of_kind == kind:
                lines.append(f"  {name:17} {_summary(name)}")
    return "\n".join(lines)


def _summary(name: str) -> str:
    module, _, function = entry(name).partition(":")
    path = Path(__file__).parent.parent / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return (ast.get_docstring(node) or "").split("\n")[0]
    return ""


def parser_of(name: str, function: Callable) -> argparse.ArgumentParser:
    """Make the parser of a stage's options.

    Parameters
    ----------
    name : str
        Name of the stage or command.
    function : callable
        Its function, whose signature and docstring define the options.

    Returns
    -------
    argparse.ArgumentParser
        The parser.
    """
    documentation = inspect.getdoc(function) or ""
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} {name}",
        description=documentation.split("\nParameters\n")[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    hints = typing.get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "fingerprint":  # part of --code
            continue
        text = _described(documentation, parameter.name)
        keywords = _keywords(parameter, hints[parameter.name]) | {"help": text}
        if parameter.kind is parameter.POSITIONAL_ONLY:
            del keywords["required"]
            parser.add_argument(parameter.name, **keywords)
        else:
            parser.add_argument(f"--{parameter.name.replace('_', '-')}", **keywords)
    if entries()[name][1] == "stage":
        parser.add_argument(
            "--code",
            nargs="+",
            default=[""],
            metavar=("HASH", "CODE"),
            help="fingerprint of the stage's code, then the stage and its plugins",
        )
    return parser


def _keywords(parameter: inspect.Parameter, kind: typing.Any) -> dict[str, typing.Any]:
    """Keyword arguments of `add_argument` for a parameter of a stage."""
    keywords: dict[str, typing.Any] = {"required": parameter.default is parameter.empty}
    if not keywords["required"]:
        keywords["default"] = parameter.default
    if kind is bool:  # --name and --no-name
        return keywords | {"action": argparse.BooleanOptionalAction}
    if isinstance(kind, types.UnionType):  # ... | None
        (kind,) = (each for each in typing.get_args(kind) if each is not types.NoneType)
        if typing.get_origin(kind) is not list:
            keywords["nargs"] = "?"
    if typing.get_origin(kind) is list:
        (kind,) = typing.get_args(kind)
        keywords["nargs"] = "+" if keywords["required"] else "*"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return keywords | {"type": _reader(kind.model_validate_json), "metavar": "JSON"}
    return keywords | {"type": _reader(TypeAdapter(kind).validate_strings)}


def _reader(read: Callable[[str], typing.Any]) -> Callable[[str], typing.Any]:
    def value(text: str) -> typing.Any:
        try:
            return read(text)
        except ValidationError as error:
            first = error.errors()[0]
            key = "".join(f"{part}: " for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise argparse.ArgumentTypeError(f"{key}{message}") from error

    return value


def _described(documentation: str, parameter: str) -> str:
    """The description of a parameter in a numpydoc docstring."""
    pattern = rf"^(?:\w+, )*{parameter}(?:, \w+)* : .*\n((?:    .*\n?|\n)+)"
    found = re.search(pattern, documentation, re.MULTILINE)
    return " ".join(found[1].split()).replace("%", "%%") if found else ""


def check_code(fingerprint: str, *code: str) -> None:
    """Refuse to run code other than that for which the workflow will record the result.

    Nothing was edited if the sources have the digest that the workflow found when it started.

    Parameters
    ----------
    fingerprint : str
        Fingerprint of the code when the workflow started.
    *code : str
        The stage and its plugins; empty for a command that a user runs.

    Raises
    ------
    UserError
        When the code has changed since.
    """
    from weakneg.workspace.fingerprint import SOURCES, digest_of_sources
    from weakneg.workspace.fingerprint import fingerprint as current

    if not code:
        return
    digest = os.environ.get(SOURCES)
    if digest and not any(map(is_own, code)) and digest_of_sources() == digest:
        return
    if current(entry(code[0]), code[1:]) != fingerprint:
        raise UserError(
            f"the code of {code[0]} was changed after the workflow started: start it again."
        )


def run(name: str, words: Sequence[str]) -> int:
    """Run a stage or command.

    Parameters
    ----------
    name : str
        Name of the stage or command.
    words : sequence of str
        Its command line.

    Returns
    -------
    int
        Exit status.
    """
    module, _, function_name = entry(name).partition(":")
    function = getattr(importlib.import_module(module), function_name)
    parameters = inspect.signature(function).parameters
    options = vars(parser_of(name, function).parse_args(words))
    code = options.pop("code", [""])
    check_code(*code)
    if "fingerprint" in parameters:
        options["fingerprint"] = code[0]
    by_position = [
        options.pop(each.name) for each in parameters.values() if each.kind is each.POSITIONAL_ONLY
    ]
    return function(*by_position, **options) or 0


class _Terminated(BaseException):
    """SIGTERM arrived."""


def _raise_on_sigterm() -> bool:
    """Make SIGTERM, with which Slurm and Snakemake end jobs, raise `_Terminated`.

    So unfinished files, which can be large, are removed. Where something else, or nothing, is to be
    done about the signal, that stays so.
    """

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # some send it to a process more than once
        raise _Terminated

    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return False
    signal.signal(signal.SIGTERM, end)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; bad input prints one line to the error stream.

    Parameters
    ----------
    arguments : sequence of str, optional
        Name of a stage or command and its command line; by default those of the process.

    Returns
    -------
    int
        Exit status.
    """
    name, *words = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        if name in ("-h", "--help"):
            print(overview())
            return 0
        raises = _raise_on_sigterm()
        try:
            return run(name, words)
        finally:
            if raises:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    except BrokenPipeError:  # the reader of the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        advice = ": make room and run again" if error.errno in NO_ROOM else ""
        if not advice and not (error.filename and error.strerror):
            raise
        reason = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        print(f"error: {reason}{advice}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except _Terminated:
        signal.raise_signal(signal.SIGTERM)  # whoever waits for this process sees how it ended
        return 128 + signal.SIGTERM


if __name__ == "__main__":
    sys.exit(main())

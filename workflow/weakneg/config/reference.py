"""docs/configuration.md, the reference of every key, written from the models."""

import ast
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from weakneg import losses, plugins, strategies
from weakneg.config.files import WORKFLOW
from weakneg.plugins import Option

PAGE = WORKFLOW.parent / "docs" / "configuration.md"

_HEAD = """\
# Every key of the configuration

<!-- Written by `python -m weakneg schema`; a test keeps it in step with the models. -->

`config.yaml` says what to build, and a study (a file in `workflow/studies`, or your own) what an
experiment is. Both are checked before anything runs: an unknown key, a wrong value or a
combination that cannot work ends in one line that names the file and the key. An editor that knows
YAML completes and checks the keys if the first line of the file names the schema, as in
`# yaml-language-server: $schema=../schemas/study.schema.json`.
"""
_TYPES = {
    **{"integer": "whole number", "number": "number", "string": "text", "null": "`null`"},
    **{"boolean": "`true` or `false`", "object": "mapping", "array": "list"},
}
_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string"}
_INLINE = {"Top": "`{top: n}`", "JsonValue": "any value"}
_LIMITS = {
    **{"minimum": "at least", "exclusiveMinimum": "above"},
    **{"maximum": "at most", "exclusiveMaximum": "below"},
}

Schema = Mapping[str, Any]


def reference(config: Schema, study: Schema) -> str:
    """The page, as Markdown.

    Parameters
    ----------
    config, study : mapping
        The JSON schemas of config.yaml and of a study.

    Returns
    -------
    str
        Every key with its type, its default and its description, and the options of all strategies
        and losses.
    """
    parts = [_HEAD, "## config.yaml\n", _keys(config, {})]
    titles = _sections(study, study["$defs"])
    links = {ref: f"[{title}](#{_anchor(title)})" for ref, title in titles.items()}
    parts += ["## A study\n", _keys(study, links)]
    for ref, title in titles.items():
        section = study["$defs"][ref]
        parts += [f"### {title}\n", f"{section['description']}\n", _keys(section, links)]
    strategy_file, loss_file = strategies.__file__, losses.__file__
    parts += [
        "## Options of strategies\n",
        "Given in an entry of `strategies`. Strategies that are not listed have none.\n",
        _plugins(strategies.names(), strategies.options, Path(strategy_file).parent, "select"),
        "## Options of losses\n",
        "Given as `{name: nnpu, prior: 0.05}`, wherever a loss is. Losses that are not listed have "
        "none.\n",
        _plugins(losses.names(), losses.options, Path(loss_file).parent, "loss"),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


def option_lines(
    folder: Path, plugin: str, function: str, options: Mapping[str, Option]
) -> dict[str, str]:
    """What is said of each option of a strategy or a loss, as Markdown.

    Parameters
    ----------
    folder : Path
        Folder of the plugins.
    plugin, function : str
        Name of the plugin and of its function, whose docstring describes the options.
    options : mapping of str to Option
        The options.

    Returns
    -------
    dict of str to str
        The values, the default and the description of each option.
    """
    text = ast.get_docstring(plugins.function(folder, plugin, function)) or ""
    found = re.findall(r"^(\w+(?:, \w+)*) : .*\n((?:    .*(?:\n|$))+)", text, re.MULTILINE)
    described = {
        name: " ".join(words.split()) for names, words in found for name in names.split(", ")
    }
    return {
        key: f"{_option_values(option)}; default `{_value(option.default)}`. "
        + _escaped(described[key])
        for key, option in options.items()
    }


def _option_values(option: Option) -> str:
    allowed = option.allowed
    if isinstance(allowed, plugins.Interval):
        limits = {"minimum": allowed.low, "maximum": allowed.high}
        given = {name: value for name, value in limits.items() if value is not None}
        return _type({"type": _KINDS[allowed.kind], **given}, {})
    if isinstance(allowed, tuple):
        return _type({"enum": allowed}, {})
    if allowed in _KINDS:
        return _type({"type": _KINDS[allowed]}, {})
    return "a strategy" if allowed is strategies.Select else "a strategy that ranks bags"


def _plugins(
    names: Iterable[str], options: Callable[[str], dict[str, Option]], folder: Path, function: str
) -> str:
    return "\n".join(
        f"- **`{name}`, `{key}`**: {said}\n"
        for name in names
        for key, said in option_lines(folder, name, function, options(name)).items()
    )


def _sections(schema: Schema, defs: Mapping[str, Schema]) -> dict[str, str]:
    """The models inside a model, each once, and the titles that say where they are."""
    found: dict[str, str] = {}

    def visit(where: str, properties: Mapping[str, Schema]) -> None:
        for key, entry in properties.items():
            title = f"`{where}{key}`"
            for ref in re.findall(r'"#/\$defs/(\w+)"', json.dumps(_without_mapping(entry))):
                if ref in {*found, *_INLINE}:
                    continue
                inner = defs[ref]["properties"]
                kinds = [
                    f"{name}: {each['const']}" for name, each in inner.items() if "const" in each
                ]
                entries = "entries of " if '"array"' in json.dumps(entry) else ""
                found[ref] = entries + ", ".join([title, *(f"`{kind}`" for kind in kinds)])
                visit(f"{where}{key}.", inner)

    visit("", schema["properties"])
    return found


def _without_mapping(entry: Any) -> Any:
    """A schema without the mapping of its discriminator, which names the same models again."""
    if isinstance(entry, Mapping):
        return {k: _without_mapping(v) for k, v in entry.items() if k != "discriminator"}
    return [_without_mapping(each) for each in entry] if isinstance(entry, list) else entry


def _anchor(title: str) -> str:
    """The anchor that GitHub and MyST give a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _keys(schema: Schema, links: Mapping[str, str]) -> str:
    lines = []
    for key, entry in schema["properties"].items():
        words = [f"- **`{key}`**: {_type(entry, links)}"]
        if "$ref" in entry:  # a section, whose keys have defaults of their own
            words.append(".")
        elif "default" in entry:
            words.append(f"; default `{_value(entry['default'])}`.")
        else:
            words.append("; required.")
        described = entry.get("description", "")
        lines.append("".join(words) + (f" {_escaped(described)}" if described else "") + "\n")
    return "\n".join(lines)


def _type(entry: Schema, links: Mapping[str, str]) -> str:
    *others, last = _alternatives(entry, links)
    return f"{', '.join(others)} or {last}" if others else last


def _alternatives(entry: Schema, links: Mapping[str, str], plural: str = "") -> list[str]:
    """What a value may be, as Markdown."""
    several = entry.get("anyOf") or entry.get("oneOf")
    if several:
        found = (each for part in several for each in _alternatives(part, links, plural))
        return list(dict.fromkeys(found))
    if "$ref" in entry:
        name = entry["$ref"].removeprefix("#/$defs/")
        return [_INLINE.get(name) or links[name]]
    if "const" in entry:
        return [f"`{entry['const']}`"]
    if "enum" in entry:
        return [f"`{value}`" for value in entry["enum"]]
    words = _TYPES[entry["type"]]
    if words.endswith("number"):
        words += plural
    if "items" in entry:
        items = _alternatives(entry["items"], links, "s")
        words = f"list of {items[0]}" if len(items) == 1 else f"list ({' or '.join(items)})"
    if isinstance(entry.get("additionalProperties"), Mapping):
        words = f"mapping of names to {_type(entry['additionalProperties'], links)}"
    limits = [f"{said} {entry[key]:g}" for key, said in _LIMITS.items() if key in entry]
    return [f"{words} {' and '.join(limits)}" if limits else words]


def _value(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def _escaped(text: str) -> str:
    """Text in which Markdown sees neither tags nor emphasis."""
    return re.sub(r"([<*])", r"\\\1", text)

"""The page of each strategy: its docstring, its options, and a picture of what it chooses.

The pictures are made by running the strategies on one small pool with embeddings of two dimensions.
"""

import ast
import io
import re
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

from weakneg import plugins, strategies
from weakneg.config.reference import option_lines
from weakneg.strategies.pool import Pool, Scores, Selection

_FOLDER = Path(strategies.__file__).parent
_BUDGET = 20
# Name of the group, number of bags, centre and standard deviation.
_GROUPS = [
    ("easy", 120, (-1.5, -1.5), 0.8),
    ("hard", 45, (1.5, -1.0), 0.5),
    ("hard", 30, (-1.1, 1.4), 0.5),
    ("mislabelled", 5, (1.4, 1.2), 0.4),
]
_POSITIVES = (24, (1.4, 1.2), 0.5)
_WEIGHTS, _BIAS = np.array([1.1, 1.2]), -0.4  # of the last layer
# The defaults suit pools of thousands of bags.
_OPTIONS: dict[str, dict[str, object]] = {
    "cluster_aware": {"clusters": 8},
    "false_negative_elimination": {"share": 0.1},
    "trimmed": {"share": 0.1},
}
_TEXT, _GREY = "#010203", "#8f8f8f"


def write_pages(overview: Path, folder: Path) -> list[str]:
    """Write the pages of all strategies.

    Parameters
    ----------
    overview : Path
        The page with the table that says when to use each of them, and what it costs.
    folder : Path
        Where the pages go.

    Returns
    -------
    list of str
        The names of the strategies.
    """
    folder.mkdir(exist_ok=True)
    rows = re.findall(
        r"^\| `(\w+)` \| (.*) \| (.*) \|$", overview.read_text(encoding="utf-8"), re.MULTILINE
    )
    advice = {name: (when, cost) for name, when, cost in rows}
    for name in strategies.names():
        (folder / f"{name}.md").write_text(_page(name, *advice[name]), encoding="utf-8")
    return strategies.names()


def _page(name: str, when: str, cost: str) -> str:
    file = _FOLDER / f"{name}.py"
    module = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    text = ast.get_docstring(plugins.function(_FOLDER, name, "select")) or ""
    body, sections = _sections(text)
    chosen = _choose(name)
    title = name if _inner(name) else strategies.display_name(name, name)
    parts = [
        f"# `{name}`" if title == name else f"# {title}",
        f"`{name}`: {_markdown(module, name)}",
        f"```{{raw}} html\n{_picture(name, title, chosen)}\n```",
        _described(name, chosen),
        f"**When to use it**: {_linked(when, name)}.",
        f"**Cost**: {_linked(cost, name)}.",
        "**Results**: [all strategies on AudioSet]"
        "(../../results/published/audioset_vggish_strategies/README.md).",
        "## How it chooses",
        _markdown(body, name),
    ]
    options = strategies.options(name)
    if options:
        lines = option_lines(_FOLDER, name, "select", options)
        listed = [f"- **`{key}`**: {_linked(said, name)}" for key, said in lines.items()]
        parts += ["## Options", "\n".join(listed)]
    parts += ["## Source", _markdown(sections["References"], name)]
    if "Raises" in sections:
        parts.insert(-2, f"It stops {_markdown(_raises(sections['Raises']), name)}")
    parts.append(f"The code is in [{name}.py](../../workflow/weakneg/strategies/{name}.py).")
    return "\n\n".join(parts) + "\n"


def _sections(docstring: str) -> tuple[str, dict[str, str]]:
    """The text of a numpydoc docstring, and its sections."""
    body, *rest = re.split(r"^(\w+)\n-+\n", docstring, flags=re.MULTILINE)
    return body.strip(), dict(zip(rest[::2], map(str.strip, rest[1::2]), strict=True))


def _raises(section: str) -> str:
    said = " ".join(section.split("\n", 1)[1].split())
    return said[0].lower() + said[1:]


def _markdown(docstring: str, name: str) -> str:
    """Text of a docstring as Markdown."""
    parts = re.split(r"(`[^`]+`)", docstring)
    parts[::2] = [re.sub(r"([*_<|\[\]])", r"\\\1", part) for part in parts[::2]]
    return _linked("".join(parts), name)


def _linked(text: str, name: str) -> str:
    """Markdown with links to the other strategies."""
    others = "|".join(other for other in strategies.names() if other != name)
    return re.sub(rf"`({others})`", r"[`\1`](\1.md)", text)


def _inner(name: str) -> dict[str, dict[str, object]]:
    """The default of the options that are strategies."""
    return {
        key: {"strategy": option.default}
        for key, option in strategies.options(name).items()
        if option.allowed in (strategies.Select, strategies.Ranking)
    }


def _toy_pool(name: str) -> tuple[Pool, np.ndarray, np.ndarray]:
    """The pool, the embeddings of its bags and those of the positive bags."""
    rng = np.random.default_rng(3)
    negatives = np.concatenate([rng.normal(mean, sd, (n, 2)) for _, n, mean, sd in _GROUPS])
    n, mean, sd = _POSITIVES
    positives = rng.normal(mean, sd, (n, 2))

    def scores(embeddings: np.ndarray) -> Scores:
        h = torch.from_numpy(embeddings)
        logits = torch.from_numpy(embeddings @ _WEIGHTS + _BIAS)

        def gradients(loss_label: str, rows: torch.Tensor) -> torch.Tensor:
            label = (logits > 0).double() if loss_label == "hypothesised" else 0
            return ((logits.sigmoid() - label)[:, None] * h)[rows]

        return Scores(logits, h, gradients)

    pool = Pool(
        torch.arange(len(negatives)),
        lambda gradients: scores(negatives),
        lambda: scores(positives),
        strategy=name,
        epoch=1,
    )
    return pool, negatives, positives


def _choose(name: str) -> Selection:
    select = strategies.load(name, _inner(name) | _OPTIONS.get(name, {}))
    return select(_toy_pool(name)[0], _BUDGET, torch.Generator().manual_seed(0))


def _described(name: str, chosen: Selection) -> str:
    """The picture in words."""
    groups = np.repeat([name for name, *_ in _GROUPS], [n for _, n, *_ in _GROUPS])
    counts = {
        group: (int((groups[chosen.ids] == group).sum()), int((groups == group).sum()))
        for group in dict.fromkeys(groups)
    }
    easy, hard, wrong = (f"{n} of the {total}" for n, total in counts.values())
    given = ", ".join(f"`{key}: {value}`" for key, value in _OPTIONS.get(name, {}).items())
    return (
        f"*Its choice from the [toy pool](../strategies.md#the-toy-pool), {len(chosen.ids)} bags"
        f"{f' with {given}' if given else ''}: {easy} easy ones, {hard} hard ones and {wrong} that "
        "are mislabelled.*"
    )


def _picture(name: str, title: str, chosen: Selection) -> str:
    """The toy pool with the chosen bags, as SVG for a page, in the colours of the page."""
    _, negatives, positives = _toy_pool(name)
    look = strategies.look(name) or {"colour": "#D55E00", "marker": "o"}
    sizes = 34 * (1 if chosen.weights is None else chosen.weights.numpy())
    taken = negatives[chosen.ids]
    settings = {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 10}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(4, 4.2), layout="constrained")
        axes = figure.subplots()
        rest = np.delete(negatives, chosen.ids, axis=0)
        axes.scatter(*rest.T, s=12, c=_GREY, linewidths=0, alpha=0.7, label="not chosen")
        axes.scatter(*positives.T, s=30, c=_TEXT, marker="+", linewidths=1, label="positive bags")
        axes.scatter(
            *taken.T,
            **{"s": sizes, "c": look["colour"], "marker": look["marker"]},
            **{"edgecolors": _TEXT, "linewidths": 0.5, "label": "chosen"},
        )
        x = np.array([-4, 4])
        axes.plot(x, -(_BIAS + _WEIGHTS[0] * x) / _WEIGHTS[1], "--", c=_GREY, lw=1, label="p = 1/2")
        axes.set(xlim=(-3.7, 3.2), ylim=(-3.6, 3), xticks=[], yticks=[])
        axes.set_xlabel("embedding, first dimension", color=_TEXT)
        axes.set_ylabel("second dimension", color=_TEXT)
        for spine in axes.spines.values():
            spine.set_color(_GREY)
        figure.legend(loc="outside upper center", ncols=2, frameon=False, labelcolor=_TEXT)
        output = io.StringIO()
        figure.savefig(output, format="svg", transparent=True, metadata={"Date": None})
    svg = output.getvalue()
    svg = svg[svg.index("<svg") :].replace(_TEXT, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', "", svg, count=1)
    label = f'role="img" aria-label="Toy pool with the bags that {title} chooses"'
    return svg.replace("<svg", f'<svg class="toy-pool" {label}', 1)

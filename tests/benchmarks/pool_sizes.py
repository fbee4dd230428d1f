"""What a choice costs by the size of the pool: time and memory of every strategy.

    python tests/benchmarks/pool_sizes.py [--output tests/benchmarks/pool_sizes]

Every choice is made in a process of its own with one thread, from pools of 1,000 to 2,000,000 bags.
The model's part is done before: logits, embeddings of 128 numbers and, in factor form, gradients.
Measured are the processor time of `select` and of what it asks of the pool, and the memory that it
needs at its peak beyond what the process had before. Small pools are chosen from several times; the
time is the median. A strategy that exceeds a limit of time or memory is not tried on larger pools.
Writes OUTPUT.csv and OUTPUT.png and prints a table; with --draw, only from an existing OUTPUT.csv.
"""

import argparse
import csv
import multiprocessing
import resource
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow"))

from weakneg import strategies
from weakneg.models.scores import BagScores
from weakneg.strategies.pool import Pool, Scores

SIZES = (1_000, 10_000, 100_000, 1_000_000, 2_000_000)
WIDTH = 128
LEAST = {"seconds": 0, "mib": 1}  # that the figure shows
SLOWEST = 9  # strategies that are told apart in the figure
COLUMNS = ("strategy", "bags", "seconds", "mib", "limit")
ENOUGH, MOST = 0.5, 100  # seconds and number of repeated choices


def memory(key: str) -> float:
    """MiB that this process has (VmRSS) or had at its peak (VmHWM); Linux only."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{key}:")[1].split()[0]) / 1024


def bags(n: int, mean: float, generator: torch.Generator) -> Scores:
    """What a model computes for n bags; the gradient of a logit is the embedding."""
    x = torch.empty(n, WIDTH).normal_(generator=generator).clamp_(min=0)
    found = BagScores(torch.empty(n).normal_(mean, 2, generator=generator), x, x)
    return Scores(found.logits, found.embeddings, found.gradients)


def choose(name: str, positives: Scores, budget: int, pool: Scores) -> None:
    """Choose once."""
    given = {
        option: {"strategy": each.default}
        for option, each in strategies.options(name).items()
        if each.allowed in (strategies.Select, strategies.Ranking)
    }
    of = Pool(
        torch.arange(len(pool.logits)),
        lambda gradients: pool,
        lambda: positives,
        strategy=name,
        epoch=1,
    )
    strategies.load(name, given)(of, budget, torch.Generator().manual_seed(0))


def measure(choice: Callable[..., None], small: Scores, pool: Scores) -> tuple[float, float]:
    """Seconds of a choice, and MiB at its peak."""
    choice(small)  # the pages of libraries count, too, when they are first used
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    start = time.process_time()
    choice(pool)
    seconds = time.process_time() - start
    mib = memory("VmHWM") - before
    count = 1
    while seconds < ENOUGH and count < MOST:
        choice(pool)
        seconds, count = time.process_time() - start, count + 1
    return seconds / count, max(0.0, mib)


def measured(
    choice: Callable[..., None], pools: tuple[Scores, Scores], seconds: int, gigabytes: int
) -> dict[str, str]:
    """What a process of its own measures, or the limit that it exceeds."""
    ours, theirs = multiprocessing.Pipe(duplex=False)

    def child() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (gigabytes << 30,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        try:
            theirs.send(measure(choice, *pools))
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and "allocate memory" not in str(error):
                raise
            theirs.send(None)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    theirs.close()
    try:
        found = ours.recv()
    except EOFError:
        process.join()
        if process.exitcode != -signal.SIGXCPU:
            sys.exit("a choice failed, see above")
        return {"limit": f"{seconds} s"}
    process.join()
    if found is None:
        return {"limit": f"{gigabytes} GiB"}
    return {"seconds": f"{found[0]:.3g}", "mib": f"{found[1]:.0f}"}


def draw(rows: list[dict[str, str]], path: Path) -> None:
    """Time and memory by pool size, on logarithmic axes; all but the slowest in grey."""
    from matplotlib.figure import Figure

    from weakneg.report.figures.style import FAINT, METADATA, guide_lines, house_style, thousands

    sizes = sorted({int(row["bags"]) for row in rows})
    middle = [row for row in rows if int(row["bags"]) == sizes[len(sizes) // 2]]
    middle.sort(key=lambda row: -float(row["seconds"] or "inf"))
    order = [row["strategy"] for row in middle]
    slowest, others = order[:SLOWEST], order[SLOWEST:]
    with house_style():
        figure = Figure(figsize=(7.1, 4.2), layout="constrained")
        panels = figure.subplots(1, 2)
        titles = {"seconds": "seconds of a processor", "mib": "MiB at the peak"}
        for axes, (column, title) in zip(panels, titles.items(), strict=True):
            for name in [*others, *slowest]:
                found = [row for row in rows if row["strategy"] == name and not row["limit"]]
                look = strategies.look(name)
                assert look is not None
                shown = {
                    "color": look["colour"],
                    "linestyle": (0, tuple(look["dashes"])) if "dashes" in look else "-",
                    "marker": look["marker"],
                    "label": name,
                }
                other = {"color": FAINT, "label": f"the {len(others)} others"}
                axes.plot(
                    [int(row["bags"]) for row in found],
                    [max(float(row[column]), LEAST[column]) for row in found],
                    **(shown if name in slowest else other),
                    markersize=3.5,
                    markeredgewidth=0,
                    linewidth=1,
                )
            axes.loglog()
            axes.set_title(title, fontweight="bold")
            axes.set_xlabel("bags in the pool")
            axes.xaxis.set_major_formatter(thousands)
            axes.yaxis.set_major_formatter("{x:g}")
            guide_lines(axes, "y")
        lines, labels = panels[0].get_legend_handles_labels()
        legend = dict(zip(labels, lines, strict=True))
        names = [*slowest, *(name for name in legend if name not in slowest)]
        figure.legend(
            [legend[name] for name in names],
            names,
            loc="outside lower center",
            ncols=5,
            handlelength=3,
        )
        figure.savefig(path, metadata=METADATA[path.suffix])


def table(rows: list[dict[str, str]]) -> str:
    """Time and memory of each strategy by pool size, in Markdown."""
    sizes = sorted({int(row["bags"]) for row in rows})
    cells = {(row["strategy"], int(row["bags"])): row for row in rows}
    lines = ["| | " + " | ".join(f"{n:,}" for n in sizes) + " |", "|---|" + "---:|" * len(sizes)]
    for name in dict.fromkeys(row["strategy"] for row in rows):
        found = [cells.get((name, n)) for n in sizes]
        shown = [
            ""
            if not row
            else f"over {row['limit']}"
            if row["limit"]
            else f"{float(row['seconds']):.2g} s, {row['mib']}"
            for row in found
        ]
        lines.append(f"| `{name}` | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(""))
    parser.add_argument("--strategies", nargs="+", default=strategies.names())
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--positives", type=int, default=200)
    parser.add_argument("--budget", type=int, default=400)
    parser.add_argument("--seconds", type=int, default=60, help="limit of a process")
    parser.add_argument("--gigabytes", type=int, default=8, help="limit of a process")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    args = parser.parse_args()
    path = args.output.with_suffix(".csv")
    if not args.draw:
        torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(0)
        small, positives = bags(1000, -2, generator), bags(args.positives, 1, generator)
        for name in args.strategies:
            choose(name, positives, 10, small)  # imports and start-up
        over: set[str] = set()
        with open(path, "w", newline="", encoding="utf-8", buffering=1) as file:
            writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
            writer.writeheader()
            for n in args.sizes:
                pool = bags(n, -2, generator)
                for name in [name for name in args.strategies if name not in over]:
                    choice = partial(choose, name, positives, args.budget)
                    found = measured(choice, (small, pool), args.seconds, args.gigabytes)
                    over |= {name} if "limit" in found else set()
                    writer.writerow({"strategy": name, "bags": n, **found})
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    draw(rows, args.output.with_suffix(".png"))
    print(table(rows))


if __name__ == "__main__":
    main()

"""The format of numbers in tables and figures, and the phrases that they share."""

import math
from collections.abc import Callable, Iterable

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"


def seeds_phrase(n_seeds: int) -> str:
    """A number of seeds: "5 seeds", "1 seed"."""
    return f"{n_seeds} seed{'' if n_seeds == 1 else 's'}"


def classes_phrase(n_classes: int) -> str:
    """A number of classes: "40 classes", "1 class"."""
    return f"{n_classes} class{'' if n_classes == 1 else 'es'}"


def bootstrap_phrase(n_classes: int, n_seeds: int) -> str:
    """What the bootstrap interval of a comparison is over, and whether it is reliable."""
    text = f"95% bootstrap interval over classes{' and seeds' if n_seeds > 1 else ''}"
    return text + (" (too narrow: few classes)" if n_classes < 10 else "")


def measured_on(devices: Iterable[str]) -> str:
    """Where the seconds were measured.

    Parameters
    ----------
    devices : iterable of str
        Devices as in the table of costs: several are joined by "; ".
    """
    names = sorted({name for joined in devices for name in joined.split("; ")})
    if len(names) == 1:
        return f"on {names[0]}"
    return f"on different machines, so not comparable ({', '.join(names)})"


def number(value: float, decimals: int = 3) -> str:
    """A number without its leading zero, ".856" for 0.856: no metric exceeds one."""
    text = f"{value:.{decimals}f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def signed_number(value: float, decimals: int = 3) -> str:
    """A number with its sign: "+.012" for 0.012. One that rounds to zero has no sign."""
    text = number(abs(value), decimals)
    if not text.strip(".0"):
        return text
    return f"{'+' if value > 0 else MINUS}{text}"


def interval(low: float, high: float, write: Callable[[float], str]) -> str:
    """An interval to follow a number: " [-.004, +.012]", or "" if there is none."""
    return "" if math.isnan(low) else f" [{write(low)}, {write(high)}]"


def plus_minus(mean: float, high: float) -> str:
    """Half of an interval, to follow its mean: " ± .012", or "" if there is none.

    Between zero and one, a wider one than " ± > .5" says nothing more.
    """
    half = high - mean
    return "" if math.isnan(half) else f" ± {number(half)}" if half <= 0.5 else " ± > .5"


def percentage(share: float) -> str:
    """A share as a percentage: "0.6%", "28.1%"."""
    return f"{100 * share:.1f}%"


def seconds(value: float) -> str:
    """A number of seconds: "0.03", "2.5", "1,234"."""
    return f"{value:,.{0 if value >= 10 else 1 if value >= 1 else 2}f}"


def p_value(p: float) -> str:
    """A p-value: ".017", "< .001", or a dash if there is no test."""
    return DASH if math.isnan(p) else "< .001" if p < 0.001 else number(p)


def p_phrase(p: float) -> str:
    """A p-value in a sentence: "p = .017", "p < .001"."""
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"

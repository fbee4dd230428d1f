"""Retries of what may succeed the next time."""

import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_LONGEST_WAIT = 600.0  # seconds

_Result = TypeVar("_Result")


def retry(
    attempt: Callable[[], _Result],
    waits: Iterable[float],
    passing: Callable[[Exception], str | None],
    name: str,
) -> _Result:
    """Call a function, and retry after temporary errors. Each retry is announced on stderr.

    Parameters
    ----------
    attempt : callable
        Called without arguments.
    waits : iterable of float
        Seconds before the second try, the third, ...; there is one more try than there are waits.
    passing : callable
        Maps an error to its reason, in one line; to None if another try cannot help.
    name : str
        What is tried, for the announcements.

    Returns
    -------
    object
        The result of `attempt`.

    Raises
    ------
    Exception
        The error of the last try, unchanged.
    """
    remaining = iter(waits)
    while True:
        try:
            return attempt()
        except Exception as error:
            reason = passing(error)
            wait = None if reason is None else next(remaining, None)
            if wait is None:
                raise
        print(f"{name}: {reason}; next try in {wait:.3g} s", file=sys.stderr, flush=True)
        time.sleep(wait)


def doubling(first: float, retries: int) -> Iterator[float]:
    """Yield random waits between tries, each about twice as long as the one before.

    They vary by half in either direction, so that jobs that failed together do not retry in step.
    No wait is longer than ten minutes.

    Parameters
    ----------
    first : float
        Mean of the first wait, seconds.
    retries : int
        Number of waits.

    Yields
    ------
    float
        The next wait, seconds.
    """
    wait = float(first)
    for _ in range(retries):
        yield min(wait * random.uniform(0.5, 1.5), _LONGEST_WAIT)
        wait *= 2

"""Trying again what may go well the next time."""

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
    """Call a function, and call it again after errors that may pass.

    Each further try is announced on stderr.

    Parameters
    ----------
    attempt : callable
        Is called without arguments.
    waits : iterable of float
        Seconds before the second try, the third, ...; there is one try more than waits.
    passing : callable
        Of an error, what it says, in a line; None if another try cannot help.
    name : str
        What is tried, for people.

    Returns
    -------
    object
        What `attempt` returns.

    Raises
    ------
    Exception
        The error of the last try, as it is.
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
    """Waits before further tries, in seconds, each about twice as long as the one before.

    They are drawn from half to one and a half times that, so that jobs which failed together do not
    try again in step. No wait is longer than ten minutes.

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

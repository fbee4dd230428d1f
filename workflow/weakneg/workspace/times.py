"""How long jobs take, from how long they and similar jobs took."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol


class Timed(Protocol):
    """A job of the workflow."""

    @property
    def study(self) -> str | None:
        """Its study; None if several studies use its output."""

    @property
    def rule(self) -> str:
        """Its rule."""

    @property
    def strategy(self) -> str | None:
        """Its strategy; None if it does not belong to a single one."""

    @property
    def seconds(self) -> float | None:
        """How long it took when it last ran; None if it never ran."""


class Times:
    """Expected durations of jobs.

    Parameters
    ----------
    jobs : iterable of Timed
        Jobs, some of which ran before.
    """

    def __init__(self, jobs: Iterable[Timed]) -> None:
        self._known: dict[tuple[str | None, ...], list[float]] = defaultdict(list)
        for job in jobs:
            if job.seconds is not None:
                for key in _keys(job):
                    self._known[key].append(job.seconds)

    def expected(self, job: Timed) -> float | None:
        """How long a job will take, in seconds; None if there is nothing to estimate it from.

        That is how long it took when it last ran; otherwise, the mean of the jobs that are most
        like it.
        """
        if job.seconds is not None:
            return job.seconds
        known = next((found for key in _keys(job) if (found := self._known.get(key))), None)
        return None if known is None else sum(known) / len(known)

    def of(self, jobs: Sequence[Timed]) -> str:
        """The total time of jobs, ", about 12 min"; "" if there is nothing to estimate it from."""
        total = 0.0
        for job in jobs:
            expected = self.expected(job)
            if expected is None:
                return ""
            total += expected
        return f", about {duration(total)}"


def _keys(job: Timed) -> Iterator[tuple[str | None, ...]]:
    """What a job has in common with others, the most similar first."""
    yield job.study, job.rule, job.strategy
    yield job.study, job.rule
    yield job.rule, job.strategy
    yield (job.rule,)


def duration(seconds: float) -> str:
    """A time in words: "45 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

"""How far a job is, on the error stream: one kind of line, or of bar, for all that take a while."""

import shutil
import sys
import threading
import time
from types import TracebackType

_BAR = 30  # characters
_BAR_SECONDS, _LINE_SECONDS = 0.2, 5  # between reports: the log of a job stays short


class Progress:
    """Says every few seconds on stderr how much is done, and in the end that all is.

    On a terminal it is a bar that grows, elsewhere a line each time. It is a context manager: when
    the block ends without error, the last report is made, if it was not. Several threads may count.

    Parameters
    ----------
    name : str
        What is done; may be empty.
    total : int or None
        Units in all, if that is known.
    unit : str
        What is counted, in the plural. "bytes" are shown in MB.
    done : int
        Units that were done before, which do not count for the rate.
    parts : str
        What units consist of, in the plural, where that is counted too: then the rate is that of
        the parts.
    even_if_quick : bool
        Whether anything is said of what is done within seconds.

    Attributes
    ----------
    done : int
        Units that are done.

    Examples
    --------
    >>> with Progress("reading", 3, "files") as progress:
    ...     for file in files:
    ...         progress.add()
    reading: 3 of 3 files, 100%, 12 files/s
    """

    def __init__(
        self,
        name: str,
        total: int | None,
        unit: str,
        *,
        done: int = 0,
        parts: str = "",
        even_if_quick: bool = True,
    ) -> None:
        self._name, self._total, self._unit, self._parts = name, total, unit, parts
        self.done = self._before = done
        self._n_parts = 0
        self._even_if_quick = even_if_quick
        self._bar = sys.stderr.isatty()
        self._pause = _BAR_SECONDS if self._bar else _LINE_SECONDS
        self._began = self._reported_at = time.monotonic()
        self._reported: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        unsaid = self._reported != (self.done, self._n_parts)
        if kind is None and unsaid and (self._reported or self._even_if_quick):
            self._report()
        if self._bar and self._reported is not None:
            print(file=sys.stderr)  # what comes next has a line of its own

    def add(self, units: int = 1, parts: int = 0) -> None:
        """Count what was done since the last call."""
        with self._lock:
            self.done += units
            self._n_parts += parts
            if time.monotonic() - self._reported_at >= self._pause:
                self._report()

    def _report(self) -> None:
        self._reported_at = time.monotonic()
        self._reported = self.done, self._n_parts
        text = self._text(self._reported_at - self._began)
        if not self._bar:
            print(text, file=sys.stderr, flush=True)
            return
        bar = "#" * (_BAR * self.done // self._total) if self._total else ""
        line = f"[{bar:.<{_BAR}}] {text}"[: shutil.get_terminal_size().columns - 1]  # not two lines
        print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)

    def _text(self, seconds: float) -> str:
        of_total = "" if self._total is None else f" of {self._number(self._total)}"
        unit = "MB" if self._unit == "bytes" else self._unit
        said = [f"{self._number(self.done)}{of_total} {unit}"]
        if self._parts:
            said.append(f"{self._n_parts} {self._parts}")
        if self._total:
            said.append(f"{self.done / self._total:.0%}")
        count, counted = self.done - self._before, unit
        if self._parts:
            count, counted = self._n_parts, self._parts
        rate = count / max(seconds, 1e-3) / (1e6 if self._unit == "bytes" else 1)
        said.append(f"{rate:.0f} {counted}/s" if rate >= 10 else f"{rate:.2g} {counted}/s")
        text = ", ".join(said)
        return f"{self._name}: {text}" if self._name else text

    def _number(self, count: int) -> str:
        return f"{count / 1e6:.1f}" if self._unit == "bytes" else str(count)

"""Progress reports on stderr: the same lines, or the same bar, for everything that takes long."""

import shutil
import sys
import threading
import time
from types import TracebackType

_BAR = 30  # characters
_BAR_SECONDS, _LINE_SECONDS = 0.2, 5  # between reports: the log of a job stays short


class Progress:
    """Reports progress on stderr every few seconds, as a context manager.

    On a terminal it is a growing bar, elsewhere a new line each time. When the block ends without
    error, a last report is made unless nothing has changed since the previous one. Several threads
    may count.

    Parameters
    ----------
    name : str
        The task; may be empty.
    total : int or None
        Total number of units, if known.
    unit : str
        What is counted, in the plural. "bytes" are shown in MB.
    done : int
        Units that were done before, which do not count towards the rate.
    parts : str
        What units consist of, in the plural, if that is counted too: the rate is then in parts.
    even_if_quick : bool
        Whether a task that ends before the first report is reported at all.

    Attributes
    ----------
    done : int
        Units done so far.

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
            print(file=sys.stderr)  # further output starts on a new line

    def add(self, units: int = 1, parts: int = 0) -> None:
        """Count units, and parts of units, done since the last call."""
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
        line = f"[{bar:.<{_BAR}}] {text}"[: shutil.get_terminal_size().columns - 1]  # on one line
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

"""Lines of progress on the error stream."""

import sys
import time

_REPORT_SECONDS = 5


class Progress:
    """Says now and then on stderr how many recordings are done."""

    def __init__(self, name: str, total: int):
        self._name, self._total, self._done = name, total, 0
        self._started = self._reported = time.monotonic()

    def count(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._reported >= _REPORT_SECONDS or self._done == self._total:
            self._reported = now
            rate = self._done / (now - self._started)
            print(
                f"{self._name}: {self._done} of {self._total} recordings, {rate:.0f} per second",
                file=sys.stderr,
            )

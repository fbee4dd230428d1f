"""Why sound cannot be used."""

MISSING, UNREADABLE, EMPTY = "missing", "unreadable", "empty"
TOO_SHORT, SILENT, CANCELLED, NOT_FINITE = "too_short", "silent", "cancelled", "not_finite"


class AudioError(Exception):
    """Audio is unusable.

    Attributes
    ----------
    reason : str
        One of the constants of this module, such as "silent". The message has the details.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

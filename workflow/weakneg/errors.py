"""The exceptions that end the program with one line."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


class UserError(Exception):
    """Bad input: the message is one sentence that names the file or key and what to do.

    Attributes
    ----------
    status : int
        Exit status of the program.
    """

    status = 1


class Interrupted(UserError):
    """The user stopped the program: the message says what is done and how to go on."""

    status = INTERRUPTED

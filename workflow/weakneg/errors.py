"""The exception for bad input."""


class UserError(Exception):
    """Bad input: the message is one sentence that names the file or key and what to do.

    Attributes
    ----------
    status : int
        Exit status of the program.
    """

    status = 1

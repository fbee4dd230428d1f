"""The one exception for bad input."""


class UserError(Exception):
    """Bad input: the message is one sentence that names the file or key and what to do.

    status : with which the program ends
    """

    status = 1

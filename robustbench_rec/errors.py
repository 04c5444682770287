"""The one exception of our own: a mistake the user can mend."""


class InputError(ValueError):
    """Bad input: a file, a name, a key or a value that the user gave.

    Its message is one line that says what is wrong, where, and what is allowed. The command line
    prints it without a traceback and exits with status 2.
    """

"""The one exception for anything a user can mend: a file, a config value, a command line."""


class InputError(ValueError):
    """Bad input. The message is one line: what was wrong, what was found, what was expected, what to change.

    The entry points print it on standard error and exit with status 2; nothing else is caught there.
    """

"""The exception for anything that a user can fix: a file, a config value, a command line."""


class InputError(ValueError):
    """Bad input. The message is one line: what was wrong, what was found, what was expected, what to change.

    Commands print it on standard error and exit with status 2. They catch nothing else.
    """

"""The one exception for anything that a user can fix: a file, a config value, a command line."""


class InputError(ValueError):
    """Bad input. The message is one line: what was wrong, what was found, what was expected, what to change.

    A command prints it on standard error and exits with status 2. It catches nothing else.
    """

"""The exception for anything that a user can fix: a file, a config value, a command line, a missing package."""

import re
from importlib.metadata import PackageNotFoundError, requires


class InputError(ValueError):
    """Bad input. The message is one line: what was wrong, what was found, what was expected, what to change.

    Commands print it on standard error and exit with status 2. They catch nothing else.
    """


def pip_install(package: str) -> str:
    """The command that installs an optional package, in a version that works: pip install 'ctranslate2>=4.8.5'."""
    try:
        known = requires("dragoman") or []
    except PackageNotFoundError:  # a copy of the sources that is not installed
        known = []
    wanted = (line.partition(";")[0].strip() for line in known if re.match(rf"{re.escape(package)}\b", line))
    return f"pip install '{next(wanted, package)}'"

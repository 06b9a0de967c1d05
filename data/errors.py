"""The exception for anything that a user can fix: a file, a config value, a command line, a missing package."""

import re
from importlib.metadata import PackageNotFoundError, requires


class InputError(ValueError):
    """Bad input. The message is one line: what was wrong, what was found, what was expected, what to change.

    Commands print it on standard error and exit with status 2. They catch nothing else.
    """


def lone_surrogate(text: str) -> int | None:
    """The index of the first character that UTF-8 cannot hold: half of a surrogate pair. None if there is none.

    Python keeps bytes of the command line and of file names that are not UTF-8 in this form, and JSON can escape it.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def check_is_text(text: str, name: str, *, advice: str = "type it in UTF-8") -> None:
    """InputError for an argument of the command line that is not UTF-8, which no tokenizer can read."""
    if (place := lone_surrogate(text)) is not None:
        raise InputError(f"{name} is not UTF-8, from character {place + 1} on: {advice}")


def check_is_whole(text: str, name: str) -> None:
    """InputError for half a character: JSON can escape one UTF-16 surrogate without the other."""
    if (place := lone_surrogate(text)) is not None:
        raise InputError(
            f"{name} has half a character, \\u{ord(text[place]):04x}, as character {place + 1}: give both halves, as "
            "in \\ud83d\\ude00, or leave it out"
        )


def pip_install(package: str) -> str:
    """The command that installs an optional package, in a version that works: pip install 'ctranslate2>=4.8.5'."""
    try:
        known = requires("dragoman") or []
    except PackageNotFoundError:  # a copy of the sources that is not installed
        known = []
    wanted = (line.partition(";")[0].strip() for line in known if re.match(rf"{re.escape(package)}\b", line))
    return f"pip install '{next(wanted, package)}'"

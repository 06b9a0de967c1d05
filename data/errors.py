"""The exception for anything that a user can fix: a file, a config value, a command line, a missing package."""

import re
from importlib.metadata import PackageNotFoundError, requires


class InputError(ValueError):
    """Bad input. The message is one line: what was wrong, what was found, what was expected, what to change.

    Commands print it on standard error and exit with status 2. They catch nothing else.
    """


def check_is_text(text: str, name: str, *, advice: str = "type it in UTF-8") -> None:
    """InputError for what no tokenizer can read: odd bytes of the command line, which Python keeps as surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{name} is not UTF-8, from character {error.start + 1} on: {advice}") from None


def check_is_whole(text: str, name: str) -> None:
    """InputError for half a character, which JSON can hold: the escape of one UTF-16 surrogate without its other."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise InputError(
            f"{name} has half a character, {half}, as character {error.start + 1}: give both halves, as in "
            "\\ud83d\\ude00, or leave it out"
        ) from None


def pip_install(package: str) -> str:
    """The command that installs an optional package, in a version that works: pip install 'ctranslate2>=4.8.5'."""
    try:
        known = requires("dragoman") or []
    except PackageNotFoundError:  # a copy of the sources that is not installed
        known = []
    wanted = (line.partition(";")[0].strip() for line in known if re.match(rf"{re.escape(package)}\b", line))
    return f"pip install '{next(wanted, package)}'"

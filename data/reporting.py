"""Callbacks with which a caller hears of slow work and of surprises: a command prints them, a library ignores them."""

from collections.abc import Callable

Note = Callable[[str], None]
"""Gets a line for the user."""

Report = Callable[[int, int], None]
"""Gets the numbers of pairs, and of their tokens or words, that were just handled."""


def ignore(*_: object) -> None:
    """Does nothing: the `Note` or `Report` of a caller who wants none."""

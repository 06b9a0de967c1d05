"""Checks the types of what a Python program passes, so that a mistake is named, and is not an error deep inside."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

from data.errors import check_is_whole


def checked(lines: Iterable[Any], *, what: str = "line") -> Sequence[str]:
    """Lines as a sequence. TypeError for what is not text, InputError for text that UTF-8 cannot hold.

    A single string is no list of lines: its characters would be treated as lines.
    """
    if isinstance(lines, str):
        raise TypeError(f"expected a list of lines, found one string: pass [{lines[:40]!r}]")
    if not isinstance(lines, Iterable):
        raise TypeError(f"expected a list of strings, one for each {what}, found {lines!r:.40}")
    lines = lines if isinstance(lines, Sequence) else list(lines)
    for number, line in enumerate(lines, 1):
        check_is_string(f"{what} {number}", line)
        check_is_whole(line, f"{what} {number}")
    return lines


def check_is_string(name: str, value: Any) -> None:
    """TypeError unless a value is a string."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r:.40}: expected a string")


def check_is_number(name: str, value: Any) -> None:
    """TypeError unless a value is a whole number, perhaps of NumPy."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r:.40}: expected a whole number")


def check_is_list(name: str, value: Any, kinds: Any, *, of: str) -> None:
    """TypeError unless a value is a list, a tuple or a set with items of these types. One item alone is no list of it.

    A string and a Term would be taken for lists of their letters and of their fields.
    """
    if isinstance(value, kinds):
        raise TypeError(f"{name}: expected a list of {of}, found one: pass [{value!r:.40}]")
    if not isinstance(value, Collection):
        raise TypeError(f"{name} is {value!r:.40}: expected a list of {of}")
    for number, item in enumerate(value, 1):
        if not isinstance(item, kinds):
            raise TypeError(f"{name}, item {number} is {item!r:.40}: expected a list of {of}")


def check_is_mapping(name: str, value: Any) -> None:
    """TypeError unless a value is a dict, or may be used as one."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is {value!r:.40}: expected a dict")

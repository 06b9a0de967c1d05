"""Reads TOML recipes and command-line overrides into a `Config`, and writes a `Config` as TOML.

A recipe lists only what differs from the defaults. An override such as `model.width` = "256" takes precedence over the
recipe. A renamed knob may be given by its former name. Every failure is a one-line InputError that names the file or
option, and the key.
"""

import difflib
import json
import re
import sys
import tomllib
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from data.errors import InputError, check_is_text
from data.reporting import Note, ignore
from dragoman.files import read_text
from transformer.config import Config

RESOLVED = "# The resolved config of this run: enough to repeat it."
NO_OVERRIDES: Mapping[str, str] = types.MappingProxyType({})
WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
PLURALS: dict[Any, str] = {int: "whole numbers", float: "numbers", bool: "true or false values", str: "texts"}


def read_recipe(path: str | Path, overrides: Mapping[str, str] = NO_OVERRIDES, *, note: Note = ignore) -> Config:
    """The config that a recipe describes, with dotted overrides: `{"model.width": "256"}`.

    `note` is called with a line for each knob that is given by its former name.
    """
    path = Path(path)
    return build_config(path, parse(path), overrides, note=note)


def read_stored(path: str | Path, overrides: Mapping[str, str] = NO_OVERRIDES) -> Config:
    """The config saved with a run, perhaps by an earlier version, with dotted overrides.

    A knob unknown to that version gets the value that all runs had then, which may differ from its default. A value
    that recipes may no longer have is replaced by the present one for it. InputError if any other knob is missing.
    """
    path = Path(path)
    recipe = parse(path)
    for section, model in SECTIONS.items():
        values = recipe.setdefault(section, {})
        for name, facts in model.facts().items():
            if not isinstance(values, dict):
                continue
            if "before" in facts:
                values.setdefault(name, facts["before"])
            if "former_values" in facts and name in values:
                values[name] = facts["former_values"].get(values[name], values[name])
    use_new_names(path, recipe, note=ignore)
    check_names(path, recipe)
    check_complete(path, recipe)
    return build_config(path, recipe, overrides)


def build_config(path: Path, recipe: dict[str, Any], overrides: Mapping[str, str], *, note: Note = ignore) -> Config:
    """The config of a parsed recipe and overrides. InputError says what is wrong in either."""
    use_new_names(path, recipe, note=note)
    check_names(path, recipe)
    for option, text in overrides.items():
        key = RENAMED.get(option, option)
        if key not in KNOBS:
            raise InputError(f"--{key}: unknown option{nearest(f'--{key}', [f'--{known}' for known in KNOBS])}")
        if key != option:
            note(f"--{option} is now called --{key}")
        if key != option and key in overrides:
            raise InputError(f"--{option} is the former name of --{key}: give one of them")
        check_is_text(text, f"--{option}", advice="type it in UTF-8; of a file or directory, name a link to it")
        section, name = key.split(".")
        recipe.setdefault(section, {})[name] = parse_value(text, KNOBS[key])
    try:
        return Config.model_validate(recipe)
    except ValidationError as error:
        raise InputError(explain(error, path, [RENAMED.get(option, option) for option in overrides])) from None


def use_new_names(path: Path, recipe: dict[str, Any], *, note: Note) -> None:
    """Move each renamed knob to its present name. InputError if both names are given."""
    for old, new in RENAMED.items():
        (section, former), name = old.split("."), new.split(".")[1]
        values = recipe.get(section)
        if not isinstance(values, dict) or former not in values:
            continue
        if name in values:
            raise InputError(f"{path}: {old} is the former name of {new}: give one of them")
        values[name] = values.pop(former)
        note(f"{path}: {old} is now called {new}")


def parse(path: Path) -> dict[str, Any]:
    """The tables of a TOML file."""
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML: {str(error).replace(chr(10), ' ')}") from None
    except RecursionError:
        raise InputError(f"{path}: not a recipe: nested too deeply") from None
    except ValueError:  # Python's own, which TOMLDecodeError is a kind of
        digits = sys.get_int_max_str_digits()
        raise InputError(f"{path}: not a recipe: a number has more than {digits} digits") from None


def check_names(path: Path, recipe: dict[str, Any]) -> None:
    """InputError for the first unknown section or key, suggesting the nearest known one."""
    for section, values in recipe.items():
        if section not in SECTIONS and isinstance(values, dict):
            raise InputError(f"{path}: unknown section {section}{nearest(section, SECTIONS)}")
        if section not in SECTIONS:
            raise InputError(f"{path}: unknown key {section}, outside of any section{nearest(section, KNOBS)}")
        if not isinstance(values, dict):
            raise InputError(f"{path}: {section} must be a section, [{section}], found {quote(values)}")
        for name in values:
            if f"{section}.{name}" not in KNOBS:
                raise InputError(f"{path}: unknown key {section}.{name}{nearest(f'{section}.{name}', KNOBS)}")


def check_complete(path: Path, recipe: dict[str, Any]) -> None:
    """InputError unless a stored config has every knob: a default would take the place of what the run was made with.

    A file that was emptied or cut at the end of a line is TOML all the same.
    """
    missing = [key for key in KNOBS if (names := key.split("."))[1] not in recipe.get(names[0], {})]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{path}: damaged: lacks {missing[0]}{more} of the knobs that a run stores: restore the file")


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known name, or else a list of all if it is short."""
    known = list(known)
    same = [other for other in known if other.rpartition(".")[2] == name.rpartition(".")[2]]
    close = same[:1] or difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known are {', '.join(known)}" if len(known) < 10 else ""


def parse_value(text: str, field: FieldInfo) -> Any:
    """The value of an override: the text itself for a knob that takes text, else the text parsed as TOML if valid."""
    if field.annotation is str or get_origin(field.annotation) is Literal:
        return text
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # not TOML, a number of thousands of digits, or nested too deeply
        return text
    return parsed["value"] if list(parsed) == ["value"] else text


def explain(error: ValidationError, path: Path, overrides: Iterable[str]) -> str:
    """The first error of a config in one line, with the option or file it is from, and the number of other errors."""
    errors = error.errors(include_url=False)
    location, text = errors[0]["loc"], errors[0]["msg"].removeprefix("Value error, ")
    key = ".".join(str(part) for part in location[:2])
    if key in KNOBS:
        found = errors[0]["input"]
        text = f"{key} must be {expected(KNOBS[key])}, found {quote(found)}"
    named = [option for option in overrides if re.search(rf"\b{re.escape(option)}\b", text)]
    distinct = {tuple(other["loc"][:2]) for other in errors}
    more = f" (and {len(distinct) - 1} more)" if len(distinct) > 1 else ""
    return f"{f'--{named[0]}' if named else path}: {text}{more}"


def expected(field: FieldInfo) -> str:
    """The values that a knob accepts, in words: "a number, at least 0 and below 1"."""
    if len(kinds := alternatives(field)) > 1:
        return ", or ".join(expected(kind) for kind in kinds)
    if get_origin(field.annotation) is Literal:
        words = get_args(field.annotation)
        return words[0] if len(words) == 1 else "one of " + ", ".join(words)
    if get_origin(field.annotation) is list:
        inner = get_args(field.annotation)[0]
        return f"a list of {PLURALS[inner]}" if inner in PLURALS else "a list of lists of texts"
    limits = [limit for bound in field.metadata for limit in bound_in_words(bound)]
    return WORDS[field.annotation] + (f", {' and '.join(limits)}" if limits else "")


def alternatives(field: FieldInfo) -> list[FieldInfo]:
    """The types of value that a knob accepts, each as a separate field; most accept one."""
    if get_origin(field.annotation) not in (Union, types.UnionType):
        return [field]
    return [FieldInfo.from_annotation(kind) for kind in get_args(field.annotation)]


def bound_in_words(bound: Any) -> list[str]:
    """One limit of a range in words."""
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    if getattr(bound, "min_length", 0):
        return ["not empty"]
    return [
        f"{word} {getattr(bound, name):.10g}" for name, word in words.items() if getattr(bound, name, None) is not None
    ]


def quote(value: Any) -> str:
    """A value as shown in a message, shortened if it is long."""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def toml_text(config: Config) -> str:
    """The resolved config as TOML, with every knob in its section. `read_stored` reads it back unchanged."""
    sections = config.model_dump()
    lines = [f"{RESOLVED}\n"]
    for section, values in sections.items():
        lines += [f"\n[{section}]\n", *(f"{name} = {toml_value(value)}\n" for name, value in values.items())]
    return "".join(lines)


def toml_value(value: Any) -> str:
    """A value in TOML syntax. Strings are written as in JSON, except U+007F, which TOML requires to be escaped."""
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


SECTIONS: dict[str, Any] = {name: field.annotation for name, field in Config.model_fields.items()}
KNOBS = {
    f"{section}.{name}": field for section, model in SECTIONS.items() for name, field in model.model_fields.items()
}
RENAMED = {
    f"{section}.{facts['formerly']}": f"{section}.{name}"
    for section, model in SECTIONS.items()
    for name, facts in model.facts().items()
    if "formerly" in facts
}

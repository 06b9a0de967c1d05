"""Shared by all commands: an option for every knob, one-line errors, exit statuses."""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from pydantic.fields import FieldInfo

from data.errors import InputError
from dragoman.messages import tell
from dragoman.runs.recipe import SECTIONS, alternatives, expected, nearest, toml_value

PLACEHOLDERS: dict[Any, str] = {int: "N", float: "X", bool: "true|false", str: "TEXT"}


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal, up to 110 columns. The usage line shows all knobs as one item."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=34, width=min(shutil.get_terminal_size().columns, 112) - 2)

    def add_usage(
        self, usage: str | None, actions: Iterable[argparse.Action], groups: Iterable[Any], prefix: str | None = None
    ) -> None:
        actions = list(actions)
        knobs = argparse.Action(["--SECTION.KEY"], "knobs", metavar="VALUE ...")
        shown = [action for action in actions if "." not in action.dest]
        super().add_usage(usage, shown if len(shown) == len(actions) else [*shown, knobs], groups, prefix)


class ArgumentParser(argparse.ArgumentParser):
    """A parser whose errors are one line on standard error, with the nearest known option, and exit status 2."""

    def __init__(self, *, prog: str | None = None, description: str | None = None, epilog: str | None = None):
        super().__init__(
            prog=prog or Path(sys.argv[0]).name,
            description=description,
            epilog=epilog,
            formatter_class=Formatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise InputError(message.removeprefix("argument "))

    def parse_args(self, arguments: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        try:
            found, extra = self.parse_known_args(arguments, namespace)
            if extra:
                self.error(self.explain(extra))
            return found
        except InputError as error:
            self.exit(2, f"error: {one_line(error)}\n")

    def explain(self, extra: Sequence[str]) -> str:
        """An error message for the first argument that the parser does not know."""
        for argument in extra:
            if argument.startswith("-"):
                name = argument.partition("=")[0]
                return (
                    f"{name}: unknown option{nearest(name, self._option_string_actions) or f'; see {self.prog} --help'}"
                )
        return f"unexpected argument {extra[0]!r}; see {self.prog} --help"


def add_config_options(
    parser: argparse.ArgumentParser, sections: Sequence[str] = tuple(SECTIONS), *, default: str = ""
) -> None:
    """One option for every knob of the sections, `--model.width N`, with its meaning, range and default.

    `default` describes where unset knobs get their values, unless that is the config's own defaults.
    """
    for section in sections:
        model = SECTIONS[section]
        group = parser.add_argument_group(section, (model.__doc__ or "").strip())
        for name, field in model.model_fields.items():
            group.add_argument(
                f"--{section}.{name}",
                default=argparse.SUPPRESS,
                metavar=placeholder(field),
                help=help_text(field, default),
            )
        for facts in model.facts().values():
            if "formerly" in facts:
                group.add_argument(
                    f"--{section}.{facts['formerly']}", default=argparse.SUPPRESS, help=argparse.SUPPRESS
                )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """The run that a command takes as its first argument, and which of its checkpoints."""
    parser.add_argument("run", metavar="RUN", help="run directory, or a checkpoint in one: runs/NAME/checkpoints/STEP")
    parser.add_argument(
        "--checkpoint", metavar="STEP|average|PATH", default="best", help="default: best by validation score"
    )


def add_process_options(parser: argparse.ArgumentParser) -> None:
    """Options that say which process of a job this is. They differ between processes, so they are not in a recipe."""
    group = parser.add_argument_group(
        "processes", "A job of several processes. Under SLURM, Open MPI and Kubernetes these are detected."
    )
    group.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 runs, and a free port there")
    group.add_argument("--processes", type=int, metavar="N", help="how many processes there are; 1: this one alone")
    group.add_argument("--process", type=int, metavar="I", help="the number of this process, counted from 0")


def placeholder(field: FieldInfo) -> str:
    """The placeholder for the value of an option in its help."""
    if len(kinds := alternatives(field)) > 1:
        return "|".join(placeholder(kind) for kind in kinds)
    if get_origin(field.annotation) is Literal:
        return "|".join(get_args(field.annotation))
    return PLACEHOLDERS.get(field.annotation, "LIST")


def help_text(field: FieldInfo, default: str = "") -> str:
    """The help of a knob: meaning, range, and default. `default` replaces the field's own default in the text."""
    kind, _, limits = expected(field).partition(", ")
    limits = "" if kind.startswith("one of") or limits == "not empty" else limits
    own = str(field.default) if get_origin(field.annotation) is Literal else toml_value(field.default)
    notes = (limits, f"default: {default}" if default else f"default {own}")
    return f"{field.description} ({', '.join(note for note in notes if note)})".replace("%", "%%")


def overrides(namespace: argparse.Namespace) -> dict[str, str]:
    """The knobs given on the command line, as text, by dotted key."""
    return {key: value for key, value in vars(namespace).items() if "." in key}


def section_overrides(namespace: argparse.Namespace, section: str) -> dict[str, str]:
    """The overrides of one section, by their names in it."""
    given = overrides(namespace)
    return {key.removeprefix(f"{section}."): given[key] for key in given if key.startswith(f"{section}.")}


def one_line(error: Exception) -> str:
    """The message of an error, without line breaks or control characters."""
    return "".join(c if c.isprintable() else " " if c == "\n" else re.sub(r"^'|'$", "", repr(c)) for c in str(error))


def run_main(main: Callable[[list[str]], int | None]) -> NoReturn:
    """Run a program and exit: 2 after bad input, printed in one line; 130 after an interrupt; 141 on a closed pipe."""
    try:
        status = main(sys.argv[1:]) or 0
        if sys.stdout is not None:
            sys.stdout.flush()
    except InputError as error:
        tell(f"error: {one_line(error)}")
        status = 2
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discard what is still to be flushed
        status = 141
    sys.exit(status)

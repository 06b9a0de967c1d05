"""Finds the checkpoint that a user names by a run, a step or a path, and the config to use it with."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from data.errors import InputError
from dragoman.runs.manifest import NAME as MANIFEST
from dragoman.runs.recipe import expected, nearest, parse_value, quote
from dragoman.runs.run import Run
from dragoman.runs.selection import AVERAGE, best, steps
from transformer.config import Config, DecodingConfig


def find_checkpoint(run: Path, checkpoint: str | int | Path = "best") -> tuple[Path, Run]:
    """The directory of a checkpoint, and the run it belongs to. `run` may itself be a checkpoint.

    `checkpoint` is "best", "average", a step, or the path of a checkpoint. InputError if there is none of that name.
    """
    checkpoint = str(checkpoint)
    if (home := run_of_checkpoint(run)) is not None:
        if checkpoint != "best":
            raise InputError(
                f"{run} is a checkpoint, and checkpoint {checkpoint!r} is requested too: name one of them; "
                f"the run is {home.path}"
            )
        return run, home
    home = Run(run)
    if not run.is_dir():
        raise InputError(f"{run}: no such run directory")
    config = home.load_config()
    if checkpoint == "best":
        return best_checkpoint(home, config.training.metric), home
    inside = home.checkpoints / checkpoint
    if (checkpoint.isdecimal() or checkpoint == AVERAGE) and inside.is_dir():
        return inside, home
    if Path(checkpoint).is_dir() and ("/" in checkpoint or Path(checkpoint, MANIFEST).exists()):
        return Path(checkpoint), home
    known = ", ".join([*map(str, steps(home.checkpoints)), *[AVERAGE] * (home.checkpoints / AVERAGE).is_dir()])
    raise InputError(
        f"{run}: no checkpoint {checkpoint!r}: expected best, {known or 'and none is saved yet'}, or a path"
    )


def run_of_checkpoint(path: Path) -> Run | None:
    """The run that a checkpoint is in; None if the path is a run itself, or nothing.

    A run may be kept in a directory that is called `checkpoints`, so the files decide. The path may be relative, even
    "." or "average".
    """
    if not path.is_dir() or Run(path).config_path.exists():
        return None
    absolute = Path(os.path.abspath(path))  # a link keeps its own place: `resolve` would leave the run
    home = Run(absolute.parent.parent)
    is_inside = absolute.parent.name == home.checkpoints.name and home.config_path.exists()
    if not is_inside and Path(path, MANIFEST).exists():
        raise InputError(f"{path}: is a checkpoint outside of its run: name the run, and this as --checkpoint")
    return home if is_inside else None


def best_checkpoint(run: Run, metric: str) -> Path:
    """The checkpoint with the best validation score. InputError if it is damaged: a worse one must be named."""

    def refuse(problem: str) -> None:
        raise InputError(f"{problem.removesuffix('; skipped')}: restore it, or choose another with --checkpoint")

    found = best(run.checkpoints, metric=metric, warn=refuse)
    if found is None:
        raise InputError(f"{run.path}: no checkpoint yet: training saves the first after training.save_every steps")
    return found


def with_decoding(config: Config, changes: Mapping[str, Any]) -> Config:
    """The config with some decoding knobs changed. None changes nothing; strings are parsed as on the command line."""
    fields = DecodingConfig.model_fields
    for name in changes:
        if name not in fields:
            raise InputError(f"decoding.{name}: unknown option{nearest(name, fields)}")
    given = {
        name: parse_value(value, fields[name]) if isinstance(value, str) else value
        for name, value in changes.items()
        if value is not None
    }
    try:
        decoding = DecodingConfig(**config.decoding.model_dump() | given)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise InputError(first["msg"].removeprefix("Value error, ")) from None
        name = str(first["loc"][0])
        raise InputError(f"decoding.{name} must be {expected(fields[name])}, found {quote(given[name])}") from None
    return config.model_copy(update={"decoding": decoding})

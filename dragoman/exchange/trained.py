"""What every export format is given, and the directory it is written to."""

import importlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import InputError
from dragoman.runs.files import flush_tree
from transformer.config import Config
from transformer.model import Parameters


class Trained(NamedTuple):
    """A trained model with its vocabularies, the pieces in the order of their ids, and where it comes from."""

    config: Config
    parameters: Parameters
    source_vocabulary: Sequence[str]
    target_vocabulary: Sequence[str]
    tokenizers: Sequence[Path]  # the joint one, or the source's and the target's
    run: str
    step: int


def require(package: str) -> Any:
    """The imported package of an export format; InputError says how to install it."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise InputError(
            f"--format {package} needs the package {package}, which is not installed: pip install -e '.[{package}]'"
        ) from None


def begin(path: Path) -> Path:
    """An empty directory beside `path`, PATH.partial, which becomes `path` by `finish`."""
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        raise InputError(f"{path}: exists already, expected a new or empty directory: choose another, or remove it")
    partial = path.with_name(path.name + ".partial")
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{partial}: cannot be written: {error.strerror}") from None
    return partial


def finish(partial: Path, path: Path) -> None:
    """Give a complete directory its name, once it is on the disk."""
    flush_tree(partial)
    partial.replace(path)

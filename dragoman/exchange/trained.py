"""The input of every export format, and the import of the package it needs."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import InputError, pip_install
from data.text.preparation import SourceRules
from transformer.config import Config
from transformer.model import Parameters


class Trained(NamedTuple):
    """A trained model with its vocabularies (pieces in the order of their ids) and its origin."""

    config: Config
    parameters: Parameters
    source_vocabulary: Sequence[str]
    target_vocabulary: Sequence[str]
    rules: SourceRules
    tokenizers: Sequence[Path]  # the joint one, or the source's and the target's
    run: str
    step: int


def require(package: str) -> Any:
    """The imported package of an export format; InputError says how to install it."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise InputError(
            f"--format {package} needs the package {package}, which is not installed: {pip_install(package)}"
        ) from None

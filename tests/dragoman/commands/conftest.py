"""A recipe of a tiny corpus, and a run that was trained by it."""

from pathlib import Path

import pytest

from dragoman.runs.run import Run
from tests.support.tiny_training import RECIPE, program, write_corpus


@pytest.fixture(scope="session")
def recipe(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("corpus")
    write_corpus(directory)
    path = directory / "tiny.toml"
    path.write_text(RECIPE.format(directory=directory, steps=20))
    return path


@pytest.fixture(scope="session")
def finished(recipe, tmp_path_factory) -> Run:
    """A run that the program trained to its end without interruption."""
    path = tmp_path_factory.mktemp("runs") / "whole"
    done = program("train.py", recipe, "--run", path)
    assert done.returncode == 0, done.stderr
    return Run(path)

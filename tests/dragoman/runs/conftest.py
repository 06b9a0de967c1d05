"""A checkpoint for all tests of checkpoints, and a copy of it to damage."""

import shutil
from pathlib import Path

import pytest

from tests.support.small_checkpoint import write


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("original"), 100, bleu=30.0)


@pytest.fixture
def saved(original: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may damage."""
    return Path(shutil.copytree(original, tmp_path / "checkpoints" / "100"))

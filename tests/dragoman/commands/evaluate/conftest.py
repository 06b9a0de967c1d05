"""One run and one test set for all tests of evaluate.py."""

from pathlib import Path

import pytest

from data.sources import load_corpora
from tests.support.tiny_run import CONFIG, make_run


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("evaluate") / "run", bleu={10: 1.0, 20: 3.0})


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> tuple[Path, Path]:
    """Twelve sources with references that a random model sometimes matches: characters, and its own words."""
    directory = tmp_path_factory.mktemp("files")
    pairs = list(load_corpora(CONFIG.data, "test")[0].pairs)[:12]
    source, reference = directory / "test.en", directory / "test.de"
    source.write_text("".join(pair.source + "\n" for pair in pairs), encoding="utf-8")
    reference.write_text("".join(pair.target + " i\u2028\n" for pair in pairs), encoding="utf-8")
    return source, reference

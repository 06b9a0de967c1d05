"""What the tests of exports share: vocabularies, and a run to export."""

from pathlib import Path

import pytest

from data.sources import load_corpora
from data.vocabulary.tokenizer import learn_tokenizer
from tests.support.tiny_export import ENDS, config_with
from tests.support.tiny_run import make_run


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory) -> dict[str, Path]:
    found = {}
    for kind in ("joint", "separate"):
        found[kind] = tmp_path_factory.mktemp(kind)
        data = config_with(kind, tied="none").data
        learn_tokenizer(data, load_corpora(data, "train")).save(found[kind])
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run whose outputs have no bytes: the run only writes whole characters, and CTranslate2 knows no such rule."""
    return make_run(tmp_path_factory.mktemp("export") / "run", bleu={10: 1.0, 20: 3.0}, ends=ENDS, bytes_=0.0)

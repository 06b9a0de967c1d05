"""An explanation of one sentence, by the trained run in tests/golden, which reverses letters."""

import shutil

import pytest

from dragoman.translation.translator import Translator
from tests.support.paths import ROOT

SENTENCE, REFERENCE = "e e a b c", "c b a e e"


@pytest.fixture(scope="session")
def translator(tmp_path_factory):
    run = tmp_path_factory.mktemp("explained") / "run"
    return Translator.load(shutil.copytree(ROOT / "tests" / "golden" / "run", run), beam=4)


@pytest.fixture(scope="session")
def found(translator):
    return translator.explain(SENTENCE, REFERENCE)

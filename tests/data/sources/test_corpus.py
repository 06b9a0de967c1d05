"""The training text is read as data.cleaning says; references are never changed."""

import pytest

from data.batch import Pair
from data.config import DataConfig
from data.sources import load_corpora
from data.sources.corpus import CleanPairs, fetch

ROUGH, CLEAN = "A\u00a0dog \u200bruns.", "A dog runs."


@pytest.fixture
def directory(tmp_path) -> str:
    for split in ("train", "validation", "test"):
        (tmp_path / f"{split}.en").write_text(f"{ROUGH}\nx\n", encoding="utf-8")
        (tmp_path / f"{split}.de").write_text(f"{ROUGH}\ny\n", encoding="utf-8")
    return str(tmp_path)


@pytest.mark.parametrize(("cleaning", "expected"), [("all", CLEAN), ("translation", ROUGH), ("none", ROUGH)])
def test_both_sides_of_the_training_text_are_cleaned_if_the_recipe_says_so(directory, cleaning, expected):
    [corpus] = load_corpora(DataConfig(directory=directory, cleaning=cleaning), "train")
    assert corpus.pairs[0] == Pair(expected, expected)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_held_out_text_is_read_as_it_is(directory, split):
    [corpus] = load_corpora(DataConfig(directory=directory), split)
    assert corpus.pairs[0] == Pair(ROUGH, ROUGH)


def test_the_fingerprint_is_that_of_the_files(directory):
    [cleaned], [kept] = (
        load_corpora(DataConfig(directory=directory, cleaning=one), "train") for one in ("all", "none")
    )
    assert cleaned.fingerprint == kept.fingerprint


def test_clean_pairs_are_a_sequence_however_they_are_read():
    pairs = CleanPairs([Pair(ROUGH, "a"), Pair("b", " c ")])
    assert (len(pairs), pairs[-1], pairs[:1]) == (2, Pair("b", "c"), [Pair(CLEAN, "a")])
    assert fetch(pairs, [1, 0]) == [Pair("b", "c"), Pair(CLEAN, "a")]

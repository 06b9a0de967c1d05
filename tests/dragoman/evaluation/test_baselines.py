"""The baselines: EM learns a dictionary that counting cannot learn."""

import numpy as np
import pytest

from data.batch import Pair
from dragoman.evaluation import baselines, ibm_model_1
from dragoman.evaluation.baselines import copy_source, learn_dictionary, spread, within_limits, word_for_word
from dragoman.evaluation.ibm_model_1 import ITERATIONS, expectation_maximization, find_word_pairs

PAIRS = [Pair("das haus", "the house"), Pair("das buch", "the book"), Pair("ein buch", "a book"), Pair("ein", "a")] * 2


def test_em_finds_each_word_its_translation():
    assert learn_dictionary(PAIRS) == {"das": "the", "haus": "house", "buch": "book", "ein": "a"}


def test_words_are_replaced_in_the_order_of_the_source_and_unknown_ones_kept():
    dictionary = learn_dictionary(PAIRS)
    assert word_for_word(["buch das neu", "", "ein haus"], dictionary, "en") == ["book the neu", "", "a house"]


def test_words_seen_once_are_not_in_the_dictionary():
    assert "selten" not in learn_dictionary([*PAIRS, Pair("selten", "rare")])


def test_copying_changes_nothing():
    assert copy_source(["ein haus", ""]) == ["ein haus", ""]


def test_characters_of_a_script_without_spaces_are_words_and_are_joined_as_their_language_writes_them():
    pairs = [Pair("狗", "the dog"), Pair("黑狗", "the black dog"), Pair("黑", "black"), Pair("黑猫", "black cat")] * 2
    dictionary = learn_dictionary(pairs)
    assert dictionary["黑"] == "black"
    assert word_for_word(["黑猫。"], dictionary, "en") == ["black cat 。"]
    backwards = learn_dictionary([Pair(target, source) for source, target in pairs])
    assert word_for_word(["black cat"], backwards, "zho_Hans") == ["黑猫"]


def by_definition(pairs: list[tuple[list[int], list[int]]]) -> dict[tuple[int, int], float]:
    """IBM Model 1, written as in the paper."""
    t = {(s, w): 1.0 for source, target in pairs for s in source for w in target}
    for _ in range(ITERATIONS):
        count = dict.fromkeys(t, 0.0)
        for source, target in pairs:
            for word in target:
                total = sum(t[s, word] for s in source)
                for s in source:
                    count[s, word] += t[s, word] / total
        sums: dict[int, float] = {}
        for (s, _), value in count.items():
            sums[s] = sums.get(s, 0.0) + value
        t = {(s, w): value / sums[s] for (s, w), value in count.items()}
    return t


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_probabilities_are_those_of_the_paper_in_blocks_of_any_size(block, monkeypatch):
    monkeypatch.setattr(ibm_model_1, "BLOCK", block)
    random = np.random.default_rng(3)
    lines = [
        (random.integers(0, 6, random.integers(0, 5)), random.integers(0, 5, random.integers(0, 5))) for _ in range(30)
    ]
    pairs = find_word_pairs(*zip(*lines, strict=True))
    found = dict(
        zip(
            zip(pairs.sources.tolist(), pairs.targets.tolist(), strict=True),
            expectation_maximization(pairs),
            strict=True,
        )
    )
    assert found == pytest.approx(by_definition([(source.tolist(), target.tolist()) for source, target in lines]))


def test_a_corpus_that_is_too_large_is_learned_from_lines_spread_over_it(monkeypatch):
    assert within_limits(np.array([4, 0, 4, baselines.LONGEST + 1])).tolist() == [0, 2]
    monkeypatch.setattr(baselines, "MOST_WORD_PAIRS", 40)
    kept = within_limits(np.full(100, 4))
    assert (len(kept), kept[0], kept[-1]) == (10, 0, 99)
    assert within_limits(np.array([30, 30, 30])).tolist() == [0]
    corpora = [[Pair(letter, letter) for letter in letters] for letters in ("abc", "", "def")]
    assert [pair.source for pair in spread(corpora, 3)] == ["a", "c", "f"]
    assert [pair.source for pair in spread(corpora)] == list("abcdef")
    assert spread([]) == []

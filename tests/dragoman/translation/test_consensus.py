"""The consensus of several translations, against sacrebleu's own chrF."""

import numpy as np
import pytest
from sacrebleu.metrics import CHRF

from dragoman.translation.consensus import by_expected_utility, pairwise_chrf

TEXTS = ["Ein Hund läuft über die Wiese.", "Ein Hund rennt über eine Wiese.", "Der Hund läuft.", "", "x", "Ein Hund!"]


def test_utilities_are_the_sentence_chrf_of_sacrebleu():
    expected = [[CHRF().sentence_score(text, [other]).score for other in TEXTS] for text in TEXTS]
    np.testing.assert_allclose(pairwise_chrf(TEXTS), expected, atol=1e-9)


def test_the_text_that_agrees_most_comes_first_and_repeats_weigh():
    """The example of the docstring, and a text that is closer to three others than they are to each other."""
    assert by_expected_utility(["ab", "cd", "ab"]) == [0, 2, 1]
    assert by_expected_utility(["a black cat", "the black dog", "the black cat"])[0] == 2
    assert by_expected_utility(["only"]) == [0]


@pytest.mark.parametrize("seed", range(5))
def test_the_order_is_that_of_brute_force(seed):
    random = np.random.default_rng(seed)
    words = np.array(["ein", "Hund", "läuft", "die", "Wiese", "rennt"])
    texts = [" ".join(random.choice(words, 4)) for _ in range(8)]
    means = [np.mean([CHRF().sentence_score(text, [other]).score for other in texts]) for text in texts]
    assert [means[place] for place in by_expected_utility(texts)] == pytest.approx(sorted(means, reverse=True))

"""Baselines to beat: the source copied, and each word replaced by a dictionary learned from the corpus."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from data.batch import Pair

ITERATIONS = 5
SEEN = 2


def copy_source(lines: Sequence[str]) -> list[str]:
    """The source, untranslated."""
    return list(lines)


def learn_dictionary(pairs: Sequence[Pair]) -> dict[str, str]:
    """The most probable translation of each source word under IBM Model 1 (Brown et al. 1993, section 4.2).

    Words are separated by white space. Words seen only once are left out, since nothing can be learned about them. EM
    uses all pairs of words that share a sentence pair, in the direction of translation: t(target word | source word).

        ("das haus", "the house"), ("das buch", "the book"), ("ein buch", "a book")
        -> das: the, haus: house, buch: book, ein: a     (if each word is seen often enough)
    """
    sources, source_words = _words([pair.source for pair in pairs])
    targets, target_words = _words([pair.target for pair in pairs])
    left, right, place = cooccurrences(sources, targets)
    couples, couple = np.unique(left.astype(np.int64) * len(target_words) + right, return_inverse=True)
    couple_source = couples // len(target_words)
    probability = expectation_maximization(couple, couple_source, place)
    best = {}
    for number in np.lexsort((probability, couple_source)):  # the last entry of each source word is its most probable
        best[source_words[couple_source[number]]] = target_words[couples[number] % len(target_words)]
    return best


def word_for_word(lines: Sequence[str], dictionary: dict[str, str]) -> list[str]:
    """Each line with its words replaced by their translations, in source order; unknown words are kept."""
    return [" ".join(dictionary.get(word, word) for word in line.split(" ")) for line in lines]


def _words(lines: Sequence[str]) -> tuple[list[np.ndarray], list[str]]:
    """Each line as word numbers, and the list of words. Words seen fewer than SEEN times are left out."""
    counts: dict[str, int] = {}
    split = [line.split() for line in lines]
    for words in split:
        for word in words:
            counts[word] = counts.get(word, 0) + 1
    kept = [word for word, count in counts.items() if count >= SEEN]
    numbers = {word: number for number, word in enumerate(kept)}
    return [np.array([numbers[word] for word in words if word in numbers], np.int32) for words in split], kept


def cooccurrences(
    sources: list[np.ndarray], targets: list[np.ndarray]
) -> tuple[Int[np.ndarray, " places"], Int[np.ndarray, " places"], Int[np.ndarray, " places"]]:
    """All pairs of a source and a target word that share a sentence pair, and the position of the target word.

    Positions count the target words of all sentences."""
    starts = np.cumsum([0, *(len(target) for target in targets)])
    left = [np.tile(source, len(target)) for source, target in zip(sources, targets, strict=True)]
    right = [np.repeat(target, len(source)) for source, target in zip(sources, targets, strict=True)]
    place = [
        np.repeat(np.arange(len(target), dtype=np.int32) + start, len(source))
        for source, target, start in zip(sources, targets, starts, strict=False)
    ]
    return np.concatenate(left), np.concatenate(right), np.concatenate(place)


def expectation_maximization(
    couple: Int[np.ndarray, " places"], couple_source: Int[np.ndarray, " couples"], place: Int[np.ndarray, " places"]
) -> Float[np.ndarray, " couples"]:
    """t(target | source) of each pair of words, by EM from a uniform distribution."""
    probability = np.ones(len(couple_source))
    for _ in range(ITERATIONS):
        weight = probability[couple]
        weight /= np.bincount(place, weight)[place]
        count = np.bincount(couple, weight, minlength=len(couple_source))
        probability = count / np.bincount(couple_source, count)[couple_source]
    return probability

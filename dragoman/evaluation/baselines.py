"""Baselines to beat: the source copied, and each word replaced by a dictionary learned from the corpus."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from data.batch import Pair
from data.languages import join_texts
from data.text.scripts import split_words
from dragoman.evaluation.ibm_model_1 import expectation_maximization, find_word_pairs

SEEN = 2  # words seen less often are left out
MOST_LINES = 100_000  # pairs of lines, evenly spaced
MOST_WORD_PAIRS = 1 << 25  # over all pairs of lines: about 55,000 pairs of lines of 25 words
LONGEST = 1 << 20  # word pairs in a pair of lines; longer ones are left out


def copy_source(lines: Sequence[str]) -> list[str]:
    """The source, untranslated."""
    return list(lines)


def spread(corpora: Sequence[Sequence[Pair]], most: int = MOST_LINES) -> list[Pair]:
    """At most `most` pairs, evenly spaced over all corpora: [a, b, c] and [d, e, f], at most 3 -> a, c, f."""
    total = sum(map(len, corpora))
    chosen = evenly(total, most)
    starts = np.cumsum([0, *map(len, corpora)])
    return [
        corpus[int(place - start)]
        for corpus, start, end in zip(corpora, starts, starts[1:], strict=False)
        for place in chosen[(start <= chosen) & (chosen < end)]
    ]


def evenly(total: int, most: int) -> Int[np.ndarray, " chosen"]:
    """At most `most` of the numbers below `total`, evenly spaced, the first and the last among them."""
    return np.linspace(0, total - 1, min(total, most)).round().astype(np.int64)


def learn_dictionary(pairs: Sequence[Pair]) -> dict[str, str]:
    """The most probable translation of each source word under IBM Model 1.

    Words are those of `split_words`. Words seen only once are left out, since nothing can be learned about them. EM
    uses all pairs of words that share a pair of lines, up to MOST_WORD_PAIRS; of a larger corpus, evenly spaced lines.

        ("das haus", "the house"), ("das buch", "the book"), ("ein buch", "a book")
        -> das: the, haus: house, buch: book, ein: a     (if each word is seen often enough)
    """
    sources, source_words = number_words([pair.source for pair in pairs])
    targets, target_words = number_words([pair.target for pair in pairs])
    kept = within_limits(np.array([len(source) * len(target) for source, target in zip(sources, targets, strict=True)]))
    word_pairs = find_word_pairs([sources[index] for index in kept], [targets[index] for index in kept])
    probability = expectation_maximization(word_pairs)
    sources_of, targets_of = word_pairs.sources, word_pairs.targets
    order = np.lexsort((probability, sources_of))  # the last of each source word is its most probable
    best = order[np.flatnonzero(np.diff(sources_of[order], append=-1))]
    return {source_words[sources_of[number]]: target_words[targets_of[number]] for number in best}


def within_limits(sizes: Int[np.ndarray, " lines"]) -> Int[np.ndarray, " chosen"]:
    """The indices of the lines to learn from, given the word pairs of each: all, or evenly spaced ones that fit."""
    usable = np.flatnonzero((sizes > 0) & (sizes <= LONGEST))
    total = int(sizes[usable].sum())
    if total > MOST_WORD_PAIRS:
        usable = usable[evenly(len(usable), len(usable) * MOST_WORD_PAIRS // total)]
        usable = usable[np.cumsum(sizes[usable]) <= MOST_WORD_PAIRS]
    return usable


def word_for_word(lines: Sequence[str], dictionary: dict[str, str], language: str) -> list[str]:
    """Each line with its words replaced by their translations, in source order; unknown words are kept.

    `language` is the code of the target language, in which there may be no spaces between the words.
    """
    return [join_texts([dictionary.get(word, word) for word in split_words(line)], language) for line in lines]


def number_words(lines: Sequence[str]) -> tuple[list[Int[np.ndarray, " words"]], list[str]]:
    """Each line as word numbers, and the list of words. Words seen fewer than SEEN times are left out."""
    counts = Counter(word for line in lines for word in split_words(line))
    kept = [word for word, count in counts.items() if count >= SEEN]
    numbers = {word: number for number, word in enumerate(kept)}
    rows = ([numbers[word] for word in split_words(line) if word in numbers] for line in lines)
    return [np.array(row, np.int32) for row in rows], kept

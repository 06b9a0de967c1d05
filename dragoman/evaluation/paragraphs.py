"""A test set of paragraphs, made from consecutive lines of another; the sentences that translations of them lose."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from data.errors import InputError
from data.languages import join_texts
from data.text.sentences import CLOSERS, STOPS
from dragoman.translation.guard import words_of

TOGETHER = 3  # lines of a paragraph
LEAST = 0.25  # of a sentence's words must be in the translation of its paragraph, or the sentence is lost
STOPPED = re.compile(rf"[{re.escape(STOPS)}][{re.escape(CLOSERS)}]*\s*$")


class Paragraphs(NamedTuple):
    """Paragraphs of a test set with their references, and the numbers of the lines in each, from 0 on."""

    sources: list[str]
    references: list[list[str]]
    members: list[list[int]]


def paragraphs_of(
    sources: Sequence[str],
    references: Sequence[Sequence[str]],
    languages: tuple[str, str],
    *,
    together: int = TOGETHER,
) -> Paragraphs:
    """Consecutive lines, joined as their languages join sentences. `languages` are the codes of both sides.

    Lines that do not end as a sentence, in the source or in the first reference, are left out: nothing would show where
    they end. So are the last ones if they do not fill a paragraph. InputError if none is filled.

        A man.  A dog runs.  Hats  A cat.        2 together  ->  "A man. A dog runs."
    """
    usable = [
        number for number, pair in enumerate(zip(sources, references[0], strict=True)) if all(map(STOPPED.search, pair))
    ]
    members = [usable[first : first + together] for first in range(0, len(usable) - together + 1, together)]
    if not members:
        raise InputError(
            f"no paragraphs: of {len(sources)} lines, {len(usable)} end with a full stop or the like on both sides: a "
            f"paragraph has {together}"
        )

    def join(lines: Sequence[str], code: str) -> list[str]:
        return [join_texts([lines[number].strip() for number in numbers], code) for numbers in members]

    return Paragraphs(join(sources, languages[0]), [join(one, languages[1]) for one in references], members)


def lost_sentences(translations: Sequence[str], expected: Sequence[str], members: Sequence[Sequence[int]]) -> list[int]:
    """The numbers of the lines whose translation is missing in that of their paragraph, in order.

    `expected` has a translation of each line of the clean test set: best the same system's own, else the reference. A
    line is lost if less than LEAST of the words of its expected translation are found: see `coverage`. Divide by the
    lines of all paragraphs for a rate. The measure sees omissions, not wrong translations, which the scores judge.

    In 316 paragraphs of Multi30k's references, each without one sentence, all 316 are found and nothing else. If half
    of the other words are replaced by random ones, 98% are found, and 6% of the other sentences are counted too.
    """
    return [
        number
        for translation, numbers in zip(translations, members, strict=True)
        for number, share in zip(numbers, coverage([expected[n] for n in numbers], translation), strict=True)
        if share < LEAST
    ]


def coverage(sentences: Sequence[str], translation: str) -> list[float]:
    """The share of the words of each expected sentence that a translation of the paragraph has.

    The words of the paragraph are aligned with those of the translation by their longest common subsequence: in order,
    each word of the translation with one word at most. So a sentence is not found in its neighbours' words, and it may
    be joined to another or be divided. Words are compared in lower case and without punctuation; in scripts without
    spaces they are characters. A sentence without words is covered.

        "ein Mann.", "ein Hund läuft."   and   "Ein Mann."                ->  1.0, 0.0
                                         and   "Ein Mann und ein Hund."   ->  1.0, 2/3
    """
    words = [words_of(sentence) for sentence in sentences]
    owners = np.repeat(np.arange(len(words)), [*map(len, words)])
    found = owners[common_words([word for own in words for word in own], words_of(translation))]
    counts = np.bincount(found, minlength=len(words))
    return [count / len(own) if own else 1.0 for count, own in zip(counts.tolist(), words, strict=True)]


def common_words(words: Sequence[str], others: Sequence[str]) -> Int[np.ndarray, " common"]:
    """The places in `words` of a longest common subsequence with `others`: a b c d, a x c -> 0, 2."""
    numbers = {word: number for number, word in enumerate({*words, *others})}
    own, other = (np.array([numbers[word] for word in text], np.int64) for text in (words, others))
    lengths = np.zeros((len(own) + 1, len(other) + 1), np.int64)
    for row, word in enumerate(own, 1):
        matched = lengths[row - 1, :-1] + (other == word)
        lengths[row, 1:] = np.maximum.accumulate(np.maximum(lengths[row - 1, 1:], matched))
    places, row, column = [], len(own), len(other)
    while row and column:
        if own[row - 1] == other[column - 1]:  # always part of a longest one, and next to those found, if any can be
            row, column = row - 1, column - 1
            places.append(row)
        elif lengths[row, column] == lengths[row - 1, column]:
            row -= 1
        else:
            column -= 1
    return np.array(places[::-1], np.int64)

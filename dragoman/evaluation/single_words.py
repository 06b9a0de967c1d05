"""A test set of single words, made from the words of another: what a model does with less than a sentence."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from data.batch import Pair
from data.errors import InputError
from data.text.scripts import UNSPACED, split_words
from dragoman.evaluation.baselines import learn_dictionary
from dragoman.translation.guard import words_of

WORD = re.compile(rf"[{UNSPACED}]+|(?:(?![{UNSPACED}])[^\W\d_])+(?:['’-](?:(?![{UNSPACED}])[^\W\d_])+)*")
MOST = 500  # words of the test set, the most frequent ones
FEWEST = 5  # times that a word is in the test set: of rarer ones, the dictionary is often wrong
EXTRA = 2  # words more than the reference, from which on a translation is too long


class SingleWords(NamedTuple):
    """Words and their translations, line by line."""

    sources: list[str]
    references: list[str]


def single_words(sources: Sequence[str], references: Sequence[str], *, most: int = MOST) -> SingleWords:
    """The most frequent words of a test set whose translation can be told from its lines, each once.

    A dictionary is learned from the test set in both directions (IBM Model 1). A word and its likeliest translation are
    kept if each is the likeliest of the other; punctuation is left out. InputError if there are none.

        "a dog.", "ein Hund.";  "dog and cat", "Hund und Katze"; ...  ->  a ein, dog Hund, and und, cat Katze
    """
    pairs = [Pair(*map(words_alone, pair)) for pair in zip(sources, references, strict=True)]
    forward = learn_dictionary(pairs)
    backward = learn_dictionary([Pair(pair.target, pair.source) for pair in pairs])
    counts = Counter(word for pair in pairs for word in split_words(pair.source))
    frequent = [word for word, count in counts.most_common() if count >= FEWEST]
    known = [word for word in frequent if backward.get(forward.get(word, "")) == word][:most]
    if not known:
        raise InputError(f"no single words: the {len(pairs)} lines are too few to learn the translation of any word")
    return SingleWords(known, [forward[word] for word in known])


def words_alone(line: str) -> str:
    """The words of a line without punctuation and numbers: "A dog, it's 3." -> "A dog it's"."""
    return " ".join(WORD.findall(line))


def overlong(translations: Sequence[str], references: Sequence[str]) -> list[int]:
    """The numbers of the lines, from 0 on, whose translations have EXTRA words more than the reference, or still more.

    A model that knows nothing but sentences may write one for a word.
    """
    return [
        number
        for number, (translation, reference) in enumerate(zip(translations, references, strict=True))
        if len(words_of(translation)) >= len(words_of(reference)) + EXTRA
    ]

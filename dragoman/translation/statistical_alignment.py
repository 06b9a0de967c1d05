"""A word aligner independent of the model, as a reference for its attention: IBM Model 1, intersected."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from data.batch import Pair
from data.text.scripts import split_words
from dragoman.evaluation.ibm_model_1 import expectation_maximization, find_word_pairs
from dragoman.translation.alignment import Link

PUNCTUATION = ".,;:!?…\"'`´’‘“”„«»‹›()[]{}-–—。，、！？；：「」『』（）؟،؛"


def align_statistically(pairs: Sequence[Pair]) -> list[list[Link]]:
    """The links of each pair on which IBM Model 1 (Brown et al. 1993, section 4.2) agrees in both directions.

    The probabilities are learned from these pairs alone. In one direction, each word is linked to the word that most
    probably generated it, or to none if that is the empty word. Links found in both directions are precise, but many
    words have no link (Och and Ney 2003). Words are compared in lower case, without surrounding punctuation.
    """
    sources, targets = (
        [split_words(line) for line in side]
        for side in ([pair.source for pair in pairs], [pair.target for pair in pairs])
    )
    forward = one_direction(sources, targets)
    backward = one_direction(targets, sources)
    return [
        sorted({(source, target) for target, source in one} & set(other))
        for one, other in zip(forward, backward, strict=True)
    ]


def one_direction(sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]) -> list[list[Link]]:
    """Links (target, source) for each line: each target word and its likeliest source word, by t(target | source)."""
    source_rows = [np.append(0, row) for row in number_words(sources)]
    target_rows = number_words(targets)
    pairs = find_word_pairs(source_rows, target_rows)
    indices = np.concatenate([np.zeros(0, np.int32), *(block.indices for block in pairs.blocks)])
    probability = expectation_maximization(pairs)[indices]
    links: list[list[Link]] = []
    start = 0
    for source, target in zip(source_rows, target_rows, strict=True):
        table = probability[start : start + len(source) * len(target)].reshape(len(target), len(source))
        start += table.size
        best = table.argmax(axis=1) if table.size else np.zeros(0, int)
        links.append([(number, int(word) - 1) for number, word in enumerate(best) if word])
    return links


def number_words(lines: Sequence[Sequence[str]]) -> list[Int[np.ndarray, " words"]]:
    """Words as numbers, counted from 1; 0 is the empty word."""
    numbers: dict[str, int] = {}
    return [
        np.array([numbers.setdefault(plain_word(word), len(numbers) + 1) for word in line], np.int32) for line in lines
    ]


def plain_word(word: str) -> str:
    """The word in lower case without surrounding punctuation: "Hund." -> "hund". Punctuation alone stays."""
    return word.strip(PUNCTUATION).lower() or word

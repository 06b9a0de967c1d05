"""Whether line n of a text translates line n of another: finds lines that are shifted, and texts that are shuffled."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dragoman.translation.guard import words_of

FEWEST = 10  # lines: of fewer, nothing is said
SHIFTS = tuple(shift for distance in (1, 2, 3) for shift in (distance, -distance))
OTHERS = range(5, 15)  # lines that far away have nothing to do with a line
SURE = 5.0  # standard errors by which shifted lines must fit better
ALIKE = 3.0  # standard errors by which lines must fit their own references better than others, or they may be shuffled
RELATED = 0.3  # correlation of lengths: that of a translation, even of a bad one, is above 0.7


class Shift(NamedTuple):
    """Lines from `first` up to `end`, from 0 on, that belong to the references `by` lines further down."""

    first: int
    end: int
    by: int


class WeightedWords(NamedTuple):
    """The words of lines, and the weight of each word: its surprise, -log of the share of the lines that have it."""

    lines: list[Counter[str]]
    weights: dict[str, float]

    @classmethod
    def of(cls, texts: Sequence[str], weights: dict[str, float] | None = None) -> "WeightedWords":
        """The words of some lines, weighted by how rare they are in them, or as given."""
        lines = [Counter(words_of(text)) for text in texts]
        if weights is None:
            found = Counter(word for line in lines for word in line)
            weights = {word: math.log((1 + len(lines)) / count) for word, count in found.items()}
        return cls(lines, weights)


def similarity(hypotheses: WeightedWords, references: WeightedWords, *, shift: int = 0) -> Float[np.ndarray, " lines"]:
    """For each line, the F-score of its words with those of the reference `shift` lines further down; 0 past the end.

    Words count by their weight in the references; a word that they do not have weighs as much as a rare one.
    """
    most = math.log(1 + len(references.lines))
    found = np.zeros(len(hypotheses.lines))
    for number, own in enumerate(hypotheses.lines):
        if 0 <= number + shift < len(references.lines):
            other = references.lines[number + shift]
            common, both = (
                sum(count * references.weights.get(word, most) for word, count in words.items())
                for words in (own & other, own + other)
            )
            found[number] = 2 * common / both if both else 0.0
    return found


def find_shift(hypotheses: Sequence[str], references: Sequence[str]) -> Shift | None:
    """The lines that fit the references above or below theirs much better than their own; None if there are none.

    A line that was lost shifts all after it. Of all stretches of lines and shifts by up to 3, that with the largest
    total gain is taken. It must have FEWEST lines, and its mean gain must exceed SURE standard errors.
    """
    if len(hypotheses) < FEWEST:
        return None
    weighted = WeightedWords.of(references)
    own = WeightedWords.of(hypotheses, weighted.weights)
    straight = similarity(own, weighted)
    best: tuple[float, Shift] | None = None
    for by in SHIFTS:
        gain = similarity(own, weighted, shift=by) - straight
        first, end = largest_sum(gain)
        part = gain[first:end]
        is_sure = len(part) >= FEWEST and part.mean() > SURE * part.std() / math.sqrt(len(part))
        if is_sure and (best is None or part.sum() > best[0]):
            best = float(part.sum()), Shift(first, end, by)
    return best[1] if best else None


def largest_sum(numbers: Float[np.ndarray, " n"]) -> tuple[int, int]:
    """The stretch with the largest sum (Bentley 1984), as first and end: -1 2 3 -9 4 -> 1, 3."""
    best, first, end, total, start = 0.0, 0, 0, 0.0, 0
    for place, number in enumerate(numbers.tolist()):
        if total <= 0:
            total, start = 0.0, place
        total += number
        if total > best:
            best, first, end = total, start, place + 1
    return first, end


def are_shuffled(hypotheses: Sequence[str], references: Sequence[str]) -> bool:
    """Whether lines fit their own references no better than others, neither in their words nor in their lengths.

    That is so for a shuffled text, and for the translation of another one. Even a bad translation is long where its
    reference is.
    """
    if len(hypotheses) < FEWEST + OTHERS.stop:
        return False
    weighted = WeightedWords.of(references)
    own = WeightedWords.of(hypotheses, weighted.weights)
    others = np.mean([similarity(own, weighted, shift=shift) for shift in OTHERS], axis=0)
    gain = (similarity(own, weighted) - others)[: len(references) - OTHERS.stop]
    is_alike = gain.mean() <= ALIKE * gain.std() / math.sqrt(len(gain))
    own_lengths, lengths = (np.array([len(line) for line in text], np.float64) for text in (hypotheses, references))
    if not own_lengths.std() or not lengths.std():
        return False
    return bool(is_alike) and float(np.corrcoef(own_lengths, lengths)[0, 1]) < RELATED

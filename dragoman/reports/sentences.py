"""Sentences to look at: where two systems differ most, the worst of a system, and their words with marks and links."""

import difflib
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from data.text.scripts import split_words
from dragoman.reports.breakdown import Scored
from dragoman.translation.record import Details

LONG = 200 * 200
"""The product of the lengths of two lines, in words, from which on their order is not compared."""


class Word(NamedTuple):
    """A word of a sentence, with the white space before it."""

    text: str
    before: str = ""
    is_marked: bool = False  # differs from the text that the sentence is compared with
    links: tuple[int, ...] = ()  # of a source word, its own number; of an output's word, the source words it comes from
    confidence: float | None = None


class Shown(NamedTuple):
    """A translation of a sentence as it is shown."""

    system: str
    color: int
    words: list[Word]
    score: float  # chrF of this sentence


class Sentence(NamedTuple):
    """A sentence of a test set with some translations."""

    number: int  # from 1 on
    source: list[Word]
    references: list[str]
    translations: list[Shown]

    @property
    def difference(self) -> float:
        """The score of the last translation less that of the first."""
        return self.translations[-1].score - self.translations[0].score


def most_different(first: Sequence[float], second: Sequence[float], count: int) -> tuple[list[int], list[int]]:
    """The sentences, counted from 0, at which the second scores most above the first, and those most below it."""
    gains = [b - a for a, b in zip(first, second, strict=True)]
    order = sorted(range(len(gains)), key=lambda number: gains[number])
    lost = [number for number in order if gains[number] < 0][:count]
    return [number for number in reversed(order) if gains[number] > 0][:count], lost


def lowest(scores: Sequence[float], count: int) -> list[int]:
    """The sentences, counted from 0, with the lowest scores, lowest first."""
    return sorted(range(len(scores)), key=lambda number: scores[number])[:count]


def words_with_gaps(text: str) -> list[Word]:
    """The words of a text and the white space before each, so that together they are the text: "a  b" -> a, "  " b."""
    found, end = [], 0
    for word in split_words(text):
        start = text.find(word, end)
        if start < 0:  # the words are not those of the text as it stands: shown whole
            return [Word(text)]
        found.append(Word(word, before=text[end:start]))
        end = start + len(word)
    return found


def different(words: Sequence[str], others: Sequence[str]) -> set[int]:
    """The numbers of the words that are not in the longest common runs: "a b c", "a x c" -> {1}.

    Two long lines, which take difflib minutes if they repeat themselves, are compared without their order: then it is
    the words that the other line does not have as often.
    """
    if len(words) * len(others) > LONG:
        return more_often(words, others)
    matcher = difflib.SequenceMatcher(a=list(words), b=list(others), autojunk=False)
    same = {block.a + at for block in matcher.get_matching_blocks() for at in range(block.size)}
    return set(range(len(words))) - same


def more_often(words: Sequence[str], others: Sequence[str]) -> set[int]:
    """The numbers of the last words that a line has more often than another: "a a b", "a c" -> {1, 2}."""
    more = Counter(words) - Counter(others)
    found = set()
    for at in reversed(range(len(words))):
        if more[words[at]] > 0:
            more[words[at]] -= 1
            found.add(at)
    return found


def translation_words(text: str, marked: Collection[int], details: Details | None) -> list[Word]:
    """The words of a translation with marks and, if its details are known, with links to the source and confidences."""
    words = words_with_gaps(text)
    links: dict[int, list[int]] = {}
    if details is not None and len(details.words) == len(words):
        for source, target in details.alignment:
            links.setdefault(target, []).append(source)
        confidences: Sequence[float | None] = details.confidences
    else:
        confidences = [None] * len(words)
    return [
        word._replace(is_marked=at in marked, links=tuple(sorted(links.get(at, ()))), confidence=confidence)
        for at, (word, confidence) in enumerate(zip(words, confidences, strict=True))
    ]


def source_words(text: str) -> list[Word]:
    """The words of a source, each of which knows its number."""
    return [word._replace(links=(at,)) for at, word in enumerate(words_with_gaps(text))]


def sentence(number: int, scored: Sequence[Scored]) -> Sentence:
    """A sentence of a test set, counted from 0, with the translations of some systems.

    Words are marked that differ from the other translation if there are two, else from the first reference.
    """
    test_set = scored[0].outputs.test_set
    texts = [one.outputs.hypotheses[number] for one in scored]
    others = texts[::-1] if len(texts) == 2 else [test_set.reference[number]] * len(texts)
    shown = []
    for (outputs, color, _, scores), text, other in zip(scored, texts, others, strict=True):
        marked = different(split_words(text), split_words(other))
        details = outputs.details[number] if outputs.details is not None else None
        words = translation_words(text, marked, details)
        shown.append(Shown(outputs.system.name, color, words, scores[number]))
    references = [lines[number] for lines in test_set.references]
    return Sentence(number + 1, source_words(test_set.sources[number]), references, shown)

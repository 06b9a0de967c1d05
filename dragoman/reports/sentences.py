"""Sentences to look at: where two systems differ most, the worst of a system, and their words with marks and links."""

import difflib
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sacrebleu.metrics import CHRF

from data.text.scripts import split_words
from dragoman.evaluation.results import Outputs
from dragoman.translation.record import Details


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


def sentence_scores(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """chrF of each sentence. BLEU of single sentences says little: most have no matching run of four words."""
    metric = CHRF()
    return [
        metric.sentence_score(hypothesis, list(own)).score
        for hypothesis, own in zip(hypotheses, zip(*references, strict=True), strict=True)
    ]


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
    """The numbers of the words that are not in the longest common runs: "a b c", "a x c" -> {1}."""
    matcher = difflib.SequenceMatcher(a=list(words), b=list(others), autojunk=False)
    same = {block.a + at for block in matcher.get_matching_blocks() for at in range(block.size)}
    return set(range(len(words))) - same


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


class Reader(NamedTuple):
    """Shows sentences of one test set."""

    sources: Sequence[str]
    references: Sequence[Sequence[str]]

    def sentence(self, number: int, outputs: Sequence[tuple[Outputs, int, float]]) -> Sentence:
        """A sentence with translations, each given with its colour and score.

        Words are marked that differ from the other translation if there are two, else from the first reference.
        """
        texts = [one.hypotheses[number] for one, _, _ in outputs]
        against = texts[::-1] if len(texts) == 2 else [self.references[0][number]] * len(texts)
        shown = []
        for (one, color, score), text, other in zip(outputs, texts, against, strict=True):
            marked = different(split_words(text), split_words(other))
            details = one.details[number] if one.details is not None else None
            shown.append(Shown(one.system.name, color, translation_words(text, marked, details), score))
        references = [lines[number] for lines in self.references]
        return Sentence(number + 1, source_words(self.sources[number]), references, shown)

"""Terms that translations must contain, and words that they must not contain."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from data.errors import InputError
from data.lines import read_lines
from data.vocabulary.pieces import SPACE

MOST_SPELLINGS = 200


class Term(NamedTuple):
    """A term of the source language and its required translation."""

    source: str
    target: str


def read_glossary(path: str) -> list[Term]:
    """The terms of a file with lines `source term TAB target term`; blank lines are ignored."""
    terms = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != 2 or not all(cells):
            raise InputError(f"{path}, line {number}: expected a source term, a tab, and a target term")
        terms.append(Term(*cells))
    return terms


def read_words(path: str) -> list[str]:
    """The words or phrases of a file, one per line; blank lines are ignored."""
    return [line.strip() for line in read_lines(path) if line.strip()]


def terms_in(line: str, glossary: Sequence[Term]) -> list[Term]:
    """The terms that a line contains as whole words, ignoring case, each once. Of overlapping terms, the longest.

    Terms `black dog` and `dog`, line "Two dogs, one black dog" -> `black dog`.
    """
    found: list[Term] = []
    taken: list[tuple[int, int]] = []
    for term in sorted(glossary, key=lambda term: -len(term.source)):
        for match in re.finditer(rf"(?<!\w){re.escape(term.source)}(?!\w)", line, re.IGNORECASE):
            if all(match.end() <= start or match.start() >= end for start, end in taken):
                taken.append(match.span())
                found.append(term)
    return list(dict.fromkeys(found))


def has_term(text: str, term: Term) -> bool:
    """Whether a translation contains the target term exactly."""
    return term.target in text


def spellings(word: str, vocabulary: Mapping[str, int]) -> list[tuple[int, ...]]:
    """All ways to write a word in pieces of the vocabulary, as ids, shortest first; at most MOST_SPELLINGS.

    The word begins after a space: pieces `▁a`, `b`, `▁ab` write "ab" as (▁ab) and (▁a, b).
    """
    text = SPACE + SPACE.join(word.split())
    ways: list[list[tuple[int, ...]]] = [[()], *([] for _ in text)]
    longest = max(map(len, vocabulary))
    for end in range(1, len(text) + 1):
        for start in range(max(0, end - longest), end):
            if (piece := vocabulary.get(text[start:end])) is not None:
                ways[end] += [(*way, piece) for way in ways[start]]
        ways[end] = sorted(ways[end], key=len)[:MOST_SPELLINGS]
    return ways[-1]

"""Terms that translations must contain: a glossary, the terms of a line, and whether a translation has them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from data.errors import InputError
from data.lines import read_lines
from dragoman.translation.words import Word, visible, words_in


class Term(NamedTuple):
    """A term of the source language and its required translation."""

    source: str
    target: str
    forms: tuple[str, ...] = ()  # other forms of the target term, such as inflections: any of them will do

    @property
    def choices(self) -> tuple[str, ...]:
        """The target term and its other forms."""
        return (self.target, *self.forms)


class Match(NamedTuple):
    """A term of a glossary and where a text has it."""

    term: Term
    start: int
    end: int


TERM_END = None  # the key under which a node of the index holds the terms that end there

Node = dict[str | None, Any]  # from the next word to the node after it


class Glossary:
    """Terms indexed by their words, so that finding those of a line costs the same however many there are."""

    def __init__(self, terms: Iterable[Term] = ()):
        self._root: Node = {}
        self.repeated: list[Term] = []  # an earlier term has the same source and another target
        for term in terms:
            node = self._root
            for word in words_in(term.source):
                node = node.setdefault(word.key, {})
            same = [one for one in node.setdefault(TERM_END, []) if one.source == term.source]
            if not same:
                node[TERM_END].append(term)
            elif same[0] != term:
                self.repeated.append(term)

    def find(self, text: str) -> list[Match]:
        """Where a text has terms as whole words, ignoring case. Of overlapping terms, the longest; longest first.

        Terms `black dog` and `dog`, text "Two dogs, one black dog" -> `black dog`.

        In scripts without spaces a term may stand anywhere. If terms differ only in case, the one in the text's case is
        preferred: of `Turkey` and `turkey`, "a turkey" has the second.
        """
        found = sorted(self._all(text), key=lambda match: (match.start - match.end, match.start))
        kept: list[Match] = []
        for match in found:
            if all(match.end <= other.start or other.end <= match.start for other in kept):
                kept.append(match)
        return kept

    def _all(self, text: str) -> Iterator[Match]:
        words = words_in(text) if self._root else []
        for first, word in enumerate(words):
            node = self._root
            for last in range(first, len(words)):
                if (node := node.get(words[last].key, {})) and TERM_END in node:
                    yield self._match(node[TERM_END], text, word.start, words[last].end)
                if not node:
                    break

    @staticmethod
    def _match(terms: Sequence[Term], text: str, start: int, end: int) -> Match:
        surface = text[start:end]
        return Match(next((term for term in terms if term.source == surface), terms[0]), start, end)

    def terms_in(self, text: str) -> list[Term]:
        """The terms of a text, each once: see `find`."""
        return list(dict.fromkeys(match.term for match in self.find(text)))


def read_glossary(path: str, *, inflections: bool = False) -> list[Term]:
    """The terms of a file with lines `source term TAB target term`; blank lines are ignored.

    With `inflections`, further cells of a line are other forms of the target term: `man TAB Herr TAB Herrn TAB Herren`.
    """
    terms = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) < 2 or not all(words_in(cell) for cell in cells):
            raise InputError(f"{path}, line {number}: expected a source term, a tab, and a target term")
        if len(cells) > 2 and not inflections:
            raise InputError(
                f"{path}, line {number}: expected a source term, a tab, and a target term, found {len(cells)} cells: "
                "if the others are inflections of the target term, give --inflections"
            )
        terms.append(Term(cells[0], cells[1], tuple(cells[2:])))
    return terms


def read_words(path: str) -> list[str]:
    """The words or phrases of a file, one per line; blank lines are ignored."""
    return [line.strip() for line in read_lines(path) if line.strip()]


def has_term(text: str, term: Term) -> bool:
    """Whether a translation contains the target term, or one of its forms, as whole words in the same case.

    Its first letter may also be a capital where a sentence begins, and all its letters in a text that is all capitals.

        "Ein Mann läuft.", `man -> Mann`     True            "Ein Kaufmann läuft."                 False
        "Der Hund läuft.", `the -> der`      True            "Zwei Männer laufen.", form `Männer`  True
    """
    words = words_in(text)
    return any(has_words(words, [visible(word.text) for word in words_in(choice)]) for choice in term.choices)


SENTENCE_END = re.compile(r"[.!?…。！？؟।:\"'”’»«„“¿¡(-]")


def has_words(words: Sequence[Word], wanted: Sequence[str]) -> bool:
    """Whether the words contain the wanted ones, in a row and in the same case: see `has_term`."""
    surfaces = [visible(word.text) for word in words]
    if all(surface == surface.upper() for surface in surfaces):
        wanted = [word.upper() for word in wanted]
    capitalised = [wanted[0][:1].upper() + wanted[0][1:], *wanted[1:]]
    for start in range(len(surfaces) - len(wanted) + 1):
        begins = start == 0 or SENTENCE_END.fullmatch(surfaces[start - 1]) is not None
        found = surfaces[start : start + len(wanted)]
        if found == list(wanted) or (begins and found == capitalised):
            return True
    return False

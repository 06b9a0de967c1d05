"""The terms that a sentence's translation must contain, as tokens; and which of them a translation contains."""

import functools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from data.batch import UNK
from data.text.scripts import UNSPACED
from data.vocabulary.pieces import BYTE, SPACE
from data.vocabulary.tokenizer import Tokenizer
from dragoman.translation.alignment import surfaces
from dragoman.translation.glossary import Glossary, Term, has_term
from dragoman.translation.spelling import normalised, ways_to_write
from dragoman.translation.words import goes_on_as_word
from transformer.decoding.request import LONGEST_TERM, MOST_TERMS


class Requirement(NamedTuple):
    """A term that a translation must contain."""

    term: Term
    choices: tuple[tuple[int, ...], ...]  # of which one must be written, as tokens; none if it cannot be asked for
    places: tuple[int, ...]  # the source tokens of the term, counted from 0; none if they are not known
    problem: str = ""  # why it cannot be asked for


class TermResult(NamedTuple):
    """A term of a line, and whether a translation contains it."""

    source: str
    target: str
    is_met: bool
    problem: str = ""  # why it could not be asked for

    def record(self) -> dict[str, Any]:
        """The result as a dict for JSON: source, target, met, and problem if there was one."""
        problem = {"problem": self.problem} if self.problem else {}
        return {"source": self.source, "target": self.target, "met": self.is_met, **problem}


class Terminology:
    """A glossary and the vocabulary in which its terms are written."""

    def __init__(self, terms: Iterable[Term], tokenizer: Tokenizer):
        self.glossary = Glossary(terms)
        self._tokenizer = tokenizer

    def requirements(self, text: str, source: Sequence[int]) -> list[Requirement]:
        """The terms of a sentence, given as text and as source tokens with EOS, as a search is asked for them.

        A term that is too long, that the vocabulary cannot write, or for which there is no room is not asked for, with
        a note of the problem.
        """
        terms = self.glossary.terms_in(text)
        places = self._places(source) if terms else {}
        room = MOST_TERMS
        found: list[Requirement] = []
        for term in terms:
            choices, problem = self._choices(term, room=room)
            room -= len(choices)
            found.append(Requirement(term, choices, tuple(places.get(term, ())), problem))
        return found

    @functools.cached_property
    def joins(self) -> tuple[int, ...]:
        """The ids of the target pieces that continue the word before them, which is then not a whole word."""
        pieces = self._target_pieces.items()
        return tuple(id_ for piece, id_ in pieces if BYTE.fullmatch(piece) or goes_on_as_word(piece))

    @functools.cached_property
    def _target_pieces(self) -> dict[str, int]:
        return {piece: id_ for id_, piece in enumerate(self._tokenizer.target_vocabulary())}

    @functools.cached_property
    def _source_pieces(self) -> list[str]:
        return self._tokenizer.source_vocabulary()

    def _choices(self, term: Term, *, room: int) -> tuple[tuple[tuple[int, ...], ...], str]:
        """The target term and its forms as tokens, at most `room`; if there are none, why it cannot be asked for."""
        writable = [ids for ids in map(self._spell, term.choices) if ids and UNK not in ids]
        short = list(dict.fromkeys(tuple(ids) for ids in writable if len(ids) <= LONGEST_TERM))
        if not writable:
            return (), "the vocabulary cannot write it"
        if not short:
            return (), f"{min(map(len, writable))} pieces, and at most {LONGEST_TERM} can be required"
        if not room:
            return (), f"beyond the {MOST_TERMS} terms that can be required of a sentence"
        return tuple(short[:room]), ""

    def _spell(self, term: str) -> Sequence[int]:
        """A target term as tokens inside a sentence: after a space, except in scripts without spaces."""
        if re.match(f"[{UNSPACED}]", term):
            text = normalised(term, self._tokenizer).replace(" ", SPACE)
            if ways := ways_to_write(text, self._target_pieces, {}):
                return ways[0]
        return self._tokenizer.encode_target([term])[0]

    def _places(self, source: Sequence[int]) -> dict[Term, list[int]]:
        """The source tokens that spell each term of a sentence, all its occurrences together."""
        added = surfaces([self._source_pieces[id_] for id_ in source[:-1]])
        ends = list(accumulate(map(len, added)))
        found: dict[Term, list[int]] = {}
        for term, start, end in self.glossary.find("".join(added)):
            found.setdefault(term, []).extend(range(bisect_right(ends, start), bisect_left(ends, end) + 1))
        return found


def term_results(text: str, requirements: Iterable[Requirement]) -> tuple[TermResult, ...]:
    """Which of the required terms a translation contains."""
    return tuple(
        TermResult(term.source, term.target, has_term(text, term), problem) for term, _, _, problem in requirements
    )

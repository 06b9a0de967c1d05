"""What `dragoman translate` reports about required and banned words."""

from collections.abc import Iterable, Sequence

from dragoman.translation.glossary import Term
from dragoman.translation.requirements import TermResult

MOST_SHOWN = 10  # unmet terms, or banned words, that are named


class TermsReport:
    """How many required terms of a text are in its translation, and the first of those that are not."""

    def __init__(self) -> None:
        self.required = self.met = 0
        self.unmet: list[str] = []

    def add(self, number: int, terms: Sequence[TermResult]) -> None:
        """Count the terms of the line with this number."""
        self.required += len(terms)
        self.met += sum(term.is_met for term in terms)
        for term in terms:
            if not term.is_met and len(self.unmet) < MOST_SHOWN:
                why = f" ({term.problem})" if term.problem else ""
                self.unmet.append(f"line {number}: {term.source!r} -> {term.target!r}{why}")

    def lines(self) -> list[str]:
        """The lines of the report; none if no line had a term."""
        if not self.required:
            return []
        missing = self.required - self.met
        lines = [f"terms: {self.met} of {self.required} met ({self.met / self.required:.1%})"]
        lines += [f"terms: not met in {one}" for one in self.unmet]
        if missing > len(self.unmet):
            lines.append(f"terms: {missing - len(self.unmet)} more are not met; --json names them line by line")
        return lines


def word_notes(repeated: Sequence[Term], unwritable: Sequence[str]) -> list[str]:
    """Notes on terms that repeat an earlier one's source, and on banned words that the vocabulary cannot write."""
    notes = []
    if repeated:
        terms = shown(f"{term.source!r} -> {term.target!r}" for term in repeated)
        notes.append(f"warning: terms whose source has another target earlier in the glossary are not used: {terms}")
    if unwritable:
        words = shown(map(repr, unwritable))
        notes.append(f"note: banned words that this vocabulary cannot write in any way: {words}")
    return notes


def shown(items: Iterable[str]) -> str:
    """The first items, and how many more there are."""
    items = list(items)
    more = len(items) - MOST_SHOWN
    return ", ".join(items[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")

"""Warnings about texts that would be scored wrongly: tokenised, in lower case, with shifted lines, in another language.

Each warning is one line, and says what to do.
"""

import re
from collections import Counter
from collections.abc import Sequence

from data.errors import InputError
from data.languages import language_of
from dragoman.evaluation.line_order import are_shuffled, find_shift
from dragoman.evaluation.training_text import TrainingText
from dragoman.preparation.oddities import in_other_script
from dragoman.translation.guard import words_of

TOKENISED = re.compile(r"\S [.,](?: |$)|@-@|@@ |&(?:apos|quot|amp);|\u2581")
"""What tokenizers leave: a space before a full stop or comma, marks of Moses, of BPE and of SentencePiece."""

OFTEN, RARELY = 0.2, 0.05  # of the lines of one text, and of those of the other
CASED = 0.5  # of the lines of a text in usual case have a capital, at least
FOREIGN = 0.5  # of the lines are in another script than that of the language
FAMILIAR = 0.12  # see `familiarity`
FEWEST_WORDS = 100


def check_line_count(name: str, hypotheses: Sequence[str], test_set: str, sources: Sequence[str]) -> None:
    """InputError unless there is a translation for each line."""
    if (surplus := len(hypotheses) - len(sources)) == 0:
        return
    lines = f"{abs(surplus)} line{'s' if abs(surplus) > 1 else ''} too {'many' if surplus > 0 else 'few'}"
    raise InputError(
        f"{name} has {len(hypotheses)} lines and {test_set} has {len(sources)}, {lines}: line n of one must translate "
        "line n of the other"
    )


def warnings_about_hypotheses(name: str, hypotheses: Sequence[str], references: Sequence[str]) -> list[str]:
    """What looks wrong with a file of translations, named `name`, beside the references of its lines."""
    found = warnings_about_shape(name, hypotheses, references)
    if shift := find_shift(hypotheses, references):
        found.append(
            f"{name} looks shifted: lines {shift.first + 1} to {shift.end} fit the references {abs(shift.by)} "
            f"{'below' if shift.by > 0 else 'above'} theirs; a line is {'missing' if shift.by > 0 else 'too many'} "
            f"before line {shift.first + 1}"
        )
    elif are_shuffled(hypotheses, references):
        found.append(f"{name} looks shuffled, or translates another text: its lines fit their own references no better")
    return found


def warnings_about_shape(name: str, hypotheses: Sequence[str], references: Sequence[str]) -> list[str]:
    """Whether translations look tokenised or lower-cased, and the references do not."""
    return [
        f"{name} looks {kind}, and the references do not: {remedy}"
        for kind, remedy, share in SHAPES
        if share(hypotheses) >= OFTEN and share(references) <= RARELY
    ]


def warnings_about_references(
    name: str, references: Sequence[str], sources: Sequence[str], language: str, training: TrainingText | None = None
) -> list[str]:
    """What looks wrong with references that should be in a language, given by its code, and untouched.

    With the training text of a run, their words are compared with it: references in another language than its target
    have few of them, even those in a language of the same script.
    """
    found = []
    if share_tokenised(references) >= OFTEN:
        found.append(f"the references of {name} look tokenised: scores need text as people write it")
    copies = sum(one.strip() == other.strip() for one, other in zip(references, sources, strict=True))
    script = language_of(language).script
    foreign = len(in_other_script(references, language)) / max(1, len(references))
    if foreign > FOREIGN:
        found.append(
            f"{foreign:.0%} of the references of {name} are not in the script of {language} ({script}), the target "
            "language of the run: are source and reference exchanged, or is data.target_language wrong?"
        )
    elif copies > FOREIGN * len(references):
        found.append(f"most references of {name} are equal to their sources: is a file given twice?")
    elif training is not None and (familiar := familiarity(references, training)) is not None and familiar < FAMILIAR:
        found.append(
            f"the references of {name} and the target side of the training text have {familiar:.0%} of their words in "
            f"common: are the references in {language}, the target language of the run?"
        )
    return found


def warnings_about_blanks(name: str, sources: Sequence[str], references: Sequence[Sequence[str]]) -> list[str]:
    """A warning if lines with a source have no reference: all of theirs are blank."""
    pairs = enumerate(zip(sources, zip(*references, strict=True), strict=True), 1)
    blank = [number for number, (source, of_line) in pairs if source.strip() and not any(map(str.strip, of_line))]
    if not blank:
        return []
    lines = "line has" if len(blank) == 1 else "lines have"
    return [
        f"{len(blank)} {lines} no reference in {name}, first line {blank[0]}: all words of a translation count as wrong"
    ]


def familiarity(lines: Sequence[str], training: TrainingText) -> float | None:
    """The share of a text's words that the target side of a training text has as often; None if it has few words.

    It is the common part of both distributions of words, the sum of min(p, q). Of Multi30k's German it is 0.77 with
    German of the same kind, 0.25 with verses of the Bible, and 0.07 with English captions.
    """
    counts = Counter(word for line in lines for word in words_of(line))
    total, seen = counts.total(), int(training.counts.sum())
    if total < FEWEST_WORDS or not seen:
        return None
    times = training.times(list(counts)).tolist()
    return sum(min(count / total, times / seen) for count, times in zip(counts.values(), times, strict=True))


def share_tokenised(lines: Sequence[str]) -> float:
    """The share of lines that show the work of a tokenizer."""
    return sum(TOKENISED.search(line) is not None for line in lines) / max(1, len(lines))


def share_lowered(lines: Sequence[str]) -> float:
    """0 if at least half of the lines with letters of two cases have a capital; else the share of those that have none.

    Scripts without capitals have no such lines.
    """
    cased = [line for line in lines if line.lower() != line.upper()]
    lowered = sum(line == line.lower() for line in cased)
    return 0.0 if lowered <= (1 - CASED) * len(cased) else lowered / len(cased)


SHAPES = (
    ("tokenised", "detokenise it, since BLEU tokenises for itself", share_tokenised),
    ("lower-cased", "scores that count case are too low", share_lowered),
)
"""How a text looks, what follows, and the share of lines that look so."""

"""Lines of a test set that occur in the training text of a run, and scores with and without them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool

from data.errors import InputError
from data.sources import load_corpora
from dragoman.evaluation.hashes import gram_size
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.results import Outputs
from dragoman.evaluation.scoring import Evaluator
from dragoman.evaluation.training_text import FILE, TrainingText, prepared_training_text
from dragoman.messages import progress
from dragoman.runs.manifest import read_manifest
from dragoman.runs.run import Run
from dragoman.translation.guard import words_of

SIDES = ("source", "target")
SCORED = ("bleu", "chrf")  # in the table
PARTS = ("with", "without", "only")


class OverlapLine(NamedTuple):
    """A line of a test set that occurs in the training text."""

    number: int  # from 0 on
    kind: Literal["exact", "near"]
    sides: tuple[str, ...]  # on which it does: "source", "target"


class Overlap(NamedTuple):
    """The lines of a test set that occur in a training text.

    exact   the source, or a reference, is a line of the same side of the training text, apart from case and white space
    near    it is not, but it shares 13 consecutive words with one: apart from case and punctuation; in scripts without
            spaces, 32 characters

    A line with fewer words can be found exactly only: `short` lines have too few on both sides.
    """

    total: int
    found: list[OverlapLine]
    short: int
    every: int = 1  # of a very large training text, only one in this many lines or runs of 13 words is known

    def numbers(self, kind: str = "") -> list[int]:
        """The numbers of the lines found, from 0 on: all, or those of a kind."""
        return [line.number for line in self.found if kind in ("", line.kind)]

    def summary(self) -> str:
        """The counts in words."""
        exact, near = len(self.numbers("exact")), len(self.numbers("near"))
        text = f"{exact} of {self.total} lines occur in the training text, and {near} more nearly do"
        if self.every == 1:
            return text
        return f"{text}; only one in {self.every} lines or runs of words is known, so there may be more"

    def as_json(self) -> dict[str, Any]:
        """The record for JSON; its lines are counted from 1."""
        kinds = {kind: [number + 1 for number in self.numbers(kind)] for kind in ("exact", "near")}
        return {"lines": self.total, **kinds, "too_short_for_near": self.short, "known_one_in": self.every}


def find_overlap(test_set: TestSet, training: TrainingText) -> Overlap:
    """The lines of a test set that occur in a training text."""
    sides = [(0, test_set.sources), *((1, lines) for lines in test_set.references)]
    total = len(test_set.sources)
    exact, near = np.zeros((2, total), np.bool_), np.zeros((2, total), np.bool_)
    is_short = np.ones(total, np.bool_)
    for side, lines in sides:
        words = [words_of(line) for line in lines]
        exact[side] |= training.has_lines(lines, side=side) & np.array([bool(line.strip()) for line in lines], np.bool_)
        near[side] |= training.shares_grams(words, side=side)
        is_short &= np.array([len(line) < gram_size(line) for line in words], np.bool_)
    found = [
        overlap_line(number, exact[:, number], near[:, number])
        for number in np.flatnonzero((exact | near).any(axis=0)).tolist()
    ]
    every = max(*training.every_line, *training.every_gram)
    return Overlap(total, found, int(is_short.sum()), every)


def overlap_line(number: int, exact: Bool[np.ndarray, " sides"], near: Bool[np.ndarray, " sides"]) -> OverlapLine:
    """The record of a line that was found on some sides."""
    where = exact if exact.any() else near
    sides = tuple(name for name, is_there in zip(SIDES, where, strict=True) if is_there)
    return OverlapLine(number, "exact" if exact.any() else "near", sides)


def overlap_lines(found: Sequence["OverlapScores"]) -> list[str]:
    """The lines for `--list-overlap`, each once, separated by tabs.

    run, test set, number from 1 on, kind, sides, source, first reference
    """
    lines = (
        [
            one.run,
            one.test_set.name,
            str(n + 1),
            kind,
            ",".join(sides),
            one.test_set.sources[n],
            one.test_set.reference[n],
        ]
        for one in found
        for n, kind, sides in one.overlap.found
    )
    return list(dict.fromkeys("\t".join(cell.replace("\t", " ") for cell in line) for line in lines))


class OverlapScores(NamedTuple):
    """The scores of a system with and without the lines that occur in its training text."""

    system: str
    run: str  # whose training text it is
    test_set: TestSet
    overlap: Overlap
    scores: dict[str, dict[str, float]]  # of "with", "without" and "only", as far as they have lines, by metric

    def as_json(self) -> dict[str, Any]:
        """The record for JSON: see docs/json.md."""
        about = {"system": self.system, "run": self.run, "test_set": self.test_set.name}
        return about | self.overlap.as_json() | {"scores": self.scores}


def scored_apart(evaluator: Evaluator, outputs: Outputs, overlap: Overlap) -> dict[str, dict[str, float]]:
    """The scores of all lines ("with"), of those that are not in the training text ("without"), and of the others.

    Only what has lines has scores. A model that has learned the lines by heart scores higher on "only".
    """
    inside = set(overlap.numbers())
    parts = {
        "with": range(overlap.total),
        "without": [number for number in range(overlap.total) if number not in inside],
        "only": sorted(inside),
    }
    return {
        part: {metric.name: evaluator.score_of_lines(metric, outputs, numbers) for metric in evaluator.metrics}
        for part, numbers in parts.items()
        if numbers
    }


def overlap_table(found: Sequence[OverlapScores]) -> list[list[str]]:
    """Rows for a table, the first its header: the scores with and without the lines in the training text."""
    names = [name for name in found[0].scores["with"] if name in SCORED] if found else []
    header = ["system", "test set", "in training", "exact", "near"]
    rows = [header + [f"{name} {part}" for name in names for part in PARTS]]
    for one in found:
        counts = [str(len(one.overlap.numbers(kind))) for kind in ("exact", "near")]
        scores = [f"{one.scores[part][name]:.2f}" if part in one.scores else "-" for name in names for part in PARTS]
        rows.append([one.system, one.test_set.name, f"of {one.run}", *counts, *scores])
    return rows


def training_text_of(run: Run, checkpoint: Path, *, most: int | None = None) -> TrainingText:
    """The hashes of the training text of a run: those that it keeps, or else those of its text as it is now.

    InputError says why nothing is known, if the run keeps no hashes (earlier versions did not) and its training text is
    gone, has changed since the checkpoint, or has more than `most` pairs.
    """
    if (kept := run.path / FILE).is_file():
        return TrainingText.load(kept)
    unknown = (
        f"{run.path}: the overlap of test sets with its training text is unknown: it keeps no hashes of the text, and"
    )
    config = run.load_config()
    try:
        corpora = load_corpora(config.data, "train")
    except InputError as error:
        raise InputError(f"{unknown} the text cannot be read: {error}") from None
    if " ".join(corpus.fingerprint for corpus in corpora) != read_manifest(checkpoint).hashes.get("data"):
        raise InputError(f"{unknown} the text has changed since")
    total = sum(len(corpus.pairs) for corpus in corpora)
    if most is not None and total > most:
        raise InputError(f"{unknown} the text has {total:,} pairs: --list-overlap FILE reads it all the same")
    with progress("training text", total=total) as report:
        return TrainingText.load(prepared_training_text(config.data, corpora, report=report))

"""What a report of an evaluation takes from the runs themselves: their metrics, and words of their training text."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from data.errors import InputError
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.results import System
from dragoman.evaluation.training_text import FILE, TrainingText
from dragoman.reports.curves import Records
from dragoman.runs.loading import run_of_checkpoint
from dragoman.runs.run import Run
from dragoman.translation.guard import words_of


class Rarest(NamedTuple):
    """How often the rarest word of the first reference of each line of some test sets occurs in training."""

    run: str  # whose training text it is
    occurrences: dict[str, list[int]]  # by the name of the test set


class AboutRuns(NamedTuple):
    """What the runs of an evaluation say beyond it, and in notes, what they should say and do not."""

    metrics: dict[str, Records]  # the lines of metrics.jsonl, by the name that the user gave the run
    rarest: Rarest | None = None
    notes: tuple[str, ...] = ()


NOTHING = AboutRuns({})


def about_runs(systems: Sequence[System], test_sets: Sequence[TestSet]) -> AboutRuns:
    """What the runs of some systems say. The training text is that of the first run that remembers its own."""
    metrics: dict[str, Records] = {}
    rarest: Rarest | None = None
    notes = []
    for name, run in runs_of(systems).items():
        try:
            if records := run.read_metrics():
                metrics[name] = records
            if rarest is None and (run.path / FILE).is_file():
                training = TrainingText.load(run.path / FILE)
                rarest = Rarest(name, {one.name: rarest_words(one.reference, training) for one in test_sets})
        except (InputError, OSError) as error:
            notes.append(f"Some of what {name} remembers of its training is not shown: {error}.")
    return AboutRuns(metrics, rarest, tuple(notes))


def runs_of(systems: Sequence[System]) -> dict[str, Run]:
    """The runs that some systems come from, each once, by the name that the user gave it or one of its checkpoints."""
    found: dict[Path, tuple[str, Run]] = {}
    for name in names_of(systems):
        run = run_of_checkpoint(Path(name)) or Run(name)
        found.setdefault(run.path.resolve(), (name, run))
    return dict(found.values())


def names_of(systems: Sequence[System]) -> Iterator[str]:
    """The runs and checkpoints that some systems were made from."""
    for system in systems:
        if system.kind in ("run", "average"):
            yield system.run
        elif system.kind == "ensemble":
            yield from system.members


def rarest_words(lines: Sequence[str], training: TrainingText) -> list[int]:
    """How often the rarest word of each line occurs in a training text; 0 for a line without words."""
    words = [words_of(line) for line in lines]
    counts = iter(training.times([word for line in words for word in line]).tolist())
    return [min([next(counts) for _ in line], default=0) for line in words]

"""What an evaluation says besides scores: whether they can be trusted, and which words they come from.

overlap   test lines that occur in the training text      word_f1   words by their frequency in the training text
notes     warnings about texts that would be scored wrongly

If something cannot be computed, a note says so, and the evaluation goes on.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import InputError
from dragoman.evaluation.overlap import Overlap, OverlapScores, find_overlap, scored_apart, training_text_of
from dragoman.evaluation.plausibility import (
    warnings_about_blanks,
    warnings_about_hypotheses,
    warnings_about_references,
    warnings_about_shape,
)
from dragoman.evaluation.results import Evaluation
from dragoman.evaluation.scoring import Evaluator
from dragoman.evaluation.systems import Candidate
from dragoman.evaluation.training_text import TrainingText
from dragoman.evaluation.word_f1 import WordScores, word_buckets
from dragoman.runs.loading import run_of_checkpoint
from dragoman.runs.manifest import read_manifest
from dragoman.runs.run import Run
from dragoman.translation.members import Member
from transformer.config import Config

MOST_PAIRS = 1_000_000  # of a training text that is read if a run has no hashes of it


class Trained(NamedTuple):
    """What is known of the training text of a system. The text is None if nothing is, and `note` says why."""

    run: str  # the first run with this text
    config: Config
    training: TrainingText | None
    note: str = ""


def with_supplements(
    evaluation: Evaluation,
    candidates: Sequence[Candidate],
    evaluators: Mapping[str, Evaluator],
    *,
    reads_text: bool = False,
) -> Evaluation:
    """The evaluation with its warnings, its overlap with training texts, and its words by their frequency there.

    For a run without hashes of its training text, the text itself is read, if it is there and, unless `reads_text`, not
    too large.
    """
    trained = training_texts(candidates, reads_text=reads_text)
    notes = [*evaluation.notes, *(one.note for one in trained.values() if one.note), *warnings(evaluation, trained)]
    found: dict[str, Sequence[Any]] = {
        "overlap": overlaps(evaluation, trained, evaluators),
        "word_f1": words(evaluation, trained),
    }
    known = {key: records for key, records in found.items() if records}
    return evaluation._replace(notes=list(dict.fromkeys(notes)), supplements={**evaluation.supplements, **known})


def training_texts(candidates: Sequence[Candidate], *, reads_text: bool) -> dict[str, Trained]:
    """What is known of the training text of each system, by its name; of an ensemble, of its first model's.

    Each text is loaded once: seeds of a system share it.
    """
    by_data: dict[str, Trained] = {}
    found = {}
    for candidate in candidates:
        member = candidate.members[0]
        data = read_manifest(member.directories[0]).hashes.get("data", "")
        if data not in by_data:
            by_data[data] = trained_on(member, reads_text=reads_text)
        found[candidate.system.name] = by_data[data]
    return found


def trained_on(member: Member, *, reads_text: bool) -> Trained:
    """What is known of the training text of a model."""
    run = run_of_checkpoint(Path(member.run)) or Run(member.run)
    most = None if reads_text else MOST_PAIRS
    try:
        return Trained(member.run, member.config, training_text_of(run, member.directories[0], most=most))
    except InputError as error:
        return Trained(member.run, member.config, None, str(error))


def warnings(evaluation: Evaluation, trained: Mapping[str, Trained]) -> list[str]:
    """What looks wrong with references, beside the first run, and with translations, above all of other programs."""
    found = []
    first = next(iter(trained.values()), None)
    for test_set in evaluation.test_sets:
        found += warnings_about_blanks(test_set.name, test_set.sources, test_set.references)
        if first and first.config.data.corpus != "toy":  # which may copy
            language = first.config.data.target_language
            about = (test_set.name, test_set.reference, test_set.sources, language, first.training)
            found += warnings_about_references(*about)
    for one in evaluation.outputs:
        if one.system.kind == "baseline":
            continue
        warns = warnings_about_hypotheses if one.system.kind == "text" else warnings_about_shape
        found += warns(f"{one.system.name} on {one.test_set.name}", one.hypotheses, one.test_set.reference)
    return found


def overlaps(
    evaluation: Evaluation, trained: Mapping[str, Trained], evaluators: Mapping[str, Evaluator]
) -> list[OverlapScores]:
    """The lines of each test set that occur in the training text of each system, and its scores without them."""
    found = []
    known: dict[tuple[str, str], Overlap] = {}
    for one in evaluation.outputs:
        own = trained.get(one.system.name)
        if own is None or own.training is None:
            continue
        key = own.run, one.test_set.name
        if key not in known:
            known[key] = find_overlap(one.test_set, own.training)
        scores = scored_apart(evaluators[one.test_set.name], one, known[key])
        found.append(OverlapScores(one.system.name, own.run, one.test_set, known[key], scores))
    return found


def words(evaluation: Evaluation, trained: Mapping[str, Trained]) -> list[WordScores]:
    """The words of each system's translations by their frequency in its training text; of others, in the first one."""
    first = next(iter(trained.values()), None)
    found = []
    for one in evaluation.outputs:
        own = trained.get(one.system.name, first)
        if own and own.training:
            buckets = word_buckets(one.hypotheses, one.test_set.reference, own.training)
            found.append(WordScores(one.system.name, one.test_set.name, buckets))
    return found

"""A metric that is a command of the user's: COMET in an environment of its own, or ten lines of Python.

The command reads a JSON object a line from standard input, with `source`, `hypothesis` and `references`, and writes one
score a line to standard output. The score of a text is the mean.
"""

import json
import math
import shlex
import subprocess
from collections.abc import Sequence
from typing import Any, NamedTuple

from sacrebleu.metrics.base import Metric as Scorer
from sacrebleu.metrics.base import Score, Signature

from data.errors import InputError
from dragoman.evaluation.held_out import TestSet


class CommandMetric(NamedTuple):
    """A metric that is computed by a command, split as a shell splits words."""

    name: str
    command: str
    larger_is_better: bool = True

    @property
    def label(self) -> str:
        """Its name in reports."""
        return self.name

    def scorer(self, language: str, references: Sequence[str]) -> Scorer:
        """How the scores of sentences become one."""
        return MeanScore(self)

    def sentence_scores(self, test_set: TestSet, hypotheses: Sequence[str]) -> list[float]:
        """The score of each sentence. InputError says in one line what went wrong."""
        columns = zip(test_set.sources, hypotheses, zip(*test_set.references, strict=True), strict=True)
        records = ({"source": a, "hypothesis": b, "references": list(c)} for a, b, c in columns)
        given = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        where = f"--metric {self.name}"
        try:
            done = subprocess.run(shlex.split(self.command), input=given.encode(), capture_output=True, check=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{where}: cannot run {self.command!r}: {error}") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().split("\n")[-1]
            raise InputError(f"{where}: {self.command!r} ended with status {done.returncode}: {said or 'no message'}")
        return read_scores(done.stdout.decode(errors="replace"), len(hypotheses), where)


def read_scores(text: str, expected: int, where: str) -> list[float]:
    """The numbers that a command wrote, one a line. InputError for another number of lines, or another word."""
    lines = text.strip("\n").split("\n") if text.strip() else []
    if len(lines) != expected:
        raise InputError(f"{where}: wrote {len(lines)} lines for {expected} sentences: expected one score a line")
    scores = []
    for number, line in enumerate(lines, 1):
        try:
            score = float(line)
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise InputError(f"{where}: line {number} of its output is {line[:60]!r}, expected a number")
        scores.append(score)
    return scores


class MeanSignature(Signature):
    """The command, and how the scores of sentences become one."""

    def __init__(self, args: dict):
        super().__init__(args)
        self.command = args["metric"].command

    def format(self, short: bool = False) -> str:
        """The signature as text."""
        return f"command:{self.command}|sentences:mean"

    def __str__(self) -> str:
        return self.format()


class MeanScore(Scorer):
    """The mean of the scores of sentences, in the form of sacrebleu's metrics. Statistics are a score, and a 1.

    The command counts them from lines as they are, so sacrebleu's methods that would are never called.
    """

    _SIGNATURE_TYPE = MeanSignature

    def __init__(self, metric: CommandMetric):
        super().__init__()
        self.metric = metric

    def _compute_score_from_stats(self, stats: Any) -> Score:
        return Score(self.metric.name, float(stats[0] / stats[1]))

    def _aggregate_and_compute(self, stats: Any) -> Score:
        return self._compute_score_from_stats([sum(column) for column in zip(*stats, strict=True)])

    def _preprocess_segment(self, sent: str) -> str:
        raise NotImplementedError

    def _extract_reference_info(self, refs: Sequence[str]) -> dict[str, Any]:
        raise NotImplementedError

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict) -> list[Any]:
        raise NotImplementedError

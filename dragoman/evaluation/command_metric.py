"""A metric that is a command of the user's: COMET in an environment of its own, or ten lines of Python.

The command reads a JSON object a line from standard input, with `source`, `hypothesis` and `references`, and writes one
score a line to standard output. The score of a text is the mean.
"""

import json
import math
import os
import selectors
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

from sacrebleu.metrics.base import Metric as Scorer
from sacrebleu.metrics.base import Score, Signature

from data.errors import InputError
from dragoman.evaluation.held_out import TestSet

LARGEST = 1e30
"""The largest score: sacreBLEU adds scores in float32, and statistics of seeds square them."""

BYTES_A_LINE = 1000  # a score is shorter, even with its spaces
KEPT = 1 << 16  # bytes of standard error, whose last line is shown


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
        output = run_command(self.command, given.encode(), lines=len(hypotheses), where=where)
        return read_scores(output.decode(errors="replace"), len(hypotheses), where)


def run_command(command: str, given: bytes, *, lines: int, where: str) -> bytes:
    """What a command writes to standard output when it reads `given`. InputError if it fails, or writes too much."""
    with tempfile.TemporaryFile() as file:
        file.write(given)
        file.seek(0)
        try:
            process = subprocess.Popen(
                shlex.split(command), stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
            )
        except (OSError, ValueError) as error:
            raise InputError(f"{where}: cannot run {command!r}: {error}") from None
    with process:
        try:
            output, errors = read_output(process, lines=lines, where=where)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        said = errors.decode(errors="replace").strip().split("\n")[-1]
        raise InputError(f"{where}: {command!r} ended with status {process.returncode}: {said or 'no message'}")
    return output


def read_output(process: subprocess.Popen[bytes], *, lines: int, where: str) -> tuple[bytes, bytes]:
    """What a process writes to standard output, and last to standard error, until it has closed both.

    InputError as soon as it has written more than this many lines, or far more bytes: it might never end.
    """
    output, errors = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for stream, content in ((process.stdout, output), (process.stderr, errors)):
            assert stream is not None
            selector.register(stream, selectors.EVENT_READ, content)
        while selector.get_map():
            for key, _ in selector.select():
                read = os.read(key.fd, KEPT)
                key.data.extend(read)
                if not read:
                    selector.unregister(key.fileobj)
            del errors[:-KEPT]
            check_amount(output, lines, where)
    return bytes(output), bytes(errors)


def check_amount(output: bytearray, lines: int, where: str) -> None:
    """InputError for more output than that many scores can be. Blank lines before and after them do not count."""
    found = ""
    if output.count(b"\n") >= lines and (scores := output.strip(b"\n")) and scores.count(b"\n") >= lines:
        found = f"more than {lines} lines"
    elif len(output) > BYTES_A_LINE * (lines + KEPT // BYTES_A_LINE):
        found = f"{len(output)} bytes"
    if found:
        raise InputError(f"{where}: wrote {found} for {lines} sentences, and was stopped: expected one score a line")


def read_scores(text: str, expected: int, where: str) -> list[float]:
    """The numbers that a command wrote, one a line. InputError for another number of lines, or what is no score."""
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
        if abs(score) > LARGEST:
            raise InputError(
                f"{where}: line {number} of its output is {line[:60]!r}, too large for a mean: expected at most "
                f"{LARGEST:g}"
            )
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

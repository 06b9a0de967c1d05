"""An evaluation as text for a terminal: scores with their intervals, what looks wrong, and what differs from chance."""

from collections.abc import Callable, Sequence
from typing import Any

from dragoman.evaluation.overlap import OverlapScores, overlap_table
from dragoman.evaluation.results import Comparison, Evaluation, MetricResult, Result
from dragoman.evaluation.robustness import robustness_table
from dragoman.evaluation.significance import show_p
from dragoman.evaluation.word_f1 import word_table

LEFT = 3  # columns of names, aligned at the left


def show(evaluation: Evaluation) -> str:
    """All tables, and the signature of each metric."""
    names = list(dict.fromkeys(name for row in evaluation.results for name in row.metrics))
    parts = [scores(evaluation.results, names)]
    if any(row.checks for row in evaluation.results):
        parts.append(checks(evaluation.results))
    if evaluation.comparisons:
        parts.append(differences(evaluation))
    parts += [SUPPLEMENTS[key](found) for key, found in evaluation.supplements.items()]
    parts += [*footnotes(evaluation), signatures(evaluation.results, names)]
    return "\n\n".join(part for part in parts if part)


def scores(rows: Sequence[Result], names: Sequence[str]) -> str:
    """The scores in columns, with half the width of their 95% intervals."""
    header = ["run", "checkpoint", "test set", "sentences", *names]
    cells = [[*about(row), str(row.sentences), *(score(row.metrics.get(name)) for name in names)] for row in rows]
    return columns([header, *cells])


def about(row: Result) -> list[str]:
    """How a row names its system and its test set."""
    system = row.system
    is_many = system.kind in ("seeds", "ensemble")
    name = f"{system.name} ({len(system.members)} {'seeds' if system.kind == 'seeds' else 'models'})"
    return [name if is_many else system.run, system.checkpoint, row.test_set]


def score(metric: MetricResult | None) -> str:
    """A score and its interval: "40.22 ±0.81"; a star marks one whose metric chose the outputs."""
    if metric is None:
        return "-"
    half = "" if metric.low is None or metric.high is None else f" ±{(metric.high - metric.low) / 2:.2f}"
    return f"{metric.score:.2f}{half}{'*' if metric.is_flattered else ''}"


Column = Callable[[Result], str]


def checks(rows: Sequence[Result]) -> str:
    """What can be seen without a metric, of the rows that have outputs of their own."""
    shown: dict[str, Column] = {
        "length": lambda row: f"{row.checks.length_ratio:.3f}" if row.checks else "",
        **{name: count_of(name) for name in ("exact", "empty", "copied", "looping", "long", "short")},
        "perplexity": lambda row: f"{row.perplexity:.2f}" if row.perplexity else "-",
        "sentences/s": lambda row: f"{row.sentences_per_second:.1f}" if row.sentences_per_second else "-",
        "parameters": lambda row: f"{row.system.parameters:,}" if row.system.parameters else "-",
    }
    header = ["run", "checkpoint", "test set", *shown]
    cells = [[*about(row), *(column(row) for column in shown.values())] for row in rows if row.checks]
    return columns([header, *cells])


def count_of(name: str) -> Column:
    """A column with one of the counts of `Checks`."""
    return lambda row: str(getattr(row.checks, name))


def differences(evaluation: Evaluation) -> str:
    """What differs from the baseline, in plain words."""
    labels = {(name, row.test_set): metric for row in evaluation.results for name, metric in row.metrics.items()}
    lines = []
    for system, test_set in dict.fromkeys((one.system, one.test_set) for one in evaluation.comparisons):
        lines.append(f"{system} against {evaluation.baseline} on {test_set}:")
        own = [one for one in evaluation.comparisons if (one.system, one.test_set) == (system, test_set)]
        width = max(len(labels[one.metric, test_set].label) for one in own)
        lines += [f"  {labels[one.metric, test_set].label.ljust(width)}  {difference(one)}" for one in own]
    return "\n".join(lines)


def difference(one: Comparison) -> str:
    """A comparison in words: "+0.62, better; p = 0.012 by paired bootstrap".

    Between equal scores p means nothing: all samples of the bootstrap may be equal.
    """
    if not one.difference:
        return "+0.00, no difference"
    how = f"{show_p(one.p)} by {one.method}"
    if one.p_randomization is not None:
        how += f", {show_p(one.p_randomization)} by approximate randomisation"
    of = "sentences" if one.method == "paired bootstrap" else "seeds"
    what = f"no evidence (n = {one.n:,} {of})" if one.verdict == "no evidence" else one.verdict
    return f"{one.difference:+.2f}, {what}; {how}"


def footnotes(evaluation: Evaluation) -> list[str]:
    """What a reader must know about the tables."""
    rows, notes = evaluation.results, []
    metrics = [metric for row in rows for metric in row.metrics.values()]
    if any(metric.low is not None and metric.spread is None for metric in metrics):
        notes.append(
            f"± is half of a 95% interval, by sacreBLEU's bootstrap over sentences: {evaluation.samples:,} samples, "
            f"seed {evaluation.seed}."
        )
    if any(metric.spread is not None for metric in metrics):
        notes.append("Of seeds, the score is the mean, and ± half of a 95% interval of the mean (Student's t).")
        for row in rows:
            own = [f"{one.label} {one.spread:.2f}" for one in row.metrics.values() if one.spread is not None]
            if own:
                notes.append(f"Standard deviation of {row.system.name} on {row.test_set}: {', '.join(own)}.")
    if any(metric.is_flattered for metric in metrics):
        notes.append("* These outputs were chosen by chrF (--mbr), which chrF scores flatter.")
    if any(row.perplexity for row in rows):
        left = sum(row.sentences - (row.perplexity_sentences or 0) for row in rows if row.perplexity)
        out = f"; {left} references are too long for their model, and left out" if left else ""
        notes.append(f"length: characters of outputs for one of the reference. perplexity: of references{out}.")
    return ["\n".join([*notes, *evaluation.notes])]


def signatures(rows: Sequence[Result], names: Sequence[str]) -> str:
    """The signature of each metric, one a line."""
    found = {
        f"{name}: {row.metrics[name].signature}": None for name in names for row in rows if name in row.metrics
    }  # fmt: skip
    return "\n".join(found)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines of equal length: names at the left, numbers at the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def overlaps(found: Sequence[OverlapScores]) -> str:
    """A line for each test set and training text, and scores with and without their common lines."""
    lines = dict.fromkeys(f"{one.test_set.name}, {one.run}: {one.overlap.summary()}." for one in found)
    inside = [one for one in found if one.overlap.found]
    return "\n".join([*lines, *([columns(overlap_table(inside))] if inside else [])])


SUPPLEMENTS: dict[str, Callable[[Any], str]] = {
    "robustness": lambda found: columns(robustness_table(found)),
    "overlap": overlaps,
    "word_f1": lambda found: columns(word_table(found)),
}
"""Texts about the other records of an evaluation, by their key."""

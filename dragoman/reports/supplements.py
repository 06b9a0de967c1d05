"""What a report shows of the supplements of an evaluation: words by frequency, disturbed text, and overlap."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.overlap import OverlapScores
from dragoman.evaluation.results import Evaluation
from dragoman.evaluation.robustness import KINDS, Robustness
from dragoman.evaluation.word_f1 import Bucket, WordScores
from dragoman.reports.charts import Line, category_chart
from dragoman.reports.curves import Curve


class Row(NamedTuple):
    """A system and the cells that a table has of it."""

    system: str
    color: int
    cells: list[str]


class Table(NamedTuple):
    """A table with a line for each system, whose first column names it."""

    title: str
    meaning: str
    columns: list[str]
    rows: list[Row]


def tables(evaluation: Evaluation, colors: Mapping[str, int]) -> list[Table]:
    """The tables of the supplements that an evaluation has."""
    found = evaluation.supplements
    made = [overlap_table(found.get("overlap", ()), colors), robustness_table(found.get("robustness", ()), colors)]
    return [table for table in made if table]


def by_word_frequency(found: Sequence[WordScores], colors: Mapping[str, int]) -> Curve | None:
    """A chart of word-level F1 by how often a word occurs in training; None without any."""
    if not found:
        return None
    lines = []
    for one in found:
        points = [(at, bucket.f1) for at, bucket in enumerate(one.buckets)]
        lines.append(Line(one.system, points, colors[one.system]))
    counts = ", ".join(f"{bucket.reference:,}" for bucket in found[0].buckets)
    meaning = f"F1 of words by their occurrences in the training text. Words of the reference: {counts}."
    chart = category_chart([short_name(bucket) for bucket in found[0].buckets], lines)
    return Curve("By frequency of the word", meaning, chart)


def short_name(bucket: Bucket) -> str:
    """The range of a bucket, so that seven have room on an axis: "0", "2–4", "100+"."""
    return bucket.name.replace("-", "–") if (bucket.most or bucket.least) < 10 else f"{bucket.least}+"


def overlap_table(found: Sequence[OverlapScores], colors: Mapping[str, int]) -> Table | None:
    """How many lines of each test set occur in the training text, and if any do, the scores without them."""
    if not found:
        return None
    summaries = dict.fromkeys(f"{one.test_set.name}, {one.run}: {one.overlap.summary()}." for one in found)
    inside = [one for one in found if one.overlap.found]
    metrics = list(inside[0].scores["with"]) if inside else []
    columns = ["test set", "exactly", "nearly", *(f"{METRICS[name].label} of all lines, without" for name in metrics)]
    rows = []
    for one in inside:
        counts = [f"{len(one.overlap.numbers(kind)):,} of {one.overlap.total:,}" for kind in ("exact", "near")]
        scores = [arrow(one.scores["with"][name], one.scores.get("without", {}).get(name)) for name in metrics]
        rows.append(Row(one.system, colors[one.system], [one.test_set.name, *counts, *scores]))
    explained = " A system that has learned lines by heart loses score without them." if rows else ""
    return Table("Test lines in the training text", " ".join(summaries) + explained, columns, rows)


def robustness_table(found: Sequence[Robustness], colors: Mapping[str, int]) -> Table | None:
    """The scores of disturbed text beside those of the same text undisturbed; None without any."""
    if not found:
        return None
    metrics = list(found[0].disturbed)
    has_lost = any(one.lost is not None for one in found)
    columns = ["test set", "disturbance", *(METRICS[name].label for name in metrics), *["sentences lost"] * has_lost]
    rows = []
    for one in found:
        scores = [
            arrow(one.clean[name], one.disturbed[name]) if name in one.clean else f"{one.disturbed[name]:.2f}"
            for name in metrics
        ]
        lost = [f"{len(one.lost):,} of {one.sentences:,}" if one.lost is not None else "–"] * has_lost
        rows.append(Row(one.system, colors[one.system], [one.test_set, one.kind, *scores, *lost]))
    kinds = dict.fromkeys(one.kind for one in found)
    meaning = "Scores of the text as it is, then disturbed. " + "; ".join(f"{kind}: {KINDS[kind]}" for kind in kinds)
    return Table("Disturbed text", f"{meaning}.", columns, rows)


def arrow(before: float, after: float | None) -> str:
    """Two scores and their difference: "28.10 → 21.40 (-6.70)"."""
    return f"{before:.2f}" if after is None else f"{before:.2f} → {after:.2f} ({after - before:+.2f})"

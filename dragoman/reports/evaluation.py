"""The report of an evaluation: which system is better, whether that is true, and what the difference looks like."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple, get_args

from data.sources.corpus import fingerprint_of
from dragoman import __version__
from dragoman.evaluation.held_out import HeldOut, TestSet, all_of
from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.results import Evaluation, Result, System
from dragoman.reports.breakdown import Scored, by_length, by_rarest_word
from dragoman.reports.charts import Line, category_chart
from dragoman.reports.confidence import by_confidence
from dragoman.reports.curves import Curve, curves
from dragoman.reports.examples import Pair, Worst, pair, worst
from dragoman.reports.page import render
from dragoman.reports.runs import NOTHING, AboutRuns, Rarest
from dragoman.reports.score_cards import Card, cards, interval_of
from dragoman.reports.supplements import by_word_frequency, tables
from dragoman.reports.verdict import Verdict, verdict

CURVES = ("loss",)  # of what training logs; the scores of validation are shown in any case

TOGETHER = tuple(map(all_of, get_args(HeldOut)))
"""Test sets that are several others together."""


class Part(NamedTuple):
    """What the report says of a test set."""

    name: str
    sentences: int
    content: str  # a hash of its lines
    languages: tuple[str, str]
    verdict: Verdict
    cards: list[Card]
    results: list[Result]
    charts: list[Curve]
    pair: Pair | None
    worst: list[Worst]


def evaluation_report(evaluation: Evaluation, about: AboutRuns = NOTHING, *, command: str = "") -> str:
    """The page. `command` is what made the evaluation, to be repeated."""
    colors = colors_of(evaluation)
    runs = colors_of_runs(list(about.metrics), systems_of(evaluation))
    names = dict.fromkeys(result.test_set for result in evaluation.results)
    parts = [part(evaluation, name, colors, about.rarest) for name in names]
    return render(
        "evaluation.html",
        evaluation=evaluation,
        notes=[*evaluation.notes, *about.notes],
        systems=systems_of(evaluation),
        colors=colors,
        parts=parts,
        by_test_set=by_test_set(evaluation, colors),
        runs=runs,
        curves=curves(about.metrics, runs, training=CURVES),
        signatures=signatures(evaluation),
        searches={name: searches(evaluation, name) for name in colors},
        links=most_links(parts),
        command=command,
        tables=tables(evaluation, colors),
        versions=versions(),
    )


def systems_of(evaluation: Evaluation) -> list[System]:
    """All systems, in the order of the table."""
    found = [result.system for result in evaluation.results] + [outputs.system for outputs in evaluation.outputs]
    return list({system.name: system for system in found}.values())


def colors_of(evaluation: Evaluation) -> dict[str, int]:
    """The number of the colour of each system, by name."""
    return {system.name: number for number, system in enumerate(systems_of(evaluation))}


def colors_of_runs(runs: Sequence[str], systems: Sequence[System]) -> dict[str, int]:
    """The colour of each run: that of its first system, and a further one if it is only part of an ensemble."""
    found = {system.run: number for number, system in reversed(list(enumerate(systems)))}
    return {run: found.get(run, len(systems) + number) for number, run in enumerate(runs)}


def part(evaluation: Evaluation, name: str, colors: Mapping[str, int], rarest: Rarest | None) -> Part:
    """What the report says of a test set. Of several sets together, each sentence is shown with its own set."""
    results = [result for result in evaluation.results if result.test_set == name]
    found = [outputs for outputs in evaluation.outputs if outputs.test_set.name == name and name not in TOGETHER]
    scored = [Scored.of(outputs, colors[outputs.system.name]) for outputs in found]
    charts = [by_length(scored, seed=evaluation.seed), by_rarest_word(scored, rarest, seed=evaluation.seed)]
    words = [one for one in evaluation.supplements.get("word_f1", ()) if one.test_set == name and scored]
    charts += [by_word_frequency(words, colors), *by_confidence(scored)]
    return Part(
        name=name,
        sentences=results[0].sentences,
        content=content_of([outputs.test_set for outputs in found[:1]]),
        languages=languages_of([outputs.test_set for outputs in found[:1]]),
        verdict=verdict(evaluation, name),
        cards=cards(results, evaluation.baseline, colors),
        results=[result for result in results if result.checks or result.perplexity or result.sentences_per_second],
        charts=[chart for chart in charts if chart],
        pair=pair(evaluation, results, scored),
        worst=[worst(one) for one in scored],
    )


def content_of(test_sets: Sequence[TestSet]) -> str:
    """A hash of the lines of a test set, to know it again."""
    return fingerprint_of(line for one in test_sets for lines in (one.sources, *one.references) for line in lines)


def languages_of(test_sets: Sequence[TestSet]) -> tuple[str, str]:
    """The languages of the source and of the target, as HTML names them: browsers choose fonts by them."""
    found = [(one.source_language.replace("_", "-"), one.language.replace("_", "-")) for one in test_sets]
    return found[0] if found else ("", "")


def by_test_set(evaluation: Evaluation, colors: Mapping[str, int]) -> Curve | None:
    """A chart of the first metric by test set; None for a single one."""
    names = list(dict.fromkeys(result.test_set for result in evaluation.results))
    if len(names) < 2:
        return None
    metric = next(iter(evaluation.results[0].metrics))
    lines = []
    for name, color in colors.items():
        own = [one for one in evaluation.results if one.system.name == name and metric in one.metrics]
        if own:
            points = [(names.index(one.test_set), one.metrics[metric].score) for one in own]
            lines.append(Line(name, points, color, [interval_of(one.metrics[metric]) for one in own]))
    label = evaluation.results[0].metrics[metric].label or metric
    meaning = "Scores on different test sets cannot be compared; the order of the systems can."
    return Curve(f"{label} by test set", meaning, category_chart(names, lines, joined=False))


def signatures(evaluation: Evaluation) -> list[tuple[str, str]]:
    """The label and the signature of each metric; a metric has several if test sets need different tokenizers."""
    found = [one for result in evaluation.results for one in result.metrics.values()]
    return list(dict.fromkeys((one.label or label_of(one.name), one.signature) for one in found))


def searches(evaluation: Evaluation, system: str) -> list[Mapping[str, Any]]:
    """The settings of the search of a system; several if test sets were translated differently."""
    found: list[Mapping[str, Any]] = []
    for result in evaluation.results:
        if result.system.name == system and result.search and result.search not in found:
            found.append(result.search)
    return found


def versions() -> dict[str, str]:
    """The programs on which scores and translations may depend."""
    found = {name: version(name) for name in ("jax", "sacrebleu", "sentencepiece")}
    return {"Dragoman": __version__, **found, "Python": platform.python_version()}


def label_of(name: str) -> str:
    """The name of a metric in reports."""
    return METRICS[name].label if name in METRICS else name


def most_links(parts: Sequence[Part]) -> int:
    """One more than the greatest number of a source word that a word shown is linked to."""
    sentences = [one for part in parts for shown in part.worst for one in shown.sentences]
    sentences += [one for part in parts if part.pair for one in [*part.pair.gains, *part.pair.losses]]
    words = [word for one in sentences for shown in one.translations for word in shown.words]
    return max((link + 1 for word in words for link in word.links), default=0)

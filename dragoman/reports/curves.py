"""Learning curves: what metrics.jsonl says of one run or of several, as charts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from dragoman.evaluation.metrics import METRICS
from dragoman.reports.charts import Line, line_chart

Records = Sequence[Mapping[str, Any]]
"""The lines of metrics.jsonl."""

TRAINING = {
    "loss": ("Training loss", "nats per target token, with label smoothing; lower is better"),
    "learning_rate": ("Learning rate", "of the optimiser"),
    "gradient_norm": ("Gradient norm", "before clipping"),
    "target_tokens_per_second": ("Speed", "target tokens a second, without compiling"),
}
"""What training logs: its key, its title, and what it means."""


class Curve(NamedTuple):
    """A chart with what it shows in words."""

    title: str
    meaning: str
    chart: Markup


def validations(records: Records) -> list[Mapping[str, Any]]:
    """The records of validations: those with a score."""
    return [record for record in records if any(name in record for name in METRICS)]


def curves(
    runs: Mapping[str, Records], colors: Mapping[str, int], *, training: Sequence[str] = tuple(TRAINING)
) -> list[Curve]:
    """A chart for each score of validation, for the loss there, and for what training logs. Each run has a colour."""
    scored = {name: validations(records) for name, records in runs.items()}
    trained = {name: [record for record in records if "learning_rate" in record] for name, records in runs.items()}
    found = [
        chart_of(scored, colors, key, f"Validation {metric.label}", direction(metric.larger_is_better))
        for key, metric in METRICS.items()
    ]
    found.append(chart_of(scored, colors, "loss", "Validation loss", "nats per target token; lower is better"))
    found += [chart_of(trained, colors, key, *TRAINING[key]) for key in training]
    return [curve for curve in found if curve]


def chart_of(
    runs: Mapping[str, Records], colors: Mapping[str, int], key: str, title: str, meaning: str
) -> Curve | None:
    """The values of a key over the steps, a line for each run; None where no run has any."""
    lines = [
        Line(name, [(record["step"], record[key]) for record in records if key in record], colors[name])
        for name, records in runs.items()
    ]
    lines = [line for line in lines if line.points]
    return Curve(title, meaning, line_chart(lines)) if lines else None


def direction(larger_is_better: bool) -> str:
    """How to read a score."""
    return "higher is better" if larger_is_better else "lower is better"

"""The report of a run: RUN/report.html, with its learning curves. It is a function of the run directory alone."""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragoman.evaluation.metrics import METRICS
from dragoman.messages import warn_once
from dragoman.reports.curves import Records, curves, validations
from dragoman.reports.page import render, replace_page
from dragoman.runs.run import Run
from transformer.config import Config

NAME = "report.html"


def update_report(run: Run, config: Config, *, average: Mapping[str, float] | None = None) -> None:
    """Write the report of a run as it is now. A report that cannot be written is a warning: training goes on.

    `average` has the validation scores of the average of the best checkpoints, once there is one.
    """
    path = run.path / NAME
    try:
        replace_page(path, training_report(run.path, config, run.read_metrics(), average=average))
    except Exception as error:  # whatever it is, it is not worth a run
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}".partition("\n")[0]
        warn_once(f"{path}: not up to date ({reason}); training continues, and metrics.jsonl has the figures")


def training_report(path: Path, config: Config, records: Records, *, average: Mapping[str, float] | None = None) -> str:
    """The page for the metrics of a run."""
    name, metric = path.resolve().name, config.training.metric
    scored = [record for record in validations(records) if metric in record]
    last = records[-1] if records else None
    return render(
        "training.html",
        name=name,
        path=path,
        config=config,
        metric=metric,
        labels={key: known.label for key, known in METRICS.items()},
        scored=scored,
        best=best_of(scored, metric),
        last=last,
        average=average,
        when=when(last["time"]) if last and "time" in last else "",
        curves=curves({name: records}, {name: 0}),
        settings=settings(config),
    )


def best_of(scored: Records, metric: str) -> Mapping[str, Any] | None:
    """The validation with the best score, the first one of several; None without any."""
    best = None
    for record in scored:
        if best is None or METRICS[metric].is_better(record[metric], best[metric]):
            best = record
    return best


def when(seconds: float) -> str:
    """A time in UTC, to the minute: "27 November 2026, 06:10 UTC"."""
    at = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def settings(config: Config) -> dict[str, dict[str, Any]]:
    """The knobs that differ from their defaults, by section."""
    return {section: changed for section, changed in config.model_dump(exclude_defaults=True).items() if changed}

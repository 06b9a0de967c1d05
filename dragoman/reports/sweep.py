"""The report of a sweep: a curve for each setting of the other knobs, and the table."""

from typing import Any

from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.sweep import Setting, Sweep, conclusion, sweep_table
from dragoman.reports.charts import Line, line_chart
from dragoman.reports.page import render


def sweep_report(found: Sweep) -> str:
    """The page about a sweep."""
    header, *rows = sweep_table(found)
    lines = lines_of(found)
    return render(
        "sweep.html",
        name=found.run,
        about=f"checkpoint {found.checkpoint}, {found.test_set}, {found.sentences} sentences",
        verdict=conclusion(found),
        metric=METRICS[found.metric].label,
        knob=axis_of(found),
        colors={line.name: line.color for line in lines},
        chart=line_chart(lines, x=axis_of(found)) if lines else None,
        header=[METRICS[name].label if name in METRICS else name for name in header[1:]],
        rows=[row[1:] for row in rows],
        best=found.best,
    )


def axis_of(found: Sweep) -> str:
    """The knob along the axis: the last one with several numbers; "" if there is none."""
    numeric = [name for name in found.settings[0].knobs if len(numbers_of(found, name)) > 1]
    return numeric[-1] if numeric else ""


def numbers_of(found: Sweep, knob: str) -> set[Any]:
    """The values of a knob, if they are numbers."""
    values = {one.knobs[knob] for one in found.settings}
    return values if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values) else set()


def lines_of(found: Sweep) -> list[Line]:
    """The scores along the axis, a line for each setting of the other knobs."""
    axis = axis_of(found)
    groups: dict[str, list[Setting]] = {}
    for one in found.settings if axis else ():
        others = ", ".join(f"{name} {value}" for name, value in one.knobs.items() if name != axis)
        groups.setdefault(others or METRICS[found.metric].label, []).append(one)
    return [
        Line(name, sorted((one.knobs[axis], one.scores[found.metric]) for one in own), color=number)
        for number, (name, own) in enumerate(groups.items())
    ]

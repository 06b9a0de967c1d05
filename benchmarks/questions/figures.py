"""Charts of the project's reports as files that stand alone: with a title, a legend and colours for light and dark."""

import functools
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from markupsafe import Markup

from benchmarks.questions.results import Measured
from dragoman.reports.charts import HEIGHT, WIDTH, Line, category_chart, line_chart

LINE = 17
"""The height of a line of text."""

RULES = """
svg { background: var(--paper); } svg.chart { max-width: none; }
text { font: 12px system-ui, sans-serif; fill: var(--muted); } text.title { font-weight: 600; fill: var(--ink); }
.key { fill: var(--color); } .key.dashed { fill: none; stroke: var(--color); stroke-width: 2; }
"""


@functools.cache
def style() -> str:
    """The part of the reports' style sheet that charts use: its colours, and the rules for charts."""
    sheet = (files("dragoman.reports") / "templates" / "style.css").read_text("utf-8")
    colors, charts = sheet.split("* {")[0], re.search(r"svg\.chart.*?(?=/\*)", sheet, re.DOTALL)
    lines = [line for line in sheet.split("\n") if line.startswith(".line-")]
    return "\n".join([colors, *lines, re.sub(r"/\*.*?\*/", "", charts[0] if charts else ""), RULES])


def by_category(
    title: str, categories: Sequence[str], lines: dict[str, Sequence[Measured]], *, joined: bool = True
) -> str:
    """A figure of means and intervals by category."""
    drawn = [
        Line(name, [(at, one.mean) for at, one in enumerate(points)], color, [one.interval for one in points])
        for color, (name, points) in enumerate(lines.items())
    ]
    return figure(title, category_chart(categories, drawn, joined=joined), list(lines))


def by_number(title: str, lines: dict[str, Sequence[tuple[float, float]]], *, x: str) -> str:
    """A figure of y over x. `x` names the unit of x."""
    drawn = [Line(name, points, color) for color, (name, points) in enumerate(lines.items())]
    return figure(f"{title}, by {x}", line_chart(drawn, x=x), list(lines))


def figure(title: str, chart: Markup, names: Sequence[str]) -> str:
    """A chart as a file of its own, with its title above and its legend below."""
    height = HEIGHT + LINE * (len(names) + 2)
    legend = "".join(
        f'<circle class="key line-{n % 8}" cx="18" cy="{LINE * (n + 2) + HEIGHT - 4}" r="5"/>'
        f'<text x="30" y="{LINE * (n + 2) + HEIGHT}">{escape(name)}</text>'
        for n, name in enumerate(names)
    )
    inner = re.sub("<svg ", f'<svg y="{LINE}" width="{WIDTH}" height="{HEIGHT}" ', str(chart), count=1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
        f"<title>{escape(title)}</title><style>{style()}</style>"
        f'<text class="title" x="8" y="14">{escape(title)}</text>{inner}{legend}</svg>\n'
    )

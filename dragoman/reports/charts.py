"""Charts as SVG to stand within a page, without scripts and without colours of their own: style.css has them.

A chart is drawn about as wide as a phone, and a page puts as many side by side as fit. On the phone its text is then as
large as on a desk. `Line` names its colour by number, so that a system has the same one in every chart and legend.
"""

import functools
import itertools
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from markupsafe import Markup

WIDTH, HEIGHT = 380, 236
COLORS = 8
"""Colours in style.css. Lines after the eighth use them again, dashed."""

LABEL_SIZE = 12  # as in style.css: margins are computed from it

MOST_POINTS = 300
"""Points of a line: more could not be told apart, and would make the page slow."""


Number = int | float
Points = Sequence[tuple[Number, Number | None]]
"""Points (x, y) in the order of x. Where y is None, a line is interrupted."""


class Line(NamedTuple):
    """Points to be joined by a line."""

    name: str
    points: Points
    color: int = 0
    intervals: Sequence[tuple[Number, Number] | None] = ()  # low and high of each point, in charts of categories


def number(value: Number) -> str:
    """A number as an axis shows it: 12,000; 0.0003; 27.5."""
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-3 else f"{value:.2g}"


def line_chart(lines: Sequence[Line], *, x: str = "step", show: Callable[[Number], str] = number) -> Markup:
    """A chart of y over x. `x` names the unit of x in the tooltips, and `show` writes a y."""
    with_dots = max(len(line.points) for line in lines) <= 40
    chart = library().XY(show_dots=True, dots_size=3 if with_dots else 1.5, **_options(show))
    chart.x_value_formatter = number
    for line in lines:
        chart.add("", thin(line.points), formatter=partial(_show_point, line.name, x, show))
    return _render(chart, lines)


def _show_point(name: str, x: str, show: Callable[[Number], str], at: Sequence[Number]) -> str:
    """The title of a point: "runs/a: step 500, 27.3"."""
    return xml_text(f"{name}: {x} {number(at[0])}, {show(at[1])}")


def category_chart(
    categories: Sequence[str], lines: Sequence[Line], *, joined: bool = True, show: Callable[[Number], str] = number
) -> Markup:
    """A chart of y by category, whose points have intervals; x is the number of the category, from 0 on."""
    ends = [y for line in lines for _, y in line.points if y is not None]
    ends += [end for line in lines for interval in line.intervals if interval for end in interval]
    margin = 0.06 * (max(ends) - min(ends)) if ends else 0.0
    options = _options(show) | {"range": (min(ends) - margin, max(ends) + margin) if ends else None}
    chart = library().Line(stroke=joined, dots_size=4, **options)
    chart.x_labels = list(map(xml_text, categories))
    for line in lines:
        show_value = partial(_show_value, line.name, show)
        chart.add("", _category_values(line, len(categories)), formatter=show_value)
    return _render(chart, lines)


def _show_value(name: str, show: Callable[[Number], str], y: Number) -> str:
    """The title of a point whose x the axis says: "runs/a: 27.3"."""
    return xml_text(f"{name}: {show(y)}")


def thin(points: Points) -> Points:
    """At most about MOST_POINTS points, evenly spread, with the first and the last of them."""
    step = -(-len(points) // MOST_POINTS)
    return [*points[: -1 : max(step, 1)], *points[-1:]]


def xml_text(text: str) -> str:
    """Text without the characters that XML cannot have: control characters and lone surrogates."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", text)


def _category_values(line: Line, count: int) -> list[Any]:
    """A value for each category, with its interval, as pygal takes them."""
    values: list[Any] = [None] * count
    for (at, y), interval in itertools.zip_longest(line.points, line.intervals[: len(line.points)]):
        if y is not None:
            values[int(at)] = {"value": y, "ci": {"low": interval[0], "high": interval[1]}} if interval else y
    return values


@functools.cache
def library() -> Any:
    """pygal, imported by the first chart, without the finder that it adds to the import system for plugins of maps.

    That finder is of a kind that Python 3.12 has dropped: on 3.11, each import that fails later would warn of it.
    """
    import pygal

    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]
    return pygal


def _options(show: Callable[[Number], str]) -> dict[str, Any]:
    """What all charts have in common. Margins are computed from the size of labels; the rest is in style.css."""
    return {
        "style": library().style.Style(label_font_size=LABEL_SIZE, major_label_font_size=LABEL_SIZE),
        "width": WIDTH,
        "height": HEIGHT,
        "margin": 6,
        "show_legend": False,
        "min_scale": 3,
        "max_scale": 5,
        "js": [],
        "value_formatter": show,
        "allow_interruptions": True,
        "disable_xml_declaration": True,
    }


def _render(chart: Any, lines: Sequence[Line]) -> Markup:
    """The chart as an `svg` element."""
    chart.add_xml_filter(partial(_simplify, lines))
    return Markup(chart.render(is_unicode=True))  # pygal escapes text, as any writer of XML does


def _simplify(lines: Sequence[Line], svg: Any) -> Any:
    """A drawing that holds nothing but shapes, text and the titles that browsers show on hovering.

    pygal's own style, script, comments and identifiers are removed: several charts stand in a page, which styles them.
    """
    for child in list(svg):
        if child.tag != "g":
            svg.remove(child)
    svg.attrib.pop("id", None)
    svg.attrib.update({"class": "chart", "role": "img"})
    for group in list(svg.iter("g")):
        _simplify_group(group, lines)
    return svg


def _simplify_group(group: Any, lines: Sequence[Line]) -> None:
    """Name the colour of a line, turn the description of a point into its title, and drop what only scripts need."""
    if found := re.search(r"\bserie-(\d+)\b", group.get("class", "")):
        color = lines[int(found[1])].color
        group.set("class", f"line-{color % COLORS}" + " dashed" * (color // COLORS % 2))
    for child in group.findall("desc"):
        if child.get("class") == "value":
            child.tag = "title"
            child.attrib.clear()
        else:
            group.remove(child)
    for child in group.findall("g"):
        if child.get("class") in ("titles", "plot tooltip-overlay", "plot text-overlay"):
            group.remove(child)

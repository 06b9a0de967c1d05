"""Charts as SVG to stand within a page, without scripts and without colours of their own: style.css has them.

A chart is drawn about as wide as a phone, and a page puts as many side by side as fit. On the phone its text is then as
large as on a desk. `Line` names its colour by number, so that a system has the same one in every chart and legend.
"""

import functools
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
MOST_POINTS = 120
"""Points of a line: more could not be told apart, and would make the page slow."""

SPREAD = 0.4  # of the distance between two categories, over which the points of one are spread, so that all can be seen

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


def short(value: Number) -> str:
    """A large number as an axis shows it where there is little room: 8,000; 250k; 1.5M."""
    if abs(value) < 10_000:
        return number(value)
    return f"{value / 1e6:g}M" if abs(value) >= 1e6 else f"{value / 1e3:g}k"


def line_chart(lines: Sequence[Line], *, x: str = "step", show: Callable[[Number], str] = number) -> Markup:
    """A chart of y over x. `x` names the unit of x in the titles of points, and `show` writes a y."""
    dots = 3 if max(len(line.points) for line in lines) <= 40 else 1.5
    chart = _chart(show, dots_size=dots, x_value_formatter=short, truncate_label=9)
    for line in lines:
        chart.add(
            "", thin(line.points), formatter=partial(_show_point, line.name, lambda at: f"{x} {number(at)}", show)
        )
    return _render(chart, [line.color for line in lines])


def category_chart(categories: Sequence[str], lines: Sequence[Line], *, joined: bool = True) -> Markup:
    """A chart of y by category, whose points have intervals; x is the number of the category, from 0 on."""
    ends = [y for line in lines for _, y in line.points if y is not None]
    ends += [end for line in lines for interval in line.intervals if interval for end in interval]
    margin = 0.06 * (max(ends) - min(ends)) if ends else 0.0
    half = SPREAD / 2 if len(lines) > 1 else 0.0
    chart = _chart(
        number,
        dots_size=4,
        stroke=joined,
        range=(min(ends) - margin, max(ends) + margin) if ends else None,
        xrange=(0.5, len(categories) + 0.5),
        truncate_label=max(6, 54 // len(categories)),
    )
    chart.x_labels = [{"value": at, "label": xml_text(name)} for at, name in enumerate(categories, 1)]
    colors = []
    for order, line in enumerate(lines):
        shift = half * (2 * order / max(len(lines) - 1, 1) - 1)
        points = [(at + 1 + shift, y) for at, y in line.points]  # pygal draws an axis through 0
        show_point = partial(_show_point, line.name, lambda x: categories[round(x) - 1], number)
        chart.add("", points, formatter=show_point)
        intervals = [(x, ends) for (x, _), ends in zip(points, line.intervals, strict=False) if ends]
        for x, (low, high) in intervals:
            chart.add("", [(x, low), (x, high)], show_dots=False, stroke=True)
        colors += [line.color] * (1 + len(intervals))
    return _render(chart, colors)


def thin(points: Points) -> Points:
    """At most about MOST_POINTS points, evenly spread, with the first and the last of them."""
    step = -(-len(points) // MOST_POINTS)
    return [*points[: -1 : max(step, 1)], *points[-1:]]


def xml_text(text: str) -> str:
    """Text without the characters that XML cannot have: control characters and lone surrogates."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", text)


def _show_point(name: str, show_x: Callable[[Number], str], show: Callable[[Number], str], at: Sequence[Number]) -> str:
    """The title of a point: "runs/a: step 500, 27.3"."""
    return xml_text(f"{name}: {show_x(at[0])}, {show(at[1])}")


@functools.cache
def library() -> Any:
    """pygal, imported by the first chart, without the finder that it adds to the import system for plugins of maps.

    That finder is of a kind that Python 3.12 has dropped: on 3.11, each import that fails later would warn of it.
    """
    import pygal

    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]
    return pygal


def _chart(show: Callable[[Number], str], **options: Any) -> Any:
    """An empty chart. Its margins are computed from the size of its labels; the rest of its looks is in style.css."""
    return library().XY(
        style=library().style.Style(label_font_size=LABEL_SIZE, major_label_font_size=LABEL_SIZE),
        width=WIDTH,
        height=HEIGHT,
        margin=6,
        margin_right=22,  # half of the last label of x
        show_legend=False,
        min_scale=3,
        max_scale=5,
        js=[],
        value_formatter=show,
        allow_interruptions=True,
        disable_xml_declaration=True,
        **options,
    )


def _render(chart: Any, colors: Sequence[int]) -> Markup:
    """The chart as an `svg` element. `colors` are those of its series, in order."""
    chart.add_xml_filter(partial(_simplify, colors))
    return Markup(chart.render(is_unicode=True))  # pygal escapes text, as any writer of XML does


def _simplify(colors: Sequence[int], svg: Any) -> Any:
    """A drawing that holds nothing but shapes, text and the titles that browsers show on hovering.

    pygal's own style, script, comments and identifiers are removed: several charts stand in a page, which styles them.
    """
    for child in list(svg):
        if child.tag != "g":
            svg.remove(child)
    svg.attrib.pop("id", None)
    svg.attrib.update({"class": "chart", "role": "img"})
    for group in list(svg.iter("g")):
        _simplify_group(group, colors)
    return svg


def _simplify_group(group: Any, colors: Sequence[int]) -> None:
    """Name the colour of a line, turn the description of a point into its title, and drop what only scripts need."""
    if found := re.search(r"\bserie-(\d+)\b", group.get("class", "")):
        color = colors[int(found[1])]
        group.set("class", f"line-{color % COLORS}" + " dashed" * (color // COLORS % 2))
    for child in group.findall("desc"):
        if child.get("class") == "value":
            child.tag = "title"
            child.attrib.clear()
        else:
            group.remove(child)
    for child in group.findall("g"):
        if child.get("class") in ("titles", "plot tooltip-overlay", "plot text-overlay") or not len(child):
            group.remove(child)

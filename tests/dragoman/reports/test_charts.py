"""Charts: what they show, and that they hold nothing but shapes and text."""

import importlib
import re
import sys
from xml.etree import ElementTree

import pytest

from dragoman.reports.charts import COLORS, MOST_POINTS, Line, category_chart, line_chart, number, short, thin

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</svg><script>alert(1)</script>\x00\ud800\u202e"


def elements(chart, tag):
    return list(ElementTree.fromstring(chart).iter(SVG + tag))


def titles(chart):
    return [title.text for group in elements(chart, "g") if group.get("class") == "dots" for title in group[1:]]


def test_each_point_of_a_line_can_be_read_in_its_title():
    chart = line_chart([Line("runs/a", [(100, 1.5), (12_000, 27.25)]), Line("b", [(100, 2.0)])])
    assert titles(chart) == ["runs/a: step 100, 1.5", "runs/a: step 12,000, 27.25", "b: step 100, 2"]


def test_a_point_of_a_category_shows_its_interval_and_a_missing_one_nothing():
    lines = [Line("a", [(0, 20.0), (1, None), (2, 30.0)], intervals=[(18.0, 22.0), None, (29.0, 33.0)])]
    chart = category_chart(["1–5", "6–10", "11+"], lines, joined=False)
    assert titles(chart) == ["a: 1–5, 20", "a: 11+, 30"]
    intervals = [path for path in elements(chart, "path") if "reactive" in path.get("class", "")]
    assert len(intervals) == 2
    assert {"1–5", "6–10", "11+"} <= {text.text for text in elements(chart, "text")}


def test_points_of_a_category_stand_side_by_side_and_keep_its_name():
    lines = [Line(name, [(0, 20.0), (1, 25.0)]) for name in ("a", "b", "c")]
    chart = category_chart(["short", "long"], lines)
    assert titles(chart) == [f"{name}: {at}" for name in ("a", "b", "c") for at in ("short, 20", "long, 25")]
    assert len({circle.get("cx") for circle in elements(chart, "circle")}) == 6


def test_a_chart_holds_no_script_style_link_or_identifier_and_hostile_names_stay_text():
    for chart in (
        line_chart([Line(HOSTILE, [(1, 2.0), (2, 3.0)])]),
        category_chart([HOSTILE], [Line(HOSTILE, [(0, 1.0)])]),
    ):
        tags = {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(chart).iter()}
        assert tags <= {"svg", "g", "path", "rect", "circle", "text", "title"}
        assert not re.search(r'\b(id|href|style|onload)="|http(?!://www\.w3\.org/)|<!--', chart)
        assert titles(chart)[0].startswith("</svg><script>alert(1)</script>\ufffd\ufffd\u202e: ")


def test_lines_have_their_own_colour_and_after_the_last_colour_they_are_dashed():
    chart = line_chart([Line("a", [(1, 1.0), (2, 2.0)], color=3), Line("b", [(1, 1.0), (2, 2.0)], color=COLORS + 1)])
    classes = [group.get("class") for group in elements(chart, "g")]
    assert classes.count("line-3") == classes.count("line-1 dashed") == 2  # its line and its points


def test_a_long_line_is_drawn_with_fewer_points_and_keeps_its_ends():
    points = [(step, float(step)) for step in range(10_000)]
    assert thin(points)[0] == points[0]
    assert thin(points)[-1] == points[-1]
    assert MOST_POINTS / 2 < len(thin(points)) <= MOST_POINTS + 1
    assert thin(points[:7]) == points[:7]
    assert thin([]) == []


def test_equal_values_and_single_points_have_a_chart():
    assert titles(line_chart([Line("a", [(5, 0.0)])])) == ["a: step 5, 0"]
    assert titles(category_chart(["all"], [Line("a", [(0, 0.0)])])) == ["a: all, 0"]


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (12_345.6, "12,346"), (27.251, "27.25"), (0.00031, "0.00031"), (-1.5, "-1.5")]
)
def test_numbers_on_axes_are_short(value, shown):
    assert number(value) == shown


def test_drawing_leaves_the_import_system_as_it_was():
    line_chart([Line("a", [(1, 2.0)])])
    assert [finder for finder in sys.meta_path if not hasattr(finder, "find_spec")] == []
    with pytest.raises(ImportError):
        importlib.import_module("a_module_that_nobody_has")


@pytest.mark.parametrize(("value", "shown"), [(8000, "8,000"), (250_000, "250k"), (1_500_000, "1.5M"), (0.5, "0.5")])
def test_steps_on_an_axis_are_shorter_still(value, shown):
    assert short(value) == shown

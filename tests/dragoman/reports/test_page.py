"""Pages as files, and as headless Chromium shows them: quiet, alone, readable on a phone, in the dark and on paper.

The tests in the browser are skipped where Chromium or playwright is missing; CONTRIBUTING.md says how to get them.
"""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from dragoman.explanation.page import explanation_page
from dragoman.reports.calibration import calibration_report
from dragoman.reports.evaluation import evaluation_report
from dragoman.reports.page import render, replace_page, write_page
from dragoman.reports.runs import AboutRuns, Rarest
from dragoman.reports.sweep import sweep_report
from dragoman.reports.training import update_report
from dragoman.runs.run import Run
from dragoman.translation.translator import Translator
from tests.support.hand_made_evaluation import (
    HOSTILE,
    hand_made_calibration,
    hand_made_evaluation,
    hand_made_sweep,
    metrics_of_a_run,
)
from tests.support.paths import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
CHARTS = {"training": 6, "evaluation": 6, "explanation": 6, "sweep": 1, "calibration": 2}
"""The kinds of page that are looked at, and the least number of charts in each."""

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium. It has no network in any case: a request that leaves the page fails the test by its name."""
    reason = "needs playwright: pip install -e '.[browser]'"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    if CHROMIUM is None:
        pytest.skip("needs Chromium, such as Debian's package chromium, on the PATH")
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The path of a page of each kind. All but that of training have hostile text wherever text is not our own."""
    directory = tmp_path_factory.mktemp("reports")
    run = Run(directory / "run <b>")
    shutil.copytree(ROOT / "tests" / "golden" / "run", run.path)
    update_report(run, run.load_config())
    evaluation = hand_made_evaluation(first=f"narrow{HOSTILE}", tests=("flickr 2016", f"coco{HOSTILE}"))
    metrics = {f"narrow{HOSTILE}": metrics_of_a_run(36), "wide": metrics_of_a_run(42)}
    occurrences = {name: [0, 4, 22, 130, 3, 1200] for name in ("flickr 2016", f"coco{HOSTILE}")}
    about = AboutRuns(metrics, Rarest(HOSTILE, occurrences), (HOSTILE,))
    write_page(directory / "report.html", evaluation_report(evaluation, about, command=HOSTILE))
    explained = Translator.load(run.path, beam=4).explain("e e a b c", "c b a e e")
    pieces = [HOSTILE, *explained.pieces[1:]]
    explained = explained._replace(sentence=HOSTILE, pieces=pieces, target_inputs=pieces, target_pieces=pieces)
    write_page(directory / "explanation.html", explanation_page(explained))
    sweep = hand_made_sweep(run=f"runs/a{HOSTILE}", test_set=HOSTILE, penalty=HOSTILE)
    write_page(directory / "sweep.html", sweep_report(sweep))
    calibration = hand_made_calibration(system=f"runs/a{HOSTILE}", test_set=HOSTILE)
    write_page(directory / "calibration.html", calibration_report(calibration))
    return {
        "training": run.path / "report.html",
        "evaluation": directory / "report.html",
        "explanation": directory / "explanation.html",
        "sweep": directory / "sweep.html",
        "calibration": directory / "calibration.html",
    }


@pytest.fixture(params=list(CHARTS))
def kind(request):
    return request.param


def opened(browser: Any, path: Any, **options: Any) -> tuple[Any, list[str]]:
    """A page that has loaded, and everything that it has asked for or complained of."""
    page, heard = browser.new_page(**options), []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("dialog", lambda dialog: heard.append(dialog.message))
    page.on("request", lambda request: heard.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_load_state("networkidle")
    return page, heard


def width_of(page: Any) -> int:
    return page.evaluate("document.documentElement.scrollWidth")


def test_a_page_loads_nothing_else_and_is_silent(browser, reports, kind):
    page, heard = opened(browser, reports[kind], viewport=DESK)
    assert heard == [reports[kind].as_uri()]
    assert width_of(page) <= DESK["width"]
    assert page.evaluate("document.querySelectorAll('svg.chart').length") >= CHARTS[kind]
    page.close()


def test_a_page_that_asks_for_more_or_complains_would_be_noticed(browser, tmp_path):
    address = "http://reports.invalid/picture.png"
    (tmp_path / "page.html").write_text(f"<script>console.log('taken')</script><img src='{address}'>", encoding="utf-8")
    page, heard = opened(browser, tmp_path / "page.html", viewport=DESK)
    assert {address, "taken"} < set(heard)
    page.close()


def test_hostile_text_stays_text(browser, reports):
    page, heard = opened(browser, reports["evaluation"], viewport=DESK)
    assert page.evaluate("document.scripts.length + document.images.length") == 0
    assert page.title() == f"Evaluation: wide is better than narrow{HOSTILE}."
    assert f"The dog {HOSTILE} barks." in page.locator("article").first.inner_text()
    page.locator("article").first.locator(".w").last.hover()
    assert len(heard) == 1
    page.close()


@pytest.mark.parametrize("viewport", [DESK, PHONE])
def test_a_number_stays_on_one_line_beside_a_long_hypothesis(browser, reports, viewport):
    page, _ = opened(browser, reports["explanation"], viewport=viewport)
    page.locator("td[data-label=hypothesis]").first.evaluate("one => one.textContent = 'ein Wort '.repeat(200)")
    lines = (
        "one => { const all = document.createRange(); all.selectNodeContents(one);"
        " return new Set([...all.getClientRects()].map(line => line.top)).size }"
    )
    assert page.locator("td[data-label=hypothesis]").first.evaluate(lines) > 5
    assert page.locator("td[data-label=score]").first.evaluate(lines) == 1
    page.close()


def test_hostile_pieces_stay_text_in_maps_and_tables(browser, reports):
    page, heard = opened(browser, reports["explanation"], viewport=DESK)
    assert page.evaluate("document.scripts.length + document.images.length") == 0
    assert page.title() == f"Explained: {HOSTILE}"
    assert HOSTILE in page.locator(".pieces li").first.inner_text()
    assert page.locator("svg.heat path title").first.evaluate("one => one.childElementCount") == 0
    assert len(heard) == 1
    page.close()


@pytest.mark.parametrize(("kind", "title"), [("sweep", "sweep"), ("calibration", "calibration")])
def test_hostile_names_of_runs_test_sets_and_knobs_stay_text(browser, reports, kind, title):
    page, heard = opened(browser, reports[kind], viewport=DESK)
    assert page.evaluate("document.scripts.length + document.images.length") == 0
    assert page.title() == f"runs/a{HOSTILE}: {title}"
    assert HOSTILE in page.locator("h1").inner_text()
    assert HOSTILE in page.locator(".about").first.inner_text()
    if kind == "sweep":
        assert f"beam 5, penalty {HOSTILE}" in page.locator(".legend").inner_text()
        assert page.locator("tbody td", has_text=HOSTILE).count() == 6
    page.locator(".chart .dot").first.hover(force=True)
    assert len(heard) == 1
    page.close()


def test_it_is_usable_on_a_phone(browser, reports, kind):
    page, heard = opened(browser, reports[kind], viewport=PHONE, has_touch=True, is_mobile=True)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert width_of(page) <= page.evaluate("innerWidth") == PHONE["width"]
    outside = (
        "[...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1)"
    )
    assert page.evaluate(f"{outside}.map(one => one.outerHTML.slice(0, 80))") == []
    labels = page.locator("svg.chart text").first
    assert labels.evaluate("one => one.getBoundingClientRect().height") >= 9  # pixels: small, but readable
    assert len(heard) == 1
    page.close()


def test_it_is_dark_where_the_browser_is_and_white_on_paper(browser, reports, kind):
    def background(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")

    page, _ = opened(browser, reports[kind], viewport=DESK, color_scheme="dark")
    line = "getComputedStyle(document.querySelector('.chart .line.reactive')).stroke"
    assert max(background(page)) < 60
    in_the_dark = page.evaluate(line)
    page.emulate_media(color_scheme="light")
    assert min(background(page)) > 200
    assert page.evaluate(line) != in_the_dark
    page.emulate_media(media="print", color_scheme="dark")
    assert background(page) == [255, 255, 255]
    page.close()


def test_pointing_at_a_word_shows_the_source_word_that_it_is_translated_from(browser, reports):
    page, _ = opened(browser, reports["evaluation"], viewport=DESK)
    article = page.locator("article", has_text="Ein Hund läuft").first
    backgrounds = "all => all.map(one => getComputedStyle(one).backgroundColor)"
    article.locator(".a2").last.hover()
    found = article.locator("dd").first.locator(".w").evaluate_all(backgrounds)
    assert [at for at, color in enumerate(found) if color != "rgba(0, 0, 0, 0)"] == [2]
    page.close()


def test_a_name_that_a_template_does_not_know_is_an_error():
    with pytest.raises(Exception, match="'name' is undefined"):
        render("training.html")


def test_a_page_with_lone_surrogates_can_be_written(tmp_path):
    for write in (write_page, replace_page):
        write(tmp_path / "page.html", "a\ud800b")
        assert (tmp_path / "page.html").read_text(encoding="utf-8") == "a?b"

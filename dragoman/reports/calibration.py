"""The report of a calibration: what confidence is worth, for sentences and for words."""

from dragoman.evaluation.calibration import Bin, Calibration, calibration_lines
from dragoman.reports.charts import Line, line_chart
from dragoman.reports.curves import Curve
from dragoman.reports.page import render


def calibration_report(found: Calibration) -> str:
    """The page about a calibration."""
    curves = []
    if found.sentences:
        curves.append(
            Curve(
                "Sentences",
                "mean chrF by confidence, the mean probability of a token: a tenth of the sentences at each dot",
                line_chart([line("sentences", found.sentences)], x="confidence"),
            )
        )
    if found.words:
        shares = [one._replace(truth=100 * one.truth) for one in found.words]
        curves.append(
            Curve(
                "Words",
                "% of the words that the reference has, by their confidence: a tenth of the words at each dot",
                line_chart([line("words", shares)], x="confidence"),
            )
        )
    return render(
        "calibration.html", name=found.system, test_set=found.test_set, lines=calibration_lines(found), curves=curves
    )


def line(name: str, bins: list[Bin]) -> Line:
    """Bins as the points of a line."""
    return Line(name, [(one.confidence, one.truth) for one in bins])

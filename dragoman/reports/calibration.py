"""The report of a calibration: what confidence is worth, for sentences and for words."""

from typing import Any

from dragoman.evaluation.calibration import TOO_LITTLE, Bin, Calibration, words_in_words
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
    score = f"{found.score_correlation:.2f}"
    facts = [f"The score of the search, which also depends on the length, has a rank correlation of {score}."]
    facts += words_in_words(found)
    return render(
        "calibration.html",
        name=found.system,
        test_set=found.test_set,
        verdict=verdict_of(found),
        facts=facts,
        curves=curves,
        marks=marks_of(found),
    )


def verdict_of(found: Calibration) -> str:
    """What confidence is worth, in a sentence."""
    correlation = (
        f"its rank correlation with their chrF is {found.rank_correlation:.2f} (0: chance, 1: the same order)."
    )
    if found.marks is None:
        return f"{TOO_LITTLE}: {correlation}"
    return f"Confidence tells better translations from worse ones: {correlation}"


def marks_of(found: Calibration) -> list[dict[str, Any]]:
    """The rows of the table of marks; none if there are no thresholds."""
    if found.marks is None:
        return []
    good, redo = f"{found.marks.good:.3f}", f"{found.marks.redo:.3f}"
    confidence = {"good": f"{good} or more", "check": f"from {redo} to {good}", "redo": f"below {redo}"}
    total = sum(one.size for one in found.marked)
    return [
        {
            "mark": one.mark,
            "confidence": confidence[one.mark],
            "share": f"{one.size / total:.0%}",
            "chrf": "-" if one.chrf is None else f"{one.chrf:.1f}",
        }
        for one in found.marked
    ]


def line(name: str, bins: list[Bin]) -> Line:
    """Bins as the points of a line."""
    return Line(name, [(one.confidence, one.truth) for one in bins])

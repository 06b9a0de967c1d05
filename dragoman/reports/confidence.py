"""What the confidence of systems is worth on a test set: charts of chrF, and of right words, by confidence."""

from collections.abc import Sequence

import numpy as np

from dragoman.evaluation.calibration import Bin, bins_of, word_truth
from dragoman.reports.breakdown import Scored
from dragoman.reports.charts import Line, line_chart
from dragoman.reports.curves import Curve
from dragoman.translation.marks import confidence


def by_confidence(scored: Sequence[Scored]) -> list[Curve]:
    """A chart for sentences and one for words, of the systems that say how sure they are; none without such systems.

    A system is of use for marking translations where its line rises. See `dragoman evaluate --calibrate`.
    """
    sentences, words = [], []
    for one in scored:
        if (translations := one.outputs.translations) is not None:
            sure = np.array([confidence(translation) for translation in translations], np.float64)
            sentences.append(_line(one, bins_of(sure, np.array(one.scores, np.float64))))
        if one.outputs.details is not None:
            certain, is_right = word_truth(one.outputs)
            words.append(_line(one, bins_of(certain, 100.0 * is_right)))
    made = [
        ("Sentences by confidence", "mean chrF by the mean probability of a token", sentences),
        ("Words by confidence", "% of the words that the reference has, by their probability", words),
    ]
    return [
        Curve(title, f"{meaning}; as many at each dot. A line that rises is of use.", line_chart(lines, x="confidence"))
        for title, meaning, lines in made
        if lines and all(line.points for line in lines)
    ]


def _line(one: Scored, bins: Sequence[Bin]) -> Line:
    """The bins of a system as points."""
    return Line(one.outputs.system.name, [(found.confidence, found.truth) for found in bins], one.color)

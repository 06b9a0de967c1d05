"""Charts of what confidence is worth."""

import math
import re

import numpy as np
import pytest

from dragoman.evaluation.calibration import bins_of
from dragoman.reports.breakdown import Scored
from dragoman.reports.confidence import by_confidence
from dragoman.reports.evaluation import evaluation_report
from dragoman.translation.result import Translation
from tests.support.hand_made_evaluation import hand_made_evaluation

CONFIDENCES = [0.9, 0.5, 0.8, 0.1, 0.4, 0.7]


@pytest.fixture
def evaluation():
    """An evaluation whose second system says how sure it is of each sentence, token by token."""
    found = hand_made_evaluation()
    first, second, *others = found.outputs
    translations = [
        Translation(text, 5 * math.log(sure), 0.0, tokens=4, is_finished=True, parts=1)
        for text, sure in zip(second.hypotheses, CONFIDENCES, strict=True)
    ]
    return found._replace(outputs=[first, second._replace(translations=translations), *others])


def test_sentences_and_words_are_drawn_in_bins_of_confidence(evaluation):
    scored = [Scored.of(outputs, color) for color, outputs in enumerate(evaluation.outputs)]
    sentences, words = by_confidence(scored)
    bins = bins_of(np.array(CONFIDENCES), np.array(scored[1].scores))
    titles = [f"wide: confidence {one.confidence:.4g}, {one.truth:.4g}<" for one in bins]
    assert len(bins) == 6
    assert [title for title in titles if title not in sentences.chart] == []
    assert "narrow" not in sentences.chart  # its translations do not say how probable they are
    drawn = set(re.findall(r"(narrow|wide|source copied): confidence", words.chart))
    assert drawn == {"narrow", "wide"}


def test_texts_from_elsewhere_have_no_confidence(evaluation):
    assert by_confidence([Scored.of(evaluation.outputs[2], 0)]) == []
    assert by_confidence([]) == []


def test_the_report_has_the_charts_and_says_how_to_read_them(evaluation):
    page = evaluation_report(evaluation)
    assert "<h3>Sentences by confidence</h3>" in page
    assert "A line that rises is of use." in page

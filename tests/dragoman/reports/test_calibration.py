from dragoman.evaluation.calibration import Bin, Calibration
from dragoman.reports.calibration import calibration_report, marks_of
from tests.support.hand_made_evaluation import hand_made_calibration


def test_sentences_and_words_have_a_curve_each_and_text_is_escaped():
    bins = [Bin(0.1 * n, 10.0 * n, 4) for n in range(1, 9)]
    words = [Bin(0.1 * n, 0.1 * n, 4) for n in range(1, 9)]
    page = calibration_report(Calibration("runs/<b>", "validation", bins, words, 0.5, 0.4, 0.8, None, []))
    assert page.count("<svg") == 2
    assert "runs/&lt;b&gt;" in page
    assert "80% of pairs" in page
    assert "confidence 0.8, 80" in page  # a word's point is a percentage


def test_without_sentences_there_is_no_curve():
    page = calibration_report(Calibration("a", "validation", [], [], 0.0, 0.0, None, None, []))
    assert "<svg" not in page
    assert "Confidence says too little" in page


def test_each_mark_has_its_thresholds_its_share_and_its_chrf():
    found = hand_made_calibration()
    assert [tuple(row.values()) for row in marks_of(found)] == [
        ("good", "0.670 or more", "51%", "71.4"),
        ("check", "from 0.420 to 0.670", "40%", "55.0"),
        ("redo", "below 0.420", "9%", "33.1"),
    ]
    page = calibration_report(found)
    assert "better translations from worse ones: its rank correlation with their chrF is 0.61" in page
    assert "<td>from 0.420 to 0.670</td>" in page

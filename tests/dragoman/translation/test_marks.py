import math

import pytest

from data.errors import InputError
from dragoman.translation.marks import FILE, Marks, confidence
from dragoman.translation.result import BLANK, Translation

MARKS = Marks(good=0.8, redo=0.4, parameters_sha256="abc")


def translation(sure, *, tokens=4, parts=1, is_finished=True):
    log_probability = (tokens + parts) * math.log(sure)
    return Translation("x", log_probability, 0.0, tokens, is_finished, parts)


@pytest.mark.parametrize("tokens", [1, 20])
@pytest.mark.parametrize("parts", [1, 3])
def test_confidence_is_the_mean_probability_of_a_token_whatever_the_length(tokens, parts):
    assert confidence(translation(0.7, tokens=tokens, parts=parts)) == pytest.approx(0.7)
    assert confidence(BLANK) == 1


@pytest.mark.parametrize(("sure", "mark"), [(0.9, "good"), (0.6, "check"), (0.3, "redo")])
def test_the_thresholds_decide_the_mark_of_a_translation(sure, mark):
    assert MARKS.mark(translation(sure)) == mark


def test_what_is_flagged_or_cut_off_is_never_good():
    assert MARKS.mark(translation(0.9), ["loop"]) == MARKS.mark(translation(0.9, is_finished=False)) == "check"
    assert MARKS.mark(translation(0.3), ["loop"]) == "redo"


def test_thresholds_are_those_of_the_model_that_they_were_learned_for(tmp_path):
    assert Marks.load(tmp_path, "abc") is None
    MARKS.save(tmp_path)
    assert Marks.load(tmp_path, "abc") == MARKS
    assert Marks.load(tmp_path, "other") is None


@pytest.mark.parametrize("content", ["", "{}", '{"good": "x", "redo": 0, "parameters_sha256": ""}', "[1]"])
def test_a_damaged_file_is_an_error(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InputError, match=r"calibration\.json: cannot be used \(.*\): delete it, or calibrate again"):
        Marks.load(tmp_path, "abc")

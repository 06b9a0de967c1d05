import subprocess
import sys

import pytest

from data.errors import InputError
from dragoman.evaluation.metrics import METRICS

HYPOTHESES = ["Ein Mann in einem orangen Hut starrt auf etwas.", "Der Hund läuft im Gras.", "„Zwei“ Frauen lachen!"]
REFERENCES = ["Ein Mann mit einem orangen Hut, der etwas anstarrt.", "Ein Hund läuft im Gras.", '"Zwei" Frauen lachen!']


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter"])
def test_a_score_is_what_the_sacrebleu_command_prints_for_the_files(tmp_path, name):
    (tmp_path / "out").write_text("".join(line + "\n" for line in HYPOTHESES), encoding="utf-8")
    (tmp_path / "ref").write_text("".join(line + "\n" for line in REFERENCES), encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "out", "-m", name, "-b", "-w", "9"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True).stdout
    score = METRICS[name].score(HYPOTHESES, REFERENCES, "de")
    assert score.score == pytest.approx(float(printed), abs=1e-8)
    assert score.name == name
    assert "version:" in score.signature


@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_translation_has_a_perfect_score_which_is_better_than_another(name):
    score = METRICS[name].score(REFERENCES, REFERENCES, "de").score
    assert score == pytest.approx(100.0 if METRICS[name].larger_is_better else 0.0)
    worse = METRICS[name].score(HYPOTHESES, REFERENCES, "de").score
    assert METRICS[name].is_better(score, worse)
    assert not METRICS[name].is_better(worse, score)
    assert not METRICS[name].is_better(score, score)


def test_the_lower_cased_tokenised_score_forgives_case_and_quotation_marks_only():
    forgiving = METRICS["bleu_lowercased_tokenized"].score
    assert forgiving(["„ZWEI“ frauen lachen!"], ["„Zwei“ Frauen lachen!"], "de").score == pytest.approx(100.0)
    assert METRICS["bleu"].score(["„ZWEI“ frauen lachen!"], ["„Zwei“ Frauen lachen!"], "de").score < 100.0
    score = forgiving(HYPOTHESES, REFERENCES, "de")
    assert "tok:none" in score.signature
    assert "prepared:lowercase,moses-de|sacremoses:" in score.signature


def test_languages_without_spaces_are_scored_in_characters():
    score = METRICS["bleu"].score(["猫が好きです。"], ["犬が好きです。"], "ja")
    assert "tok:char" in score.signature
    assert score.score > 50
    assert "tok:zh" in METRICS["bleu"].score(["我喜欢猫。"], ["我喜欢狗。"], "zh").signature


@pytest.mark.parametrize("name", METRICS)
def test_unequal_or_empty_sets_are_rejected(name):
    with pytest.raises(InputError, match="2 translations for 3 references"):
        METRICS[name].score(HYPOTHESES[:2], REFERENCES, "de")
    with pytest.raises(InputError, match="nothing to score: the test set has no lines"):
        METRICS[name].score([], [], "de")

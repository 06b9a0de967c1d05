import subprocess
import sys

import pytest

from data.errors import InputError
from dragoman.evaluation.metrics import METRICS
from dragoman.messages import warn_once

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


CHINESE = ["一只狗在草地上跑。", "两个男人在弹吉他。"]
JAPANESE = ["犬が草の上を走っている。", "男の人がギターを弾いている。"]


@pytest.mark.parametrize(
    ("codes", "references", "tokenizer"),
    [
        ("zh zh-CN zh_Hans zho_Hans zho_Hant zh_TW cmn yue wuu nan lzh cmn_Hans zh-yue", CHINESE, "zh"),
        ("ja jpn_Jpan ja-JP", JAPANESE, "char"),
        ("th tha_Thai lo lao_Laoo my mya_Mymr km khm_Khmr bo bod_Tibt dz shn", ["สวัสดี ชาวโลก"], "char"),
        ("ko ko-KR kor_Hang", ["안녕하세요 여러분"], "char"),
        ("de de-AT en vi ar ru hi sr-Latn ko-Latn german x-letters und", REFERENCES, "13a"),
    ],
)
def test_every_form_of_a_code_has_the_tokenizer_of_its_language_and_the_signature_names_it(
    codes, references, tokenizer, capsys
):
    warn_once.cache_clear()
    for code in codes.split():
        score = METRICS["bleu"].score(references, references, code)
        assert (f"tok:{tokenizer}|" in score.signature, score.score) == (True, pytest.approx(100)), code
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("code", "references", "tokenizer"),
    [("de", CHINESE, "zh"), ("german", JAPANESE, "char"), ("x-a", ["ສະບາຍດີ"], "char"), ("ko", CHINESE, "zh")],
)
def test_references_without_spaces_are_not_scored_by_13a_whatever_the_code_and_a_warning_says_so(
    code, references, tokenizer, capsys
):
    warn_once.cache_clear()
    for name in METRICS:
        METRICS[name].score(references, references, code)
    assert f"tok:{tokenizer}|" in METRICS["bleu"].score(references, references, code).signature
    assert capsys.readouterr().err == (
        f"warning: the target language is {code}, but the references are in a script without spaces: BLEU uses the "
        f'tokenizer "{tokenizer}", and TER counts characters; see data.target_language, or --language for files\n'
    )


def test_the_script_decides_where_nobody_has_named_the_language(capsys):
    warn_once.cache_clear()
    assert "|tok:zh|" in METRICS["bleu"].score(CHINESE, CHINESE, "und").signature
    assert "warning: the target language is not known, and the references are in a script" in capsys.readouterr().err
    assert "|tok:13a|" in METRICS["bleu"].score(REFERENCES, REFERENCES, "und").signature
    assert capsys.readouterr().err == ""


def test_references_with_spaces_in_a_language_without_them_cause_a_warning(capsys):
    warn_once.cache_clear()
    assert "tok:char" in METRICS["bleu"].score(REFERENCES, REFERENCES, "ja").signature
    assert "the target language is ja, which puts no spaces between words, but the ref" in capsys.readouterr().err


@pytest.mark.parametrize("code", ["zh-CN", "ja", "de"])
def test_one_other_character_costs_a_few_points_in_every_metric(code):
    """By spaces, it would cost the whole line."""
    changed = [CHINESE[0].replace("狗", "猫"), CHINESE[1]]
    scores = {name: metric.score(changed, CHINESE, code) for name, metric in METRICS.items()}
    assert all(60 < scores[name].score < 100 for name in METRICS if name != "ter")
    assert 0 < scores["ter"].score < 10
    assert scores["ter"].score == pytest.approx(100 / len("".join(CHINESE)))
    assert scores["ter"].signature == "nrefs:1|case:lc|tok:char|space:no|shifts:no"


@pytest.mark.parametrize(
    ("code", "rules"),
    [
        ("de", "moses-de"),
        ("deu_Latn", "moses-de"),
        ("de-AT", "moses-de"),
        ("tr", "moses-tr,abbreviations-en"),
        ("german", "moses-en"),
    ],
)
def test_the_signature_says_whose_rules_moses_used(code, rules):
    signature = METRICS["bleu_lowercased_tokenized"].score(REFERENCES, REFERENCES, code).signature
    assert f"|prepared:lowercase,{rules}|sacremoses:" in signature


@pytest.mark.parametrize("name", METRICS)
def test_unequal_or_empty_sets_are_rejected(name):
    with pytest.raises(InputError, match="2 translations for 3 references"):
        METRICS[name].score(HYPOTHESES[:2], REFERENCES, "de")
    with pytest.raises(InputError, match="nothing to score: the test set has no lines"):
        METRICS[name].score([], [], "de")


def test_sacrebleu_adds_nothing_to_our_own_warning_about_tokenised_lines(caplog, capsys):
    lines = ["Ein Hund läuft ."] * 200
    plain = ["Ein Hund läuft."] * 200
    assert METRICS["bleu"].score(lines, plain, "de").score > 20
    assert (caplog.text, capsys.readouterr().err) == ("", "")

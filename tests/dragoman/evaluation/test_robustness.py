import pytest

from data.errors import InputError
from dragoman.evaluation import held_out
from dragoman.evaluation.robustness import KINDS, disturbed_set, robustness, robustness_table

LANGUAGES = ("en", "de")
SOURCES, REFERENCES = ["A dog runs.", "A cat is asleep."] * 6, ["Ein Hund läuft.", "Eine Katze schläft."] * 6
CLEAN = held_out.TestSet("test.en", SOURCES, [REFERENCES])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_translated_perfectly_has_the_scores_of_the_clean_text(kind):
    disturbed = disturbed_set(CLEAN, kind, LANGUAGES)
    assert disturbed.test_set.name == f"test.en, {kind}"
    found = robustness("a", CLEAN, disturbed, CLEAN.reference, disturbed.test_set.reference, "de")
    assert (found.system, found.test_set, found.kind) == ("a", "test.en", kind)
    assert all(score == pytest.approx(100) for score in found.disturbed.values()) or kind == "words"
    assert found.clean == ({} if kind == "words" else found.disturbed)
    assert found.lost == ([] if kind == "paragraphs" else None)
    assert found.overlong == ([] if kind == "words" else None)


def test_case_is_ignored_only_where_it_was_disturbed_and_the_signature_says_so():
    shouted = [line.upper() for line in CLEAN.reference]
    scores = {}
    for kind in ("upper", "title", "typos"):
        found = robustness("a", CLEAN, disturbed_set(CLEAN, kind, LANGUAGES), CLEAN.reference, shouted, "de")
        scores[kind] = (found.disturbed["chrf"] > 99, "prepared:lowercase" in found.signatures["chrf"])
    assert scores == {"upper": (True, True), "title": (True, True), "typos": (False, False)}


def test_lost_sentences_and_overlong_words_are_counted_in_the_table():
    paragraphs = disturbed_set(CLEAN, "paragraphs", LANGUAGES)
    cut = [line.rpartition(" Ein")[0] for line in paragraphs.test_set.reference]
    found = [robustness("a", CLEAN, paragraphs, CLEAN.reference, cut, "de")]
    words = disturbed_set(CLEAN, "words", LANGUAGES)
    long = [f"{line} und noch mehr" for line in words.test_set.reference]
    found.append(robustness("a", CLEAN, words, CLEAN.reference, long, "de"))
    header, first, second = robustness_table(found)
    assert (len(header), first[-1]) == (len(first), "4 of 12 sentences lost")
    assert (len(header), second[-1]) == (len(second), f"{len(long)} of {len(long)} longer than a word")
    assert found[0].clean["bleu"] > found[0].disturbed["bleu"]
    assert found[0].as_json()["lost"] == [number + 1 for number in found[0].lost]


def test_an_unknown_kind_is_an_error():
    with pytest.raises(InputError, match=r"--perturb: unknown kind 'case'; known are upper, .* words, paragraphs"):
        disturbed_set(CLEAN, "case", LANGUAGES)

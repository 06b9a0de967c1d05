"""A line is cleaned, split into sentences, and brought into its usual form; a clean line stays as it is."""

import pytest

from data.text.casing import shape_of, usual_form
from data.text.preparation import SourceRules, as_source, prepare, sentence_pairs, with_prefix

RULES = SourceRules(language="en", target_language="de", usual={"man": "man", "runs": "runs", "york": "York"})


def test_a_clean_sentence_is_left_alone():
    line = prepare("A man from York runs.", RULES)
    assert line.text == line.sentences[0] == "A man from York runs."
    assert not line.in_capitals


@pytest.mark.parametrize("line", ["A man runs. ", "A MAN RUNS.", "A Man Runs In York.", "man", "NATO", "!"])
def test_the_only_sentence_of_a_line_has_the_shape_of_the_line(line):
    shape = shape_of(line, "en")
    expected = line.strip() if shape == "usual" else usual_form(line, shape, RULES.usual, "en")
    assert prepare(line, RULES).sentences == (expected,)


def test_a_rough_line_becomes_sentences_in_their_usual_form():
    line = prepare(" A MAN\tRUNS.\u00a0 HE IS LATE.", RULES)
    assert line.text == "A man runs. He is late."
    assert line.sentences == ("A man runs.", "He is late.")
    assert as_source("Ein Mann.", line, RULES) == "EIN MANN."
    assert as_source("Ein Mann.", line, RULES._replace(capitals="usual")) == "EIN MANN."


def test_a_prefix_says_whether_the_translation_is_in_capitals():
    line = prepare("A MAN RUNS.", RULES)
    assert with_prefix(line, "EIN MANN", RULES) == (line, "Ein mann")
    assert with_prefix(line, "Ein Mann", RULES) == (line._replace(in_capitals=False), "Ein Mann")
    assert with_prefix(line, "", RULES) == (line, "")
    assert with_prefix(prepare("A man.", RULES), "EIN", RULES)[1] == "EIN"


def test_a_prefix_of_several_sentences_begins_the_translation_of_the_whole_line():
    line = prepare("A man runs. He is late.", RULES)
    assert with_prefix(line, "Ein Mann läuft. Er", RULES)[0].sentences == ("A man runs. He is late.",)
    assert with_prefix(line, "Ein Mann läuft.", RULES)[0] == line


def test_the_sentences_of_a_given_translation_belong_to_those_of_the_line():
    line = prepare("A man runs. He is late.", RULES)
    whole = [("A man runs. He is late.", "Ein Mann läuft.")]
    assert sentence_pairs(line, "Ein Mann läuft.", RULES) == whole
    both = [("A man runs.", "Ein Mann läuft."), ("He is late.", "Er ist spät.")]
    assert sentence_pairs(line, "Ein Mann läuft. Er ist spät.", RULES) == both
    assert sentence_pairs(prepare("", RULES), "Ja. Nein.", RULES) == [("", "Ja. Nein.")]


def test_one_sentence_in_capitals_does_not_put_the_translation_in_capitals():
    line = prepare("A man runs. THE MAN RUNS.", RULES)
    assert line.sentences == ("A man runs.", "The man runs.")
    assert as_source("Ein Mann.", line, RULES) == "Ein Mann."


@pytest.mark.parametrize("blank", ["", " ", "\t", "\u00a0 \u3000", "\u200b", "\ufeff"])
def test_a_blank_line_has_no_sentence(blank):
    assert prepare(blank, RULES).sentences == ()


def test_every_step_can_be_left_out():
    line = " A MAN\tRUNS. HE IS LATE. "
    kept = prepare(line, SourceRules(cleans=False, splits=False, capitals="keep"))
    assert kept.text == kept.sentences[0] == line
    assert prepare(line, RULES._replace(splits=False)).sentences == ("A man runs. He is late.",)
    assert prepare(line, RULES._replace(capitals="keep")).sentences == ("A MAN RUNS.", "HE IS LATE.")
    assert not prepare(line, RULES._replace(capitals="usual")).in_capitals

"""What is reported about required words."""

from dragoman.commands.terms_report import MOST_SHOWN, TermsReport, word_notes
from dragoman.translation.glossary import Term
from dragoman.translation.requirements import TermResult


def test_a_text_without_terms_has_no_report():
    report = TermsReport()
    report.add(1, ())
    assert report.lines() == []


def test_unmet_terms_are_named_with_their_lines_and_the_list_ends():
    report = TermsReport()
    report.add(1, [TermResult("a", "b", is_met=True)])
    for number in range(2, 14):
        report.add(number, [TermResult("dog", "Hund", is_met=False, problem="too odd" * (number == 2))])
    lines = report.lines()
    assert lines[0] == "terms: 1 of 13 met (7.7%)"
    assert lines[1:3] == [
        "terms: not met in line 2: 'dog' -> 'Hund' (too odd)",
        "terms: not met in line 3: 'dog' -> 'Hund'",
    ]
    assert len(lines) == 2 + MOST_SHOWN
    assert lines[-1] == "terms: 2 more are not met; --json names them line by line"


def test_words_that_have_no_effect_are_named_before_the_first_line():
    assert word_notes([], []) == []
    first, second = word_notes([Term("dog", "Köter")], [f"狗{n}" for n in range(12)])
    assert first.endswith("earlier in the glossary are not used: 'dog' -> 'Köter'")
    assert second.startswith("note: banned words that this vocabulary cannot write in any way: '狗0', '狗1', ")
    assert second.endswith("'狗9' and 2 more")

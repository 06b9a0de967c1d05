"""Terms in lines, and whether translations contain them."""

import time

import pytest

from data.errors import InputError
from dragoman.translation.glossary import Glossary, Term, has_term, read_glossary, read_words

DOG, BLACK_DOG, CAT = Term("dog", "Hund"), Term("black dog", "schwarzer Hund"), Term("cat", "Katze")


def terms_in(line: str, terms: list[Term]) -> list[Term]:
    return Glossary(terms).terms_in(line)


def test_a_line_has_a_term_as_whole_words_in_any_case_and_the_longest_of_several():
    """The first case is the example of the docstring."""
    assert terms_in("Two dogs, one black dog", [DOG, BLACK_DOG]) == [BLACK_DOG]
    assert terms_in("A black dog and a dog", [DOG, BLACK_DOG, CAT]) == [BLACK_DOG, DOG]
    assert terms_in("A black\u00a0 DOG", [DOG, BLACK_DOG, CAT]) == [BLACK_DOG]
    assert terms_in("Dog! dog?", [DOG]) == [DOG]
    assert terms_in("a hotdog concatenates", [DOG, CAT]) == []


def test_overlapping_terms_give_way_to_the_longest_wherever_they_begin():
    terms = [Term(source, source) for source in ("a b", "b c d", "d e", "e")]
    assert [term.source for term in terms_in("a b c d e", terms)] == ["b c d", "e"]


def test_of_terms_that_differ_in_case_a_line_has_the_one_in_its_own_case():
    terms = [Term("Turkey", "Türkei"), Term("turkey", "Truthahn")]
    assert terms_in("a turkey", terms) == [terms[1]]
    assert terms_in("in Turkey", terms) == terms_in("IN TURKEY", terms) == [terms[0]]


def test_words_end_at_no_combining_mark_and_composed_letters_equal_decomposed_ones():
    assert terms_in("कुत्ता", [Term("कुत", "x"), Term("कुत्ता", "Hund")]) == [Term("कुत्ता", "Hund")]
    assert terms_in("e\u0301tat", [Term("etat", "x"), Term("état", "Staat")]) == [Term("état", "Staat")]
    assert terms_in("e\u0301tat", [Term("e", "x")]) == []


def test_in_scripts_without_spaces_a_term_may_stand_anywhere():
    dog = Term("狗", "Hund")
    assert terms_in("一只狗在跑", [dog]) == [dog]
    assert terms_in("หมาวิ่ง", [Term("หมา", "Hund")]) == [Term("หมา", "Hund")]
    assert has_term("一只狗在跑", Term("dog", "狗"))
    assert not has_term("一只猫在跑", Term("dog", "狗"))


def test_twenty_thousand_terms_cost_less_than_a_second_for_a_thousand_lines():
    """Half of them begin as the lines do, so that an index by first words alone would not be enough."""
    half = 10_000
    glossary = Glossary(
        [DOG, *(Term(f"the man {n}", "x") for n in range(half)), *(Term(f"w{n}", "x") for n in range(half))]
    )
    start = time.perf_counter()
    found = [glossary.terms_in(f"the man {half + n} and a dog in the orange grass are here.") for n in range(1000)]
    assert time.perf_counter() - start < 1
    assert found == [[DOG]] * 1000


def test_a_translation_has_a_term_as_whole_words_in_the_same_case():
    """With the examples of the docstring."""
    man = Term("man", "Mann")
    assert has_term("Ein Mann läuft.", man)
    assert not has_term("Ein Kaufmann läuft.", man)
    assert not has_term("Ein Mannschaftsspiel.", man)
    assert has_term("Ein schwarzer Hund.", BLACK_DOG)
    assert not has_term("Ein schwarzer hund.", BLACK_DOG)
    assert not has_term("Herrin und Herrnobjekt", Term("man", "Herr"))
    assert has_term("Er sagt: Der Hund läuft.", Term("the", "der"))
    assert not has_term("Ein Hund, Der läuft.", Term("the", "der"))
    assert has_term("EIN MANN.", man)


def test_any_listed_form_of_a_term_will_do():
    term = Term("man", "Mann", ("Männer", "Mannes"))
    assert has_term("Zwei Männer laufen.", term)
    assert not has_term("Zwei Männern.", term)


def test_a_source_term_with_two_targets_has_the_first_and_the_other_is_named():
    other = Term("dog", "Köter")
    glossary = Glossary([DOG, other, DOG])
    assert glossary.terms_in("a dog") == [DOG]
    assert glossary.repeated == [other]


def test_a_glossary_is_read_with_blank_lines_left_out(tmp_path):
    path = tmp_path / "terms.tsv"
    path.write_text("dog\tHund\n\n black dog \t schwarzer Hund\n")
    assert read_glossary(str(path)) == [DOG, BLACK_DOG]
    assert read_words(str(path)) == ["dog\tHund", "black dog \t schwarzer Hund"]


@pytest.mark.parametrize("line", ["dog Hund", "dog\t", "\tHund", "dog\tHund\tchien", "dog\t\u200b"])
def test_a_malformed_glossary_line_is_rejected_with_its_number(tmp_path, line):
    path = tmp_path / "terms.tsv"
    path.write_text(f"dog\tHund\n{line}\n")
    with pytest.raises(InputError, match=r"terms\.tsv, line 2: expected a source term, a tab, and a target term"):
        read_glossary(str(path))


def test_further_cells_are_inflections_if_the_option_says_so(tmp_path):
    path = tmp_path / "terms.tsv"
    path.write_text("man\tHerr\tHerrn\tHerren\ndog\tHund\n")
    assert read_glossary(str(path), inflections=True) == [Term("man", "Herr", ("Herrn", "Herren")), DOG]
    with pytest.raises(InputError, match=r"line 1: .* found 4 cells: if the others are inflections .* --inflections"):
        read_glossary(str(path))

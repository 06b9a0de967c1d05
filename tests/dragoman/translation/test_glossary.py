"""Terms in lines, and all spellings of a word."""

import pytest

from data.errors import InputError
from dragoman.translation.glossary import Term, has_term, read_glossary, read_words, spellings, terms_in

DOG, BLACK_DOG, CAT = Term("dog", "Hund"), Term("black dog", "schwarzer Hund"), Term("cat", "Katze")


def test_a_line_has_a_term_as_a_whole_word_in_any_case_and_the_longest_of_several():
    """The first case is the example of the docstring."""
    assert terms_in("Two dogs, one black dog", [DOG, BLACK_DOG]) == [BLACK_DOG]
    assert terms_in("A black dog and a dog", [DOG, BLACK_DOG, CAT]) == [BLACK_DOG, DOG]
    assert terms_in("Dog! dog?", [DOG]) == [DOG]
    assert terms_in("a hotdog concatenates", [DOG, CAT]) == []
    assert has_term("Ein schwarzer Hund.", BLACK_DOG)
    assert not has_term("Ein schwarzer hund.", BLACK_DOG)


def test_a_glossary_is_read_with_blank_lines_left_out(tmp_path):
    path = tmp_path / "terms.tsv"
    path.write_text("dog\tHund\n\n black dog \t schwarzer Hund\n")
    assert read_glossary(str(path)) == [DOG, BLACK_DOG]
    assert read_words(str(path)) == ["dog\tHund", "black dog \t schwarzer Hund"]


@pytest.mark.parametrize("line", ["dog Hund", "dog\t", "\tHund", "dog\tHund\tchien"])
def test_a_malformed_glossary_line_is_rejected_with_its_number(tmp_path, line):
    path = tmp_path / "terms.tsv"
    path.write_text(f"dog\tHund\n{line}\n")
    with pytest.raises(InputError, match=r"terms\.tsv, line 2: expected a source term, a tab, and a target term"):
        read_glossary(str(path))


def test_every_spelling_of_a_word_is_found_shortest_first():
    vocabulary = {piece: place for place, piece in enumerate(["▁", "▁a", "▁ab", "a", "b", "ab", "▁c"])}
    assert spellings("ab", vocabulary) == [(2,), (0, 5), (1, 4), (0, 3, 4)]
    assert spellings("ab c", vocabulary)[0] == (2, 6)
    assert spellings("abx", vocabulary) == []

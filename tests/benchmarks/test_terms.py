"""How the benchmark of required terms shares glossaries among lines."""

from benchmarks.terms import AFTER_THE_END, groups, has_words
from dragoman.translation.glossary import Glossary, Term


def test_lines_share_a_glossary_only_if_each_then_has_its_own_terms():
    lines = ["a man and a dog", "a man", "two dogs", "the Man with a cat", "a cat"]
    terms = [[Term("man", "Mann")], [Term("man", "Herr")], [Term("dogs", "Hunde")], [Term("cat", "Katze")], []]
    found = groups(lines, terms)
    assert sorted(n for members, _ in found for n in members) == [0, 1, 2, 3, 4]
    for members, glossary in found:
        for n in members:
            assert Glossary(glossary).terms_in(lines[n]) == terms[n]
    assert len(found) < 5


def test_what_follows_the_last_full_stop_is_seen():
    assert AFTER_THE_END.search("Ein Hund. Kappe")
    assert AFTER_THE_END.search("Ein Hund Kappe")
    assert not AFTER_THE_END.search("Ein Hund.")
    assert has_words("Ein Hund.", Term("dog", "Hund"))
    assert not has_words("Ein Hundehaus.", Term("dog", "Hund"))

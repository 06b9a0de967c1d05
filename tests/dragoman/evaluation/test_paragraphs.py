import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from dragoman.evaluation.paragraphs import common_words, coverage, lost_sentences, paragraphs_of

SOURCES = ["A man.", "A dog runs.", "Hats", "A cat sleeps.", 'He says "Stop!"', "A bus."]
REFERENCES = ["Ein Mann.", "Ein Hund läuft.", "Hüte", "Eine Katze schläft.", "Er sagt „Halt!“", "Ein Bus"]


def test_paragraphs_are_made_of_consecutive_sentences():
    found = paragraphs_of(SOURCES, [REFERENCES], ("en", "de"), together=2)
    assert found.sources == ["A man. A dog runs.", 'A cat sleeps. He says "Stop!"']
    assert found.references == [["Ein Mann. Ein Hund läuft.", "Eine Katze schläft. Er sagt „Halt!“"]]
    assert found.members == [[0, 1], [3, 4]]
    assert paragraphs_of(["你好。", "再见。"], [["Hi.", "Bye."]], ("zh", "en"), together=2).sources == ["你好。再见。"]


def test_too_few_sentences_for_a_paragraph_are_an_error():
    with pytest.raises(InputError, match=r"no paragraphs: of 2 lines, 1 end with a full stop .*: a paragraph has 3"):
        paragraphs_of(["A.", "B"], [["A.", "B."]], ("en", "de"))


def test_the_words_of_each_sentence_are_found_in_order_in_one_place_only():
    assert coverage(["ein Mann.", "ein Hund läuft."], "Ein Mann.") == [1, 0]
    assert coverage(["ein Mann.", "ein Hund läuft."], "Ein Mann und ein Hund.") == pytest.approx([1, 2 / 3])
    assert coverage(["ein Mann.", "ein Mann."], "Ein Mann.") in ([1, 0], [0, 1])
    assert coverage(["我爱你。", "再见。"], "我爱你") == [1, 0]
    assert coverage(["...", "ein Mann."], "") == [1, 0]


@given(words=st.text("abc"), others=st.text("abcd"))
def test_common_words_are_a_longest_common_subsequence(words, others):
    def longest(one, other):
        if not one or not other:
            return 0
        if one[0] == other[0]:
            return 1 + longest(one[1:], other[1:])
        return max(longest(one[1:], other), longest(one, other[1:]))

    words, others = words[:7], others[:7]
    places = common_words(words, others).tolist()
    assert places == sorted(set(places))
    rest = iter(others)
    assert all(words[place] in rest for place in places)
    assert len(places) == longest(words, others)


def test_a_sentence_that_is_missing_in_the_translation_of_its_paragraph_is_counted():
    members = [[0, 1], [3, 4]]
    whole = ["Ein Mann. Ein Hund läuft.", "Eine Katze schläft. Er sagt Halt!"]
    assert lost_sentences(whole, REFERENCES, members) == []
    assert lost_sentences(["Ein Hund läuft.", "Eine Katze schläft."], REFERENCES, members) == [0, 4]
    assert lost_sentences(["", whole[1]], REFERENCES, members) == [0, 1]
    assert lost_sentences(["Ein Mann, und der Hund läuft dort.", whole[1]], REFERENCES, members) == []

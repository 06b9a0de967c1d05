import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.batch import Pair
from data.sources.corpus import Corpus
from dragoman.evaluation.training_text import remember
from dragoman.evaluation.word_f1 import BUCKETS, WordScores, bucket_of, word_buckets, word_table

TIMES = {"der": 1500, "Hund": 12, "Katze": 4, "Luchs": 1}
TRAINING = remember([Corpus("train", [Pair("", word) for word, n in TIMES.items() for _ in range(n)], None, {}, "")])


def test_words_are_counted_by_their_frequency_in_training():
    hypotheses = ["Der Hund, der Luchs!", "Der Kater"]
    references = ["Der Hund und der Hund", "Der Luchs"]
    found = {one.name: one for one in word_buckets(hypotheses, references, TRAINING)}
    assert list(found) == ["0", "1", "2-4", "5-9", "10-99", "100-999", "1000+"]
    assert found["1000+"][2:] == (3, 3, 3)  # der
    assert found["10-99"][2:] == (1, 2, 1)  # Hund
    assert found["10-99"].f1 == pytest.approx(200 / 3)
    assert found["1"][2:] == (1, 1, 0)  # Luchs, of another line
    assert found["0"][2:] == (1, 1, 0)  # Kater, und
    assert found["2-4"].f1 is None


def test_characters_without_spaces_are_words():
    training = remember([Corpus("train", [Pair("", "我爱你")], None, {}, "")])
    found = {one.name: one for one in word_buckets(["我爱他。"], ["我爱你"], training)}
    assert found["1"][2:] == (2, 3, 2)


@given(lines=st.lists(st.lists(st.sampled_from([*TIMES, "neu", ","])).map(" ".join), min_size=1))
def test_a_perfect_translation_scores_100_wherever_it_has_words(lines):
    assert all(one.f1 in (None, 100) for one in word_buckets(lines, lines, TRAINING))
    assert sum(one.reference for one in word_buckets(lines, lines, TRAINING)) == sum(
        len(line.replace(",", "").split()) for line in lines
    )


def test_every_number_of_occurrences_is_in_one_bucket():
    for times in range(1200):
        [place] = bucket_of(np.array([times]))
        least, most = BUCKETS[place]
        assert least <= times <= (times if most is None else most)


def test_the_table_has_a_column_for_each_bucket():
    scores = WordScores("a", "test", word_buckets(["der Luchs"], ["der Hund"], TRAINING))
    header, row = word_table([scores])
    assert header[3:] == [one.name for one in scores.buckets]
    assert row == ["a", "test", "", "-", "0.0", "-", "-", "0.0", "-", "100.0"]
    assert scores.as_json()["buckets"][6] == {"occurrences": "1000+", "f1": 100.0, "words": 1}

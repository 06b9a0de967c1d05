import numpy as np
import pytest

from data.batch import Pair
from data.config import DataConfig
from data.sources.corpus import Corpus, LazyPairs
from data.vocabulary.learning_text import LearningText, sample_indices
from data.vocabulary.tokenizer import learn_tokenizer


def corpora_of(*sizes):
    """Corpora of numbered pairs, read from storage as those of large files are."""
    return [
        Corpus(
            str(n),
            LazyPairs(lambda a, b, n=n: [Pair(f"s{n}.{i}", f"t{n}.{i}") for i in range(a, b)], size),
            None,
            {},
            "",
        )
        for n, size in enumerate(sizes)
    ]


@pytest.mark.parametrize(("total", "count"), [(6, 3), (1000, 7), (1000, 999), (10**12, 1000)])
def test_a_sample_has_one_index_from_each_part(total, count):
    indices = sample_indices(total, count, seed=0)
    borders = np.arange(count + 1) * total // count
    assert ((borders[:-1] <= indices) & (indices < borders[1:])).all()
    assert (indices == sample_indices(total, count, seed=0)).all()
    assert (indices != sample_indices(total, count, seed=1)).any()


@pytest.mark.parametrize("is_joint", [True, False])
def test_the_sample_is_of_whole_pairs_from_all_corpora(is_joint):
    text = LearningText(corpora_of(300, 9000), most_lines=200, is_joint=is_joint)
    sources, targets = list(text.lines(0)), list(text.lines(1))
    assert [line.replace("t", "s") for line in targets] == sources
    assert len(sources) == (100 if is_joint else 200)
    assert {line.split(".")[0] for line in sources} == {"s0", "s1"}
    assert text.notes() == [f"vocabulary: learned from {len(sources)} of 9300 pairs, drawn at random"]


@pytest.mark.parametrize("most_lines", [0, 40])
def test_all_lines_are_taken_up_to_the_limit(most_lines):
    text = LearningText(corpora_of(10, 10), most_lines=most_lines, is_joint=True)
    assert list(text.lines(1)) == [f"t{n}.{i}" for n in (0, 1) for i in range(10)]
    assert text.notes() == []


def test_lines_that_sentencepiece_leaves_out_change_nothing_and_are_counted():
    pairs = [Pair("ein Hund läuft", "a dog runs")] * 5
    odd = [Pair("x" * 65537, "a b"), Pair("ä" * 32769, "a\0c"), Pair("\u2585", "z" * 65536)]
    config, notes = DataConfig(vocabulary_size=290), []
    learn_tokenizer(config, [Corpus("odd", pairs + odd[:2], None, {}, "")], note=notes.append)
    assert notes == [
        "vocabulary: 2 lines left out, longer than 65536 bytes",
        "vocabulary: 1 lines left out, with a NUL character",
    ]
    clean = [Corpus("clean", pairs, None, {}, "")]
    mixed = [Corpus("mixed", [*pairs, Pair("x" * 65537, "\u2585"), Pair("a\0", "\u2585b")], None, {}, "")]
    assert learn_tokenizer(config, clean).sha256 == learn_tokenizer(config, mixed).sha256

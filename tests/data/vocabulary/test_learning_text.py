import numpy as np
import pytest

from data.batch import Pair
from data.config import DataConfig
from data.errors import InputError
from data.sources.corpus import Corpus, LazyPairs
from data.vocabulary.learning_text import LearningText, check_memory, sample_indices, why_unusable
from data.vocabulary.pieces import escape
from data.vocabulary.tokenizer import Tokenizer, _learn, learn_tokenizer


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


@pytest.mark.parametrize("subword_model", ["bpe", "unigram"])
def test_what_is_learned_is_what_sentencepiece_learns_from_all_lines(subword_model):
    """It leaves out long lines and those with U+2585, and so do we, who count them; it learns from those with NUL."""
    usual, word = "ein Hund läuft", "qzqzq wkwkw qzqzq wkwkw"
    lines = [usual, f"{word} \0", f"{word} \u2585", word + "x" * 65536, word + "ä" * 32769] * 20
    config, notes = DataConfig(vocabulary_size=276, subword_model=subword_model), []
    found = learn_tokenizer(config, [Corpus("", [Pair(line, line) for line in lines], None, {}, "")], note=notes.append)
    assert notes == [
        "vocabulary: 40 lines left out, with the character U+2585",
        "vocabulary: 80 lines left out, longer than 65536 bytes",
    ]
    assert found.sha256 == Tokenizer([_learn(config, map(escape, lines * 2))]).sha256


@pytest.mark.parametrize(("line", "is_used"), [("\0", True), ("\u2585", False), ("x" * 65536, False)])
def test_only_lines_that_teach_sentencepiece_nothing_are_left_out(line, is_used):
    config, word = DataConfig(vocabulary_size=284), "qzqzq wkwkw"
    usual = ["ein Hund läuft durch den Wald"] * 9
    model = _learn(config, iter([*usual, *[f"{word} {line}"] * 50]))
    assert (Tokenizer([model]).sha256 != Tokenizer([_learn(config, iter(usual))]).sha256) == is_used
    assert bool(why_unusable(f"{word} {line}")) == (not is_used)


def test_the_smallest_limit_still_has_a_pair():
    assert len(list(LearningText(corpora_of(10), most_lines=1, is_joint=True).lines(0))) == 1


def text_of(*lines, most_lines=0, is_joint=True):
    pairs = [Pair(line, 3 * line) for line in lines]
    return LearningText([Corpus("", pairs, None, {}, "")], most_lines=most_lines, is_joint=is_joint)


def test_the_size_of_a_text_is_its_lines_and_their_mean_length():
    lines = ["x" * 10, "x" * 30]
    assert text_of(*lines).size() == (4, 40)
    assert text_of(*lines, is_joint=False).size() == (2, 60)
    assert text_of(*lines * 10, most_lines=6).size()[0] == 6
    assert text_of().size() == (0, 0)


@pytest.mark.parametrize(
    ("subword_model", "available", "fitting", "other"),
    [("bpe", 10**6, 5263, ""), ("unigram", 10**6, 2272, ", or data.subword_model to bpe")],
)
def test_learning_that_does_not_fit_into_memory_is_refused_with_a_number_of_lines_that_does(
    subword_model, available, fitting, other
):
    """A line of 10 characters and one of 30 take 130 + 3 * 20 bytes each on average, or 22 * 20."""
    config, text = DataConfig(subword_model=subword_model), text_of(*["x" * 10] * 8000)
    with pytest.raises(InputError) as caught:
        check_memory(config, text, available=available)
    assert str(caught.value).endswith(f"0.0 GB are free: set data.vocabulary_lines to {fitting} or less{other}")
    check_memory(config, text_of(*["x" * 10] * 8000, most_lines=fitting), available=available)

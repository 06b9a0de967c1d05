import numpy as np

from data.batch import Pair
from data.batching import chosen
from data.batching.chosen import choose, split
from data.config import DataConfig
from data.sources.corpus import Corpus

PAIRS = [Pair("a", "b"), Pair("c", "d"), Pair("a", "b"), Pair("a", "d"), Pair("c", "d"), Pair("e", "f")]
CORPORA = [Corpus("one", PAIRS[:2], 1.0, {}, "1"), Corpus("two", PAIRS[2:], 2.0, {}, "2")]
STARTS = np.array([0, 2, 6])


def test_all_pairs_are_chosen_or_the_first_of_equal_ones_and_split_by_corpus(tmp_path, monkeypatch):
    config = DataConfig(cache=str(tmp_path))
    everything = choose(CORPORA, config)
    assert everything[:].tolist() == [0, 1, 2, 3, 4, 5]
    assert everything[2:4].tolist() == everything[np.array([2, 3])].tolist() == [2, 3]
    assert [part[:].tolist() for part in split(everything, STARTS)] == [[0, 1], [2, 3, 4, 5]]
    config = config.model_copy(update={"drop_duplicates": True})
    distinct = choose(CORPORA, config)
    assert distinct.tolist() == [0, 1, 3, 5]
    assert [part.tolist() for part in split(distinct, STARTS)] == [[0, 1], [3, 5]]
    monkeypatch.setattr(chosen, "first_occurrences", None)
    assert choose(CORPORA, config).tolist() == [0, 1, 3, 5]  # found once

import numpy as np

from data.batch import Pair
from data.batching.filters import first_occurrences, keep_pairs
from data.config import DataConfig


def test_filters_count_what_they_drop():
    sizes = np.array([(3, 3), (1, 3), (3, 1), (5, 3), (3, 5), (4, 2), (1, 9)])
    kept, dropped = keep_pairs(sizes, DataConfig(maximum_tokens=4, maximum_side_ratio=1.5))
    assert kept.tolist() == [0]
    assert dropped == {"empty side": 3, "too long": 2, "unbalanced": 1}
    assert keep_pairs(sizes, DataConfig(maximum_tokens=4))[0].tolist() == [0, 5]


def test_the_first_of_equal_pairs_stays():
    pairs = [Pair("a", "b"), Pair("c", "d"), Pair("a", "b"), Pair("a", "d")]
    assert first_occurrences(pairs).tolist() == [0, 1, 3]
    assert first_occurrences([]).tolist() == []

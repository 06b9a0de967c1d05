import random

import numpy as np

from data.vocabulary.pair_table import ABSENT, PairTable


def test_a_table_finds_what_a_dict_does():
    chooser = random.Random(1)
    for size in (0, 1, 30, 5000):
        pairs = [(chooser.randrange(300), chooser.randrange(100_000)) for _ in range(size)]
        values = {pair: place for place, pair in enumerate(pairs)}
        asked = pairs + [(right % 300, left) for left, right in pairs] + [(0, 0), (2**30, 2**30)]
        left, right = np.array(asked, np.int32).T
        assert PairTable(values).find(left, right).tolist() == [values.get(pair, ABSENT) for pair in asked]
    assert PairTable({(1, 2): 3}).find(np.zeros(0, np.int32), np.zeros(0, np.int64)).tolist() == []

import numpy as np

from dragoman.preparation.lengths import LONGEST, Lengths


def test_percentiles_are_those_of_the_sorted_lengths():
    lengths = Lengths()
    lengths.add(np.array([9, 1]))
    lengths.add(np.array([2, LONGEST + 7]))
    assert [lengths.percentile(share) for share in (0.25, 0.5, 0.75, 1.0)] == [1, 2, 9, LONGEST]
    assert lengths.as_json()["tokens"] == 12 + LONGEST + 7
    assert Lengths().as_json() == {"tokens": 0, "mean": 0.0, "median": 0, "p90": 0, "p99": 0, "longest": 0}

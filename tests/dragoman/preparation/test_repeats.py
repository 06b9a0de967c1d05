from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data.batch import Pair
from dragoman.preparation import repeats
from dragoman.preparation.repeats import HeldOut, Repeats


@given(parts=st.lists(st.lists(st.integers(-3, 9))))
def test_repeats_are_counted_as_a_counter_does(parts):
    found = Repeats(100)
    for part in parts:
        found.add(np.array(part, np.int64))
    counts = Counter(number for part in parts for number in part)
    counted = found.counted()
    assert counted.repeats == sum(counts.values()) - len(counts)
    numbers = np.arange(-5, 12)
    assert counted.times(numbers).tolist() == [counts[n] if counts[n] > 1 else 0 for n in numbers.tolist()]


def test_of_a_very_large_text_a_share_stands_for_all(monkeypatch):
    monkeypatch.setattr(repeats, "MOST", 1000)
    found = Repeats(20_000)
    hashes = np.random.default_rng(0).integers(-(2**62), 2**62, 10_000)
    found.add(hashes)
    found.add(hashes)  # every text occurs twice
    assert found.every == 20
    assert abs(found.counted().repeats - 10_000) < 1500


def test_overlap_ignores_case_and_white_space_only():
    held_out = HeldOut([Pair("A dog.", "Ein Hund."), Pair("A cat.", "Eine Katze."), Pair("A dog.", "Der Hund.")])
    held_out.add(["a dog.", "a cat"], ["ein hund.", "eine katze."])
    found = held_out.as_json()
    counts = [found[f"{what}_in_training"] for what in ("sources", "targets", "pairs")]
    assert (found["pairs"], counts) == (3, [2, 2, 1])
    assert found["examples"] == [{"source": "A dog.", "target": "Ein Hund."}]

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.evaluation.line_order import Shift, are_shuffled, find_shift, largest_sum

WORDS = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("a", "ei", "o", "u")]


def text(lines, *, seed=1):
    """Lines of 3 to 20 words."""
    chooser = random.Random(seed)
    return [" ".join(chooser.choices(WORDS, k=chooser.randint(3, 20))) for _ in range(lines)]


REFERENCES = text(200)


def badly(lines, *, share=0.3, seed=2):
    """The lines with so many of their words kept, and the others replaced."""
    chooser = random.Random(seed)
    return [
        " ".join(word if chooser.random() < share else chooser.choice(WORDS) for word in line.split()) for line in lines
    ]


@given(numbers=st.lists(st.integers(-5, 5), max_size=12))
def test_the_stretch_with_the_largest_sum_is_found(numbers):
    first, end = largest_sum(np.array(numbers, np.float64))
    sums = [sum(numbers[one:other]) for one in range(len(numbers)) for other in range(one, len(numbers) + 1)]
    assert sum(numbers[first:end]) == max([0, *sums])


def test_a_lost_line_and_one_too_many_shift_what_follows():
    bad = badly(REFERENCES)
    assert find_shift(bad, REFERENCES) is None
    lost = find_shift([*bad[:80], *bad[81:], "end"], REFERENCES)
    assert (lost.by, lost.end) == (1, 199)
    assert abs(lost.first - 80) <= 1
    more = find_shift([*bad[:150], "new", "and new", *bad[150:198]], REFERENCES)
    assert (more.by, abs(more.first - 152) <= 2, more.end) == (-2, True, 200)
    assert find_shift([*REFERENCES[1:], ""], REFERENCES) == Shift(0, 199, 1)


@pytest.mark.parametrize("seed", range(5))
def test_a_shuffled_text_is_found_and_a_bad_translation_is_none(seed):
    bad = badly(REFERENCES, seed=seed)
    assert not are_shuffled(bad, REFERENCES)
    assert not are_shuffled([line.upper() for line in badly(REFERENCES, share=0.02, seed=seed)], REFERENCES)
    random.Random(seed).shuffle(bad)
    assert are_shuffled(bad, REFERENCES)
    assert find_shift(bad, REFERENCES) is None


def test_of_few_lines_and_of_equal_ones_nothing_is_said():
    assert find_shift(REFERENCES[1:6], REFERENCES[:5]) is None
    assert not are_shuffled(REFERENCES[10:19], REFERENCES[:9])
    assert not are_shuffled(["always this"] * 200, REFERENCES)

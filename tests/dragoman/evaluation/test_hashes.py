import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dragoman.evaluation import hashes
from dragoman.evaluation.hashes import Counts, Sample, distinct, gram_hashes, is_in, line_hashes
from tests.support.paths import ROOT


def grams(*lines):
    """The hashes of each line's runs of words."""
    found = gram_hashes([line.split() for line in lines])
    return [set(found.hashes[found.lines == number].tolist()) for number in range(len(lines))]


def words(first, last):
    return " ".join(f"w{number}" for number in range(first, last))


def test_hashes_are_the_same_in_every_process():
    program = (
        "from dragoman.evaluation.hashes import *; print(line_hashes(['A  dog']), gram_hashes([['a'] * 13]).hashes)"
    )
    shown = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.split("\n")[0] == f"{line_hashes(['a dog '])} {gram_hashes([['a'] * 13]).hashes}"


def test_every_run_of_13_words_within_a_line_has_a_hash_and_no_run_across_lines():
    short, long, part, other = grams(words(0, 12), words(0, 20), words(5, 18), words(20, 33))
    assert (len(short), len(long), len(part), len(other)) == (0, 8, 1, 1)
    assert part < long
    assert not other & long
    assert grams(words(0, 20), words(0, 13)) == [long, grams(words(0, 13))[0]]


def test_the_order_of_words_matters():
    assert len(set.union(*grams(words(0, 13), " ".join(words(0, 13).split()[::-1])))) == 2


def test_characters_without_spaces_are_compared_in_longer_runs():
    text = "".join(chr(0x4E00 + number) for number in range(40))
    found = gram_hashes([list(text[:31]), list(text[:32]), list(text)])
    assert np.bincount(found.lines, minlength=3).tolist() == [0, 1, 9]


@given(parts=st.lists(st.lists(st.integers(0, 40))), most=st.integers(1, 50))
def test_a_sample_has_all_hashes_up_to_a_limit_and_beyond_it_those_divisible_by_a_number(parts, most):
    sample = Sample(most)
    for part in parts:
        sample.add(np.array(part, np.uint64))
    everything = {number for part in parts for number in part}
    found = sample.hashes()
    assert found.tolist() == sorted(number for number in everything if number % sample.every == 0)
    assert len(found) <= most
    assert sample.every == 1 or len(everything) > most


@given(parts=st.lists(st.lists(st.integers(0, 9))))
def test_occurrences_are_counted_whatever_the_parts(parts):
    counts = Counts(10)
    for part in parts:
        counts.add(np.array(part, np.uint64))
    found = dict(zip(*(array.tolist() for array in counts.counted()), strict=True))
    together = [number for part in parts for number in part]
    assert found == {number: together.count(number) for number in together}


def test_the_rarest_of_too_many_words_are_forgotten():
    counts = Counts(2)
    counts.add(np.array([5, 5, 7, 7, 7, 9], np.uint64))
    assert [array.tolist() for array in counts.counted()] == [[5, 7], [2, 3]]


@given(known=st.lists(st.integers(0, 20)), asked=st.lists(st.integers(0, 25)))
def test_hashes_are_found_among_others(known, asked):
    found = is_in(np.array(asked, np.uint64), distinct(np.array(known, np.uint64)))
    assert found.tolist() == [number in known for number in asked]


def test_case_and_white_space_do_not_count_in_a_line():
    assert hashes.plain(" A\tDOG  runs") == "a dog runs"
    assert len(set(line_hashes(["A dog.", " a  DOG.", "a dog"]).tolist())) == 2

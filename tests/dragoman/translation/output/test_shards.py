"""The parts of a text contain each line once, in the order of their file names."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from dragoman.translation.output.shards import Shard, choose_shard, parse_shard


@given(st.integers(0, 1000), st.integers(1, 40))
def test_parts_are_the_whole_and_equal_to_one_line(total, count):
    parts = [Shard(index, count).lines(total, name="text") for index in range(1, count + 1)]
    assert [line for part in parts for line in part] == list(range(total))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_ten_lines_are_divided_into_parts_of_three_three_and_four():
    assert [Shard(i, 3).lines(10, name="text") for i in (1, 2, 3)] == [range(0, 3), range(3, 6), range(6, 10)]


def test_files_of_parts_sort_as_the_parts_do():
    assert [str(Shard(2, n).path(Path("a/out.txt"))) for n in (4, 12)] == [
        "a/out.txt.2-of-4",
        "a/out.txt.02-of-12",
    ]
    paths = [Shard(index, 120).path(Path("out")).name for index in range(1, 121)]
    assert paths == sorted(paths)
    assert Shard(1, 1).path(Path("out")) == Path("out")


def test_a_text_of_unknown_length_has_no_parts():
    assert Shard(1, 1).lines(None, name="text") == range(sys.maxsize)
    with pytest.raises(
        InputError, match="text: can be read only once, so part 2/3 cannot be found: write it to a file"
    ):
        Shard(2, 3).lines(None, name="text")


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "-1/4", "1/0", "1 / 4", "a/b", "1/4/2", "١/٤"])
def test_a_malformed_shard_is_rejected(text):
    with pytest.raises(InputError, match="expected a part and the number of parts, 1/4 to 4/4"):
        parse_shard(text)


def test_the_processes_of_a_job_divide_the_lines_unless_a_shard_is_given():
    job = {"processes": 3, "has_files": True}
    assert [choose_shard(None, process=process, **job) for process in range(3)] == [Shard(i, 3) for i in (1, 2, 3)]
    assert choose_shard("2/4", process=0, processes=1, has_files=True) == Shard(2, 4)
    assert choose_shard(None, process=0, processes=1, has_files=False) == Shard(1, 1)
    with pytest.raises(InputError, match=r"--shard 2/4 in a job of 3 processes, .*, or give --processes 1 too"):
        choose_shard("2/4", process=0, **job)
    with pytest.raises(InputError, match="a job of 3 processes needs --input FILE and --output FILE"):
        choose_shard(None, process=0, processes=3, has_files=False)

import numpy as np
import pytest

from dragoman.preparation.oddities import in_other_script, of_odd_ratio


@pytest.mark.parametrize(
    ("language", "good", "odd"),
    [
        ("de", ["Größe 12", "123 !", "iPhone für Жан"], ["собака спит", "你好"]),
        ("zh", ["我买了iPhone", "你好。"], ["hello there", "ありがとう"]),
        ("ja", ["ありがとう", "東京タワー"], ["thanks", "고맙습니다"]),
        ("ru", ["собака спит", "чай Lipton здесь"], ["the dog sleeps"]),
        ("qaa", ["anything", "собака"], []),
    ],
)
def test_lines_mostly_in_another_script_are_odd(language, good, odd):
    assert in_other_script([*good, *odd], language) == [*range(len(good), len(good) + len(odd))]


def test_a_ratio_is_odd_compared_with_that_of_the_text():
    """Here targets usually have twice as many tokens; short pairs may differ."""
    usual = [[n, 2 * n] for n in range(5, 50)]
    assert of_odd_ratio(np.array([*usual, [40, 40], [2, 9], [10, 80], [80, 10]])).tolist() == [47, 48]
    assert of_odd_ratio(np.zeros((0, 2), np.int64)).tolist() == []

"""Pre-trained word vectors in the text format of word2vec."""

import re

import numpy as np
import pytest

from data.errors import InputError
from data.vocabulary.vectors import read_vectors

PIECES = ["<pad>", "\u2581the", "s", "\u2581of", "the"]


def write(path, text: str):
    path.write_bytes(text.encode())
    return path


def test_pieces_that_start_a_word_take_its_vector_and_others_match_exactly(tmp_path):
    ids, vectors = read_vectors(write(tmp_path / "v", "3 2\nthe 1 2\nof 3 4\nrare 5 6\n"), PIECES, width=2)
    assert ids.tolist() == [1, 3]
    np.testing.assert_array_equal(vectors, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the 1 2\n", "the first line must be two numbers, words and width"),
        ("1 3\nthe 1 2 3\n", "word vectors have width 3, but model.width is 2"),
        ("1 2\nthe 1\n", "line 2: expected 2 finite numbers, found 1"),
        ("1 2\nthe 1 nan\n", "line 2: expected 2 finite numbers"),
        ("1 2\nthe 1 x\n", "line 2: could not convert string to float"),
        ("1 2\nother 1 2\n", "no word vector matches any of the 5 pieces"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=re.escape(message)) as error:
        read_vectors(write(tmp_path / "v", text), PIECES, width=2)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_one_that_is_not_utf_8_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read word vectors: No such file"):
        read_vectors(tmp_path / "missing", PIECES, width=2)
    (tmp_path / "v").write_bytes(b"1 2\n\xff 1 2\n")
    with pytest.raises(InputError, match="word vectors are not UTF-8"):
        read_vectors(tmp_path / "v", PIECES, width=2)

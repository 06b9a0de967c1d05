"""Pre-trained word vectors in the text format of word2vec, for the pieces of a vocabulary."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from data.errors import InputError
from data.vocabulary.pieces import SPACE


def read_vectors(
    path: str | Path, pieces: Sequence[str], *, width: int
) -> tuple[Int[np.ndarray, " found"], Float[np.ndarray, "found {width}"]]:
    """The ids of the pieces that have a vector in the file, ascending, and their vectors.

    The file's first line is `words width`; each other line is a word and its numbers. A piece that starts a word takes
    that word's vector; other pieces match literally. Raises InputError for a malformed line or a different width.

        pieces ["▁the", "s"], file "2 3\\nthe 1 2 3\\nof 4 5 6"  ->  ids [0], vectors [[1, 2, 3]]
    """
    wanted = {piece.removeprefix(SPACE): number for number, piece in reversed(list(enumerate(pieces)))}
    found: dict[int, np.ndarray] = {}
    try:
        with open(path, "rb") as file:
            _check_width(path, file.readline(), width)
            for number, line in enumerate(file, start=2):
                word, *numbers = line.decode("utf-8").rstrip("\n").rstrip(" ").split(" ")
                if word in wanted:
                    found[wanted[word]] = _vector(path, number, numbers, width)
    except OSError as error:
        raise InputError(f"{path}: cannot read word vectors: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: word vectors are not UTF-8: {error.reason}") from error
    if not found:
        raise InputError(f"{path}: no word vector matches any of the {len(pieces)} pieces of the vocabulary")
    ids = sorted(found)
    if np.std([found[i] for i in ids]) == 0:
        raise InputError(f"{path}: all numbers of the word vectors found are equal: nothing to start from")
    return np.array(ids), np.stack([found[i] for i in ids])


def _check_width(path: str | Path, header: bytes, width: int) -> None:
    fields = header.split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        raise InputError(f"{path}: the first line must be two numbers, words and width, as word2vec writes them")
    if int(fields[1]) != width:
        raise InputError(f"{path}: word vectors have width {int(fields[1])}, but model.width is {width}")


def _vector(path: str | Path, number: int, fields: list[str], width: int) -> np.ndarray:
    try:
        vector = np.array([float(field) for field in fields], np.float32)
    except ValueError as error:
        raise InputError(f"{path}, line {number}: {error}") from error
    if len(vector) != width or not np.isfinite(vector).all():
        raise InputError(f"{path}, line {number}: expected {width} finite numbers, found {len(vector)}")
    return vector

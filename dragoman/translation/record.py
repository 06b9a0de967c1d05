"""The details of a translation, and its JSON record."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from data.text.scripts import split_words
from data.vocabulary.pieces import END
from dragoman.translation.alignment import Link, align_words, word_confidences, word_of_each_piece


class Part(NamedTuple):
    """The result of one search: a whole line, or a part of a line that is too long for one search."""

    source_pieces: Sequence[str]  # with </s>
    pieces: Sequence[str]  # of the output, with </s> unless the length limit came first
    log_probabilities: Sequence[float] | Float[np.ndarray, " T"]  # of each piece of the output
    attention: Float[np.ndarray, "T S"]  # to the source, at the step that predicts each piece of the output


class Details(NamedTuple):
    """A translation, piece by piece and word by word."""

    pieces: list[str]
    piece_log_probabilities: list[float]
    words: list[str]
    confidences: list[float]
    alignment: list[Link]


def details_of(
    source_words: Sequence[str], target_words: Sequence[str], parts: Sequence[Part], *, shift: int = 0
) -> Details:
    """The details of a line's translation from its parts, in order. No parts give empty lists.

    The words are those that the pieces of the line and of its translation spell: `Tokenizer.source_words(line)` and
    `Tokenizer.target_words(text)`. A word may begin in one part and end in the next, because some languages put no
    space between parts; it is aligned by the first. For `shift`, see `align_words`.
    """
    sources = [without_end(part.source_pieces) for part in parts]
    outputs = [without_end(part.pieces) for part in parts]
    source_owners = word_of_each_piece([piece for source in sources for piece in source], source_words)
    owners = word_of_each_piece([piece for output in outputs for piece in output], target_words)
    links: dict[int, int] = {}
    for part, source, output in zip(parts, split_at(source_owners, sources), split_at(owners, outputs), strict=True):
        for source_word, target_word in align_words(part.attention, source, output, shift=shift):
            links.setdefault(target_word, source_word)
    scores = [[float(score) for score in part.log_probabilities] for part in parts]
    without_ends = [score for own, output in zip(scores, outputs, strict=True) for score in own[: len(output)]]
    return Details(
        pieces=[piece for part in parts for piece in part.pieces],
        piece_log_probabilities=[score for own in scores for score in own],
        words=list(target_words),
        confidences=word_confidences(without_ends, owners, len(target_words)),
        alignment=[(source_word, target_word) for target_word, source_word in links.items()],
    )


def split_at(owners: Sequence[int], rows: Sequence[Sequence[str]]) -> list[Sequence[int]]:
    """The owners of the pieces of each row: [0, 0, 1], [[a, b], [c]] -> [[0, 0], [1]]. No owners stay none."""
    ends = np.cumsum([0, *map(len, rows)])
    return [owners[start:end] for start, end in pairwise(ends)]


def without_end(pieces: Sequence[str]) -> Sequence[str]:
    """The pieces before </s>."""
    return pieces[:-1] if pieces and pieces[-1] == END else pieces


def translation_record(
    text: str, details: Details, *, log_probability: float, score: float, flags: Sequence[str]
) -> dict[str, Any]:
    """One translation as a dict for JSON.

    text                      the translation, on one line
    log_probability           natural logarithm of the probability that the model gives it, </s> included; of a
                              line translated in parts, the sum over its parts
    score                     what hypotheses are ranked by: log_probability divided by the length penalty
    pieces                    the output in SentencePiece pieces, with </s> at the end of each finished part
    piece_log_probabilities   of each piece, given the source and the pieces before it, by forced decoding; they
                              add up to log_probability, except for rounding
    words                     {"word", "confidence"} for each word of the text: split at white space, and in
                              scripts without spaces, such as Chinese, each character is a word. The
                              confidence is the probability, from 0 to 1, of all the word's pieces, given the
                              source and the words before it
    alignment                 [source word, word of the text] for each word of the text, both counted from 0: the
                              source word that the model attends to most
    flags                     names of the guard's checks that found a problem; usually empty
    """
    return {
        "text": text,
        "log_probability": log_probability,
        "score": score,
        "pieces": details.pieces,
        "piece_log_probabilities": details.piece_log_probabilities,
        "words": [
            {"word": word, "confidence": confidence}
            for word, confidence in zip(split_words(text), details.confidences, strict=True)
        ],
        "alignment": [list(link) for link in details.alignment],
        "flags": list(flags),
    }

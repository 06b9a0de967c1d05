"""The details of a translation, and its JSON record."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from data.vocabulary.pieces import END
from dragoman.translation.alignment import Link, align_words, word_confidences, word_of_each_piece


class Part(NamedTuple):
    """The result of one search: a whole line, or a part of a line that is too long for one search."""

    source_pieces: Sequence[str]  # with </s>
    pieces: Sequence[str]  # of the output, with </s> unless the length limit came first
    words: Sequence[str]  # of the output: `words_of(pieces)`, or `Tokenizer.target_words` of a given translation
    log_probabilities: Sequence[float] | Float[np.ndarray, " T"]  # of each piece of the output
    attention: Float[np.ndarray, "T S"]  # to the source, at the step that predicts each piece of the output


class Details(NamedTuple):
    """A translation, piece by piece and word by word."""

    pieces: list[str]
    piece_log_probabilities: list[float]
    words: list[str]
    confidences: list[float]
    alignment: list[Link]


def details_of(source_words: Sequence[str], parts: Sequence[Part], *, shift: int = 0) -> Details:
    """The details of a line's translation from its parts, in order. No parts give empty lists.

    `source_words` are the words that the line's pieces spell: `Tokenizer.source_words(line)`. For `shift`, see
    `align_words`.
    """
    bodies = [without_end(part.source_pieces) for part in parts]
    owners = word_of_each_piece([piece for body in bodies for piece in body], source_words)
    result = Details([], [], [], [], [])
    start = 0
    for part, body in zip(parts, bodies, strict=True):
        output = without_end(part.pieces)
        output_words = word_of_each_piece(output, part.words)
        links = align_words(part.attention, owners[start : start + len(body)], output_words, shift=shift)
        result.alignment.extend((source, target + len(result.words)) for source, target in links)
        result.pieces.extend(part.pieces)
        result.piece_log_probabilities.extend(float(number) for number in part.log_probabilities)
        result.confidences.extend(word_confidences(part.log_probabilities, output_words, len(part.words)))
        result.words.extend(part.words)
        start += len(body)
    return result


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
    words                     {"word", "confidence"} for each word of the text, split at white space. The
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
            for word, confidence in zip(text.split(), details.confidences, strict=True)
        ],
        "alignment": [list(link) for link in details.alignment],
        "flags": list(flags),
    }

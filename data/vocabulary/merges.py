"""The merges with which byte-pair encoding made a piece."""

from itertools import pairwise
from typing import Any

Merge = tuple[str, str]


def merges_of(processor: Any, id_: int) -> list[Merge]:
    """The merges that make a piece of its characters, in order. None for a piece that is not made of merges.

    Those are single characters, bytes, control pieces, and all pieces of a unigram vocabulary, whose scores are
    log-probabilities instead of the ranks of merges.

        "▁ein"  ->  ("e", "in") after ("i", "n"), then ("▁", "ein"): whichever pair has the best rank comes first
    """
    if processor.is_byte(id_) or processor.is_control(id_) or processor.is_unknown(id_):
        return []
    symbols, found = list(processor.id_to_piece(id_)), []
    while len(symbols) > 1:
        ranks = [rank_of(processor, left + right) for left, right in pairwise(symbols)]
        best = max(ranks)
        if best == float("-inf"):
            return []
        at = ranks.index(best)
        found.append((symbols[at], symbols[at + 1]))
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
    return found


def rank_of(processor: Any, piece: str) -> float:
    """The score of a piece that is a merge, larger is earlier; minus infinity for any other."""
    id_ = processor.piece_to_id(piece)
    score: float = processor.get_score(id_)
    return score if processor.id_to_piece(id_) == piece and score == int(score) else float("-inf")

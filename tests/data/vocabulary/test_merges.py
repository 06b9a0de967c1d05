"""The merges of a piece lead from its characters to the piece, the best rank first."""

from data.vocabulary.tokenizer import Tokenizer
from tests.support.paths import ROOT


def test_merges_start_from_characters_and_end_in_the_piece():
    tokenizer = Tokenizer.load(ROOT / "tests" / "golden" / "run")
    ids = range(tokenizer.source_size)
    for piece, merges in zip(tokenizer.source_vocabulary(), tokenizer.source_merges(ids), strict=True):
        if len(piece) == 1 or piece.startswith("<"):
            assert merges == []
        else:
            assert len(merges) == len(piece) - 1
            assert "".join(merges[-1]) == piece

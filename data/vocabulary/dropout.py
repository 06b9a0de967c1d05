"""BPE-dropout (Provilkov et al. 2020, algorithm 1), for many words at once.

In each step, of all neighbours that the vocabulary can merge, each is left out with probability `rate`, and of the
others those with the best score are merged; if all are left out, the word is finished. So the best ones are merged or,
with that probability, skipped for the next best, and after a merge, those that were skipped may be merged again. How
many are merged before one is skipped has a geometric distribution: a word takes one random number, and one more for
each time that some are skipped.

SentencePiece's own BPE-dropout never comes back to what it has skipped, and cuts about twice as much at the same rate.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from data.random_numbers import BITS, Keys, numbers
from data.tokens.ragged import Ragged, by_length, concatenate, nested, ranges, starts_of
from data.vocabulary.pair_table import ABSENT, PairTable

MOST = 1 << 14  # merges in a row before one is skipped; more than a word has
FEW = 0.6  # finished words are put aside once the share of unfinished ones falls below this


class MergeDropout:
    """Draws segmentations of words by a BPE vocabulary.

    A symbol is a piece, by its id, or a character that is no piece, by a number above all ids.
    """

    def __init__(self, pieces: Sequence[str | None], scores: Sequence[float], rate: float):
        """`pieces` are those of all ids, None where an id is never drawn; larger `scores` are merged first."""
        self._pieces = len(pieces)
        symbols = {piece: id_ for id_, piece in enumerate(pieces) if piece is not None}
        whole = list(symbols.items())
        others = sorted(set("".join(symbols)) - symbols.keys())
        symbols |= {character: self._pieces + place for place, character in enumerate(others)}
        self.none = self._pieces + len(others)
        self._spelling = Ragged.of([[symbols[character] for character in piece or ""] for piece in pieces], np.int32)
        self.merges = PairTable(
            {
                (symbols[piece[:place]], symbols[piece[place:]]): id_
                for piece, id_ in whole
                for place in range(1, len(piece))
                if piece[:place] in symbols and piece[place:] in symbols
            }
        )
        self.ranks = np.unique([-score for score in scores], return_inverse=True)[1]
        self._limits = gap_limits(rate)

    def draw(self, words: Ragged, keys: Keys) -> tuple[Int[np.ndarray, " changed"], Ragged]:
        """The indices of the words in which a merge is skipped, and their new ids. Words are ids; each has its key."""
        letters = np.diff(starts_of(np.diff(self._spelling.starts)[words.values])[words.starts])
        merges = np.minimum(letters - np.diff(words.starts), MOST)
        first = numbers(keys, 0)
        changed = np.flatnonzero(first < self._limits[merges])
        groups = [changed[own] for own in by_length(letters[changed])]
        if not groups:
            return changed, words.slice(0, 0)
        drawn = [
            Merging(self, nested(self._spelling, words.take(own)), keys[own], self.gaps(first[own])).result()
            for own in groups
        ]
        return self._only_pieces(np.concatenate(groups), concatenate(drawn))

    def _only_pieces(self, words: Int[np.ndarray, " n"], drawn: Ragged) -> tuple[Int[np.ndarray, " pure"], Ragged]:
        """The words without a character that is no piece. Vocabularies that SentencePiece learns have no such word."""
        others = np.flatnonzero(drawn.values >= self._pieces)
        is_pure = np.ones(len(words), np.bool_)
        is_pure[np.searchsorted(drawn.starts, others, side="right") - 1] = False
        return words[is_pure], drawn.take(np.flatnonzero(is_pure))

    def gaps(self, drawn: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """How many merges are made before one is skipped, from random numbers."""
        return np.searchsorted(self._limits, drawn, side="right") - 1


def gap_limits(rate: float) -> Int[np.ndarray, " merges"]:
    """For 0, 1, 2, ... merges, the probability that one of them is skipped, times 2 ** 53: 0.5 -> 0, 2 ** 52, ..."""
    made = np.cumprod(np.full(MOST, 1 - rate))
    return np.concatenate([np.zeros(1, np.int64), ((1 - made) * 2**BITS).astype(np.int64)])


class Merging:
    """Words that are merged side by side, one merge or skip of each word in a step.

    The arrays have a column for each word. Their rows are its characters, and one before and one after them. A symbol
    is in the row of its first character; `none` is in the other rows. A pair of neighbours is in the row of the left.
    """

    def __init__(self, dropout: MergeDropout, spelled: Ragged, keys: Keys, gaps: Int[np.ndarray, " words"]):
        self._dropout, self._keys, self._gaps = dropout, keys, gaps
        lengths = np.diff(spelled.starts)
        rows, words = int(lengths.max()) + 2, len(lengths)
        self._words, self._drawn = np.arange(words), np.ones(words, np.int64)
        self._bits = np.int64(rows.bit_length())
        is_small = int(dropout.ranks.max()) + 1 < 1 << 31 - int(self._bits)
        self._order_type: type[np.int32 | np.int64] = np.int32 if is_small else np.int64
        self._never = np.iinfo(self._order_type).max
        self._symbols = np.full((rows, words), dropout.none, np.int32)
        self._symbols[ranges(np.ones(words, np.int64), lengths), np.repeat(self._words, lengths)] = spelled.values
        self._before, self._after = (np.repeat(np.arange(rows)[:, None] + step, words, axis=1) for step in (-1, 1))
        place = np.broadcast_to(np.arange(rows - 1)[:, None], (rows - 1, words)).reshape(-1)
        merged = dropout.merges.find(self._symbols[:-1].reshape(-1), self._symbols[1:].reshape(-1))
        # What a pair merges to, and when: its rank, and then, of equal ones, the first from the left.
        self._merged = merged.reshape(rows - 1, words)
        self._skipped, self._waits = np.zeros((rows - 1, words), np.bool_), np.zeros(words, np.bool_)
        self._order = self._ordered(merged, place).reshape(rows - 1, words)

    def _ordered(self, merged: Int[np.ndarray, " n"], rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        order = (self._dropout.ranks[merged] << self._bits | rows).astype(self._order_type)
        order[merged == ABSENT] = self._never
        return order

    def result(self) -> Ragged:
        """The symbols of the words once nothing is left to merge."""
        finished: list[Ragged] = []
        words: list[Int[np.ndarray, " n"]] = []
        while len(self._words):
            best = self._order.min(axis=0)
            is_open = best < self._never
            going = np.flatnonzero(is_open)
            if len(going) < FEW * len(is_open):
                done = np.flatnonzero(~is_open)
                words.append(self._words[done])
                finished.append(self._symbols_of(done))
                self._keep(going)
                best, going = best[going], np.arange(len(going))
            self._step(best[going].astype(np.int64) & (np.int64(1) << self._bits) - 1, going)
        return concatenate(finished).take(np.argsort(np.concatenate(words)))

    def _symbols_of(self, words: Int[np.ndarray, " n"]) -> Ragged:
        symbols = self._symbols[:, words].T
        is_symbol = symbols != self._dropout.none
        return Ragged(symbols[is_symbol], starts_of(is_symbol.sum(axis=1)))

    def _keep(self, words: Int[np.ndarray, " n"]) -> None:
        of_words = "_words", "_keys", "_gaps", "_drawn", "_waits"
        for name in (*of_words, "_symbols", "_before", "_after", "_merged", "_order", "_skipped"):
            setattr(self, name, np.take(getattr(self, name), words, axis=-1))

    def _step(self, rows: Int[np.ndarray, " n"], words: Int[np.ndarray, " n"]) -> None:
        """Makes or skips the pairs in these rows of these words."""
        self._order.reshape(-1)[self._at(rows, words)] = self._never
        is_skipped = self._gaps[words] == 0
        self._skip(rows[is_skipped], words[is_skipped])
        self._merge(rows[~is_skipped], words[~is_skipped])

    def _at(self, rows: Int[np.ndarray, " n"], words: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The indices of these rows of these words in arrays that are flattened, where NumPy finds them faster."""
        return rows * len(self._words) + words

    def _skip(self, rows: Int[np.ndarray, " n"], words: Int[np.ndarray, " n"]) -> None:
        """Skips these pairs until another pair of their word is merged, and draws when the next one is skipped."""
        self._skipped.reshape(-1)[self._at(rows, words)], self._waits[words] = True, True
        self._gaps[words] = self._dropout.gaps(numbers(self._keys[words], self._drawn[words]))
        self._drawn[words] += 1

    def _merge(self, rows: Int[np.ndarray, " n"], words: Int[np.ndarray, " n"]) -> None:
        """Merges these pairs. Their new symbols form new pairs with the symbols before and after them."""
        arrays = self._symbols, self._before, self._after, self._merged, self._order, self._skipped
        symbols, before, after, merged, order, skipped = (array.reshape(-1) for array in arrays)
        self._gaps[words] -= 1
        left = self._at(rows, words)
        right = self._at(after[left], words)
        following, previous = after[right], before[left]
        new = merged[left]
        symbols[left], symbols[right], order[right] = new, self._dropout.none, self._never
        after[left], before[self._at(following, words)] = following, rows
        for row, first, second in (
            (previous, symbols[self._at(previous, words)], new),
            (rows, new, symbols[self._at(following, words)]),
        ):
            pairs = self._at(row, words)
            merged[pairs] = self._dropout.merges.find(first, second)
            order[pairs] = self._ordered(merged[pairs], row)
            skipped[pairs] = False
        skipped[right] = False
        self._admit(words[self._waits[words]])

    def _admit(self, words: Int[np.ndarray, " n"]) -> None:
        """What was skipped in these words may be merged again."""
        if not len(words):
            return
        rows, places = np.nonzero(self._skipped[:, words])
        self._order[rows, words[places]] = self._ordered(self._merged[rows, words[places]], rows)
        self._skipped[:, words], self._waits[words] = False, False

"""Samples of a unigram vocabulary (Kudo 2018), drawn as SentencePiece draws them, for many words at once.

A segmentation of a word has a probability proportional to P ** rate, where log P is the sum of the scores of its
pieces. The sums over all segmentations are computed forwards, once for each distinct word; the pieces are drawn
backwards, from the last to the first, with one random number each.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from data.random_numbers import BITS, STEP, Keys, mixed, numbers
from data.tokens.ragged import Ragged, by_length, concatenate, nested, ranges, starts_of
from data.vocabulary.pair_table import ABSENT, PairTable


class UnigramLattice:
    """Draws segmentations of words by a unigram vocabulary.

    A node is a text with which pieces begin, or a single character. The pieces at a place are found from node to node.
    """

    def __init__(self, pieces: Sequence[str | None], scores: Sequence[float], rate: float):
        """`pieces` are those of all ids, None where an id is never drawn; `scores` are log-probabilities."""
        drawn = {piece: id_ for id_, piece in enumerate(pieces) if piece}
        nodes = {character: node for node, character in enumerate(sorted(set("".join(drawn))))}
        steps: dict[tuple[int, int], int] = {}
        for piece in drawn:
            for end in range(2, len(piece) + 1):
                node = nodes.setdefault(piece[:end], len(nodes))
                steps[nodes[piece[: end - 1]], nodes[piece[end - 1]]] = node
        self._steps = PairTable(steps)
        self._spelling = Ragged.of([[nodes[character] for character in piece or ""] for piece in pieces], np.int32)
        self._ids = np.array([drawn.get(text, ABSENT) for text in nodes], np.int32)
        self._weights = np.append(rate * np.array(scores, np.float64), -np.inf)  # the last is that of ABSENT
        self._longest = max(map(len, drawn), default=1)

    def draw(self, words: Ragged, keys: Keys) -> tuple[Int[np.ndarray, " changed"], Ragged]:
        """The indices of the words of more than one letter, and their drawn ids. Words are ids; each has its key."""
        letters = np.diff(starts_of(np.diff(self._spelling.starts)[words.values])[words.starts])
        long = np.flatnonzero(letters > 1)
        groups = [long[own] for own in by_length(letters[long])]
        if not groups:
            return long, words.slice(0, 0)
        return np.concatenate(groups), concatenate([self._draw(words.take(own), keys[own]) for own in groups])

    def _draw(self, words: Ragged, keys: Keys) -> Ragged:
        first, of_word = distinct(words)
        spelled = nested(self._spelling, words.take(first))
        ids = self._edges(spelled)
        shares = self._shares(ids)
        ends = np.diff(spelled.starts)[of_word]
        drawn = np.full((len(ends), int(ends.max())), ABSENT, np.int32)
        going, count = np.arange(len(ends)), 0
        while len(going):
            number = numbers(keys[going], count) * 2.0**-BITS
            place = (of_word[going], ends[going] - 1)
            length = (shares[place] <= number[:, None]).sum(axis=1)
            count += 1
            drawn[going, -count] = ids[(*place, length)]
            ends[going] -= length + 1
            going = going[ends[going] > 0]
        return Ragged(drawn[drawn != ABSENT], starts_of((drawn != ABSENT).sum(axis=1)))

    def _edges(self, spelled: Ragged) -> Int[np.ndarray, "words letters lengths"]:
        """The ids of the pieces of each length, from 1 on, that end at each letter; ABSENT where there is none."""
        lengths = np.diff(spelled.starts)
        most = int(lengths.max())
        ids = np.full((len(lengths), most, min(self._longest, most)), ABSENT, np.int32)
        words, ends = np.repeat(np.arange(len(lengths)), lengths), ranges(np.zeros_like(lengths), lengths)
        letters, last = np.arange(len(words)), spelled.starts[words + 1] - 1
        nodes = spelled.values
        for length in range(ids.shape[2]):
            if length:
                going = np.flatnonzero(letters < last)
                words, ends, letters, last = words[going], ends[going] + 1, letters[going] + 1, last[going]
                nodes = self._steps.find(nodes[going], spelled.values[letters])
                found = np.flatnonzero(nodes != ABSENT)
                words, ends, letters, last, nodes = (one[found] for one in (words, ends, letters, last, nodes))
            ids[words, ends, length] = self._ids[nodes]
        return ids

    def _shares(self, ids: Int[np.ndarray, "words letters lengths"]) -> Float[np.ndarray, "words letters lengths"]:
        """The probability that the piece that ends at a letter has at most a length, if one ends there."""
        words, letters, lengths = ids.shape
        shares = np.empty(ids.shape)
        totals = np.full((words, lengths + letters), -np.inf)  # log of the sum over what is before each letter
        totals[:, lengths - 1] = 0.0  # the first letter; to the left of it, for pieces that would begin there
        with np.errstate(divide="ignore", invalid="ignore"):  # letters at which no piece ends
            for letter in range(letters):
                paths = totals[:, letter : letter + lengths][:, ::-1] + self._weights[ids[:, letter]]
                top = np.maximum(paths.max(axis=1), np.finfo(np.float64).min)
                sums = np.cumsum(np.exp(paths - top[:, None]), axis=1)
                totals[:, lengths + letter] = top + np.log(sums[:, -1])
                shares[:, letter] = sums / sums[:, -1:]
        return shares


def distinct(words: Ragged) -> tuple[Int[np.ndarray, " distinct"], Int[np.ndarray, " n"]]:
    """One index for each distinct word, none of which is empty, and which of them each word is."""
    places = ranges(np.zeros(len(words), np.int64), np.diff(words.starts)).astype(np.uint64)
    hashes = np.add.reduceat(mixed(words.values.astype(np.uint64) + places * np.uint64(STEP)), words.starts[:-1])
    _, first, of_word = np.unique(hashes, return_index=True, return_inverse=True)
    same = words.take(first[of_word])
    if np.array_equal(same.starts, words.starts) and np.array_equal(same.values, words.values):
        return first, of_word
    return np.arange(len(words)), np.arange(len(words))  # two words have the same hash

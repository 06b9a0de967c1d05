"""Subword regularisation: other ways to split a word into pieces, drawn with a seed.

SentencePiece 0.2.3 can sample too, but seeds its generator differently in each process, so a resumed run could not
repeat its draws.
"""

import functools
import math
import random
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, count, pairwise
from typing import Any, NamedTuple

from data.vocabulary.pieces import SPACE

VARIANTS = 32
CACHED = 2**18
LONGEST = 16  # pieces: in scripts without spaces, a line is one word, and the time to merge it grows with its square


class Merge(NamedTuple):
    """A merge of BPE: where its first symbol is, the index of its random number, and how many were drawn by then."""

    place: int
    taken: int
    end: int


class SubwordSampler:
    """Draws segmentations: BPE-dropout, or samples of a unigram model, with the recipe's `rate`.

    Each word has 32 segmentations, which depend on the word alone; the seed of a sentence chooses one of them. All of
    them spell the same word, and leave bytes, unknown pieces and the pieces in `symbols` unchanged. Words of more than
    16 pieces are drawn in parts of 16.
    """

    def __init__(self, processor: Any, rate: float, symbols: Collection[int] = ()):
        self.rate = rate
        self.pieces: list[str] = [processor.id_to_piece(id_) for id_ in range(processor.get_piece_size())]
        atoms = [id_ for id_ in range(len(self.pieces)) if processor.is_byte(id_) or processor.is_control(id_)]
        self.atoms = {processor.unk_id(), *atoms, *symbols}
        self.ids = {piece: id_ for id_, piece in enumerate(self.pieces) if id_ not in self.atoms}
        self.scores = {piece: processor.get_score(id_) for piece, id_ in self.ids.items()}
        self.longest = max(map(len, self.ids), default=1)
        # The score of a BPE piece is its rank, an integer; that of a unigram piece is a log-probability.
        is_bpe = all(score == int(score) for score in self.scores.values())
        self._cut = self.drop_merges if is_bpe else self.draw_path
        self._cut_word = self.drop_merges_of_word if is_bpe else self.draw_path
        self.starts = {id_ for id_, piece in enumerate(self.pieces) if piece.startswith(SPACE)}
        self.draw_word = functools.lru_cache(CACHED)(self._draw_word)
        self.met: set[str] = set()
        self.undropped = functools.lru_cache(CACHED)(self._undropped)

    def draw(self, ids: Sequence[int], seed: int) -> list[int]:
        """Other ids for the same text; they depend only on the seed and the ids."""
        generator = random.Random(seed)
        result: list[int] = []
        start = 0
        for end in range(1, len(ids) + 1):
            if end in (len(ids), start + LONGEST) or ids[end] in self.starts:
                result += self.draw_word(tuple(ids[start:end]), int(generator.random() * VARIANTS))
                start = end
        return result

    def _draw_word(self, word: tuple[int, ...], variant: int) -> tuple[int, ...]:
        generator = random.Random(" ".join(map(str, (variant, self.rate, *word))))
        if self.atoms.isdisjoint(word):
            return tuple(
                self.ids[piece] for piece in self._cut_word("".join(self.pieces[id_] for id_ in word), generator)
            )
        result: list[int] = []
        text = ""
        for id_ in [*word, None]:
            if id_ is not None and id_ not in self.atoms:
                text += self.pieces[id_]
                continue
            result += [self.ids[piece] for piece in self._cut(text, generator)]
            result += [id_] if id_ is not None else []
            text = ""
        return tuple(result)

    def drop_merges(self, text: str, generator: random.Random) -> list[str]:
        """A segmentation by BPE-dropout (Provilkov et al. 2020): merges are skipped with probability `rate`."""
        return self._merge(list(text), iter(generator.random, None))[0]

    def drop_merges_of_word(self, text: str, generator: random.Random) -> list[str]:
        """What `drop_merges` returns, with a generator that is not used afterwards.

        Each possible merge takes a random number at each step. The merges that are made without dropout are known, and
        it often skips none of them, or only late ones.
        """
        if text not in self.met:  # many words occur once, and to find their merges takes as long as dropping some
            if len(self.met) >= CACHED:
                self.met.clear()
            self.met.add(text)
            return self.drop_merges(text, generator)
        pieces, needed, merges = self.undropped(text)
        numbers = [generator.random() for _ in range(needed)]
        first = made = 0
        while made < len(merges) and numbers[merges[made].taken] >= self.rate:
            first = merges[made].end
            made += 1
        if made == len(merges):
            return pieces
        symbols = list(text)
        for merge in merges[:made]:
            symbols[merge.place : merge.place + 2] = ["".join(symbols[merge.place : merge.place + 2])]
        return self._merge(symbols, chain(numbers[first:], iter(generator.random, None)))[0]

    def _undropped(self, text: str) -> tuple[list[str], int, list[Merge]]:
        """Without dropout: the segmentation, how many random numbers it takes, and the merges."""
        pieces, made = self._merge(list(text), map(float, count(1)))
        merges = [Merge(place, int(number) - 1, int(last)) for place, number, last in made]
        return pieces, merges[-1].end if merges else 0, merges

    def _merge(self, symbols: list[str], numbers: Iterator[float]) -> tuple[list[str], list[tuple[int, float, float]]]:
        """The symbols after all merges; one is skipped in a step in which its random number is below `rate`.

        Also of each merge its place, its number, and the last number of its step.
        """
        scores, rate = self.scores, self.rate
        known = [scores.get(left + right) for left, right in pairwise(symbols)]
        made: list[tuple[int, float, float]] = []
        while True:
            best: float | None = None
            place, chosen, number = 0, 0.0, 0.0
            for index, score in enumerate(known):
                if score is not None:
                    number = next(numbers)
                    if number >= rate and (best is None or score > best):
                        best, place, chosen = score, index, number
            if best is None:
                return symbols, made
            made.append((place, chosen, number))
            symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]
            del known[place]
            if place:
                known[place - 1] = scores.get(symbols[place - 1] + symbols[place])
            if place < len(known):
                known[place] = scores.get(symbols[place] + symbols[place + 1])

    def draw_path(self, text: str, generator: random.Random) -> list[str]:
        """A segmentation with probability proportional to P ** rate (Kudo 2018): sums forwards, draws backwards."""
        totals = [0.0]
        steps: list[list[tuple[str, float]]] = [[]]
        for end in range(1, len(text) + 1):
            pieces = [text[start:end] for start in range(max(0, end - self.longest), end)]
            known = [(p, totals[end - len(p)] + self.rate * self.scores[p]) for p in pieces if p in self.scores]
            top = max((total for _, total in known), default=-math.inf)
            totals.append(top + math.log(sum(math.exp(total - top) for _, total in known)) if known else -math.inf)
            steps.append(known)
        result: list[str] = []
        end = len(text)
        while end:
            weights = [math.exp(total - totals[end]) for _, total in steps[end]]
            result.append(generator.choices(steps[end], weights)[0][0])
            end -= len(result[-1])
        return result[::-1]

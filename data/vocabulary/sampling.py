"""Subword regularisation: other ways to split a word into pieces, drawn with a seed.

SentencePiece 0.2.3 can sample too, but seeds its generator differently in each process, so a resumed run could not
repeat its draws.
"""

import functools
import math
import random
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any

from data.vocabulary.pieces import SPACE

VARIANTS = 32
CACHED = 2**18
LONGEST = 16  # pieces: in scripts without spaces, a line is one word, and the time to merge it grows with its square


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
        self.draw_word = functools.lru_cache(CACHED)(self._draw_word)

    def draw(self, ids: Sequence[int], seed: int) -> list[int]:
        """Other ids for the same text; they depend only on the seed and the ids."""
        generator = random.Random(seed)
        result: list[int] = []
        start = 0
        for end in range(1, len(ids) + 1):
            if end in (len(ids), start + LONGEST) or self.pieces[ids[end]].startswith(SPACE):
                result += self.draw_word(tuple(ids[start:end]), int(generator.random() * VARIANTS))
                start = end
        return result

    def _draw_word(self, word: tuple[int, ...], variant: int) -> tuple[int, ...]:
        generator = random.Random(" ".join(map(str, (variant, self.rate, *word))))
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
        symbols = list(text)
        while True:
            merges = [
                (-self.scores[left + right], index)
                for index, (left, right) in enumerate(pairwise(symbols))
                if left + right in self.scores and generator.random() >= self.rate
            ]
            if not merges:
                return symbols
            _, index = min(merges)
            symbols[index : index + 2] = [symbols[index] + symbols[index + 1]]

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

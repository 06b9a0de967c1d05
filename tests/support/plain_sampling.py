"""Subword samples of one line at a time, by dicts and lists: slow and plain. data/vocabulary/sampling must equal it."""

import math
from itertools import pairwise

WORD = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15
LONGEST = 16


def mixed(word):
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & WORD
    return word ^ word >> 31


def key_of(*parts):
    key = 0
    for part in parts:
        key = mixed(key + part + STEP & WORD)
    return key


def stream(key):
    """Numbers from 0 to 1, by SplitMix64."""
    while True:
        key = key + STEP & WORD
        yield (mixed(key) >> 11) / 2**53


class PlainSampler:
    """The samples of a vocabulary, from the content of its model file."""

    def __init__(self, model, rate):
        self.rate = rate
        self.pieces = [piece.piece if piece.type == piece.NORMAL else None for piece in model.pieces]
        self.ids = {piece: id_ for id_, piece in enumerate(self.pieces) if piece is not None}
        self.scores = {piece: model.pieces[id_].score for piece, id_ in self.ids.items()}
        self.cut = self.drop_merges if model.trainer_spec.model_type == 2 else self.draw_path

    def draw(self, ids, key):
        result = []
        for number, word in enumerate(self.words(ids)):
            numbers = stream(key_of(key, number))
            text = [self.pieces[id_] for id_ in word]
            result += word if text[0] is None else [self.ids[piece] for piece in self.cut("".join(text), numbers)]
        return result

    def words(self, ids):
        words = []
        for id_ in ids:
            piece = self.pieces[id_]
            if (
                not words
                or piece is None
                or self.pieces[words[-1][-1]] is None
                or piece.startswith("▁")
                or len(words[-1]) == LONGEST
            ):
                words.append([])
            words[-1].append(id_)
        return words

    def drop_merges(self, text, numbers):
        gap = self.gap(next(numbers))
        symbols, skipped = list(text), set()
        while True:
            starts = [0]
            for symbol in symbols:
                starts.append(starts[-1] + len(symbol))
            pairs = [
                (-self.scores[left + right], index)
                for index, (left, right) in enumerate(pairwise(symbols))
                if left + right in self.scores and (starts[index], starts[index + 2]) not in skipped
            ]
            if not pairs:
                return symbols
            _, index = min(pairs)
            if gap:
                gap -= 1
                symbols[index : index + 2] = [symbols[index] + symbols[index + 1]]
                skipped.clear()
            else:
                skipped.add((starts[index], starts[index + 2]))
                gap = self.gap(next(numbers))

    def gap(self, number):
        """How many merges are made before one is skipped."""
        made, gap = 1 - self.rate, 0
        while number >= int((1 - made) * 2**53) / 2**53:
            made *= 1 - self.rate
            gap += 1
        return gap

    def draw_path(self, text, numbers):
        if len(text) == 1:
            return [text]
        totals = [0.0]
        for end in range(1, len(text) + 1):
            paths = [
                totals[start] + self.rate * self.scores[text[start:end]]
                for start in range(end)
                if text[start:end] in self.scores
            ]
            top = max(paths, default=-math.inf)
            totals.append(top + math.log(sum(math.exp(path - top) for path in paths)) if paths else top)
        pieces, end = [], len(text)
        while end:
            number, total = next(numbers), 0.0
            for start in range(end - 1, -1, -1):
                piece = text[start:end]
                if piece in self.scores:
                    total += math.exp(totals[start] + self.rate * self.scores[piece] - totals[end])
                    last = start
                    if total > number:
                        break
            pieces.append(text[last:end])
            end = last
        return pieces[::-1]

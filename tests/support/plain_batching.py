"""The stream of training batches, one pair at a time: slow and plain. The stream in data/batching must equal it.

It is how training batches were made first. A stored run may hold a position in this stream.
"""

from bisect import bisect_left

import grain
import numpy as np

from data.batch import BOS, EOS, PAD, Batch, TokenPair
from data.batching.packing import bucket_lengths
from data.sources.corpus import fetch
from data.tokens.redraw import derive_seed
from data.vocabulary.model_file import model_of
from tests.support.plain_sampling import PlainSampler, key_of

ROUNDS = 4
OPEN_ROWS = 64


class PlainBatches:
    """An endless iterator of batches, and the position of the next one as `state`, without a signature."""

    def __init__(self, corpora, tokenizer, config, *, rows_of, seed, share):
        self.tokenizer, self.config, self.rows_of, self.seed, self.share = tokenizer, config, rows_of, seed, share
        self.order = PlainOrder(corpora, config, seed=seed)
        processors = (tokenizer._source, tokenizer._target)
        self.samplers = [PlainSampler(model_of(processor), config.subword_sampling) for processor in processors]
        self.number, self.next, self.carried = 0, 0, []
        self.found = None

    def __next__(self):
        while self.found is None or self.next >= len(self.found[1]):
            if self.found is not None:
                self.number, self.next, self.carried = self.number + 1, 0, self.found[2]
            self.found = self.block(self.number, self.carried)
        length, rows = self.found[1][self.next]
        self.next += 1
        return make_share([[self.found[0][n] for n in row] for row in rows], self.share, length=length)

    @property
    def state(self):
        return {"block": self.number, "next": self.next, "carried": [list(draw) for draw in self.carried]}

    def tokenize(self, draws):
        texts = self.order.read([pair for _, pair in draws])
        pairs = self.tokenizer.encode_pairs(texts)
        kept = [n for n, pair in enumerate(pairs) if is_kept(pair, self.config)]
        draws = [draws[index] for index in kept]
        if not self.config.subword_sampling:
            return draws, [pairs[index] for index in kept]
        sampled = self.sample([pairs[index] for index in kept], draws)
        limit = self.config.maximum_tokens
        return draws, [new if max(sides(new)) <= limit else pairs[n] for n, new in zip(kept, sampled, strict=True)]

    def sample(self, pairs, draws):
        sampled = []
        for draw, pair in zip(draws, pairs, strict=True):
            source, target = (key_of(self.seed, *draw, side) for side in (0, 1))
            source = [*self.samplers[0].draw(pair.source[:-1], source), EOS]
            sampled.append(TokenPair(source, self.samplers[1].draw(pair.target, target)))
        return sampled

    def block(self, number, carried):
        draws, pairs = self.tokenize([*carried, *self.order.draws(number)])
        batches, left = [], []
        for length, rows in group_rows(pairs, self.config).items():
            count = self.rows_of[length]
            full = len(rows) // count * count
            if self.config.batching == "packed":
                rows = emptiest_last(rows, pairs, len(rows) - full)
            batches += [(length, rows[start : start + count]) for start in range(0, full, count)]
            left += [draws[index] for row in rows[full:] for index in row]
        shuffled = sorted(range(len(batches)), key=lambda index: derive_seed(self.seed, number, index))
        return pairs, [batches[index] for index in shuffled], left


class PlainOrder:
    """The order of draws, each a tuple (epoch, pair)."""

    def __init__(self, corpora, config, *, seed):
        self.corpora, self.seed = corpora, seed
        texts = [pair for corpus in corpora for pair in corpus.pairs]
        owners = [number for number, corpus in enumerate(corpora) for _ in corpus.pairs]
        chosen = list(range(len(texts)))
        if config.drop_duplicates:
            chosen = sorted({pair: index for index, pair in reversed(list(enumerate(texts)))}.values())
        self.parts, self.shares = [chosen], [0]
        self.is_weighted = corpora[0].weight is not None
        if self.is_weighted:
            self.parts = [[i for i in chosen if owners[i] == number] for number in range(len(corpora))]
            size, total = min(config.shuffle_block, len(chosen)), sum(corpus.weight for corpus in corpora)
            self.shares = [max(1, round(size * corpus.weight / total)) for corpus in corpora]
        self.blocks_per_epoch = -(-max(map(len, self.parts)) // config.shuffle_block)

    def draws(self, block):
        if self.is_weighted:
            return [
                self.draw(part, position)
                for part, share in enumerate(self.shares)
                for position in range(block * share, (block + 1) * share)
            ]
        epoch, part = divmod(block, self.blocks_per_epoch)
        size = len(self.parts[0])
        first, last = (size * n // self.blocks_per_epoch for n in (part, part + 1))
        return [self.draw(0, epoch * size + position) for position in range(first, last)]

    def draw(self, part, position):
        epoch, offset = divmod(position, len(self.parts[part]))
        place = grain.experimental.index_shuffle(
            offset, max_index=len(self.parts[part]) - 1, seed=derive_seed(self.seed, part, epoch), rounds=ROUNDS
        )
        return epoch, self.parts[part][place]

    def read(self, indices):
        texts = [pair for corpus in self.corpora for pair in fetch(corpus.pairs, range(len(corpus.pairs)))]
        return [texts[index] for index in indices]


def sides(pair):
    return len(pair.source), len(pair.target) + 1


def is_kept(pair, config):
    short, long = sorted(sides(pair))
    is_balanced = not config.maximum_side_ratio or long <= config.maximum_side_ratio * short
    return len(pair.source) > 1 and len(pair.target) > 0 and long <= config.maximum_tokens and is_balanced


def bucket_of(pair, lengths):
    return lengths[bisect_left(lengths, max(sides(pair)))]


def group_rows(pairs, config):
    if config.batching == "packed":
        return {config.row_length: pack([sides(pair) for pair in pairs], config.row_length)}
    lengths = bucket_lengths(config.row_length, config.buckets)
    groups = {length: [] for length in lengths}
    for index, pair in enumerate(pairs):
        groups[bucket_of(pair, lengths)].append([index])
    return groups


def pack(sizes, row_length):
    rows, open_rows = [], []
    room = np.zeros((0, 2), np.int64)
    for index, size in enumerate(sizes):
        fits = np.all(room >= np.array(size), axis=1)
        place = int(fits.argmax()) if len(room) else 0
        if not len(room) or not fits[place]:
            if len(room) == OPEN_ROWS:
                fullest = int(room.min(axis=1).argmin())
                del open_rows[fullest]
                room = np.delete(room, fullest, axis=0)
            rows.append([])
            open_rows.append(rows[-1])
            room = np.append(room, [[row_length, row_length]], axis=0)
            place = len(room) - 1
        open_rows[place].append(index)
        room[place] -= size
    return rows


def emptiest_last(rows, pairs, spare):
    filled = [sum(max(sides(pairs[index])) for index in row) for row in rows]
    emptiest = set(np.argsort(filled, kind="stable")[:spare].tolist())
    return [row for n, row in enumerate(rows) if n not in emptiest] + [rows[n] for n in sorted(emptiest)]


def make_share(rows, share, *, length):
    mine = share.rows(len(rows))
    rows = rows[mine.start : mine.stop]
    source = lay_out([[pair.source for pair in row] for row in rows], length, len(mine))
    labels, segments, positions = lay_out([[[*pair.target, EOS] for pair in row] for row in rows], length, len(mine))
    inputs = np.full_like(labels, PAD)
    inputs[:, 1:] = labels[:, :-1]
    inputs[(positions == 0) & (segments > 0)] = BOS
    inputs[segments == 0] = PAD
    return Batch(*source, inputs, labels, segments, positions)


def lay_out(rows, length, rows_count):
    tokens, segments, positions = np.zeros((3, rows_count, length), np.int32)
    for n, row in enumerate(rows):
        start = 0
        for segment, sentence in enumerate(row, start=1):
            place = slice(start, start + len(sentence))
            tokens[n, place] = sentence
            segments[n, place] = segment
            positions[n, place] = np.arange(len(sentence))
            start = place.stop
    return tokens, segments, positions

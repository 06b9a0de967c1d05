"""How large a training set is: what is kept of it, and what sources and filters drop."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data.batching.filters import keep_pairs
from data.batching.order import Order
from data.config import DataConfig
from data.sources.corpus import Corpus
from data.tokens.ragged import PairTokens
from data.vocabulary.tokenizer import Tokenizer

CHUNK = 20000  # pairs tokenised at once


class Description(NamedTuple):
    """The size of a training set: pairs kept, tokens on each side including EOS, and pairs dropped, by reason."""

    pairs: int
    source_tokens: int
    target_tokens: int
    dropped: dict[str, int]

    def lines(self) -> list[str]:
        """A few lines for a log."""
        dropped = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items() if count) or "none"
        return [
            f"{self.pairs} pairs, {self.source_tokens} source and {self.target_tokens} target tokens",
            f"pairs dropped: {dropped}",
        ]


def describe(corpora: Sequence[Corpus], tokenizer: Tokenizer, config: DataConfig) -> Description:
    """The size of a training set: what is kept, and what sources and filters drop. This tokenises the whole set."""
    order = Order(corpora, config, seed=0)
    dropped = sum((Counter(corpus.dropped) for corpus in corpora), Counter(duplicate=order.duplicates))
    totals = Counter[str]()
    for start in range(0, len(order.chosen), CHUNK):
        pairs = PairTokens.of(tokenizer.encode_pairs(order.read(order.chosen[start : start + CHUNK].tolist())))
        sizes = pairs.sizes(np.arange(len(pairs.source)))
        kept, reasons = keep_pairs(sizes, config)
        dropped += reasons
        source, target = sizes[kept].sum(axis=0).tolist()
        totals.update(pairs=len(kept), source=source, target=target)
    return Description(totals["pairs"], totals["source"], totals["target"], dict(dropped))

"""How large a training set is: what is kept of it, and what sources and filters drop."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data.batching.filters import keep_pairs
from data.batching.order import Order
from data.config import DataConfig
from data.reporting import Report, ignore
from data.sources.corpus import Corpus
from data.tokens.store import open_store
from data.vocabulary.tokenizer import Tokenizer

CHUNK = 1 << 18  # pairs whose sizes are looked at together


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


def describe(
    corpora: Sequence[Corpus], tokenizer: Tokenizer, config: DataConfig, *, report: Report = ignore
) -> Description:
    """The size of a training set: what is kept, and what sources and filters drop, by the token store."""
    order = Order(corpora, config, seed=0)
    store = open_store(corpora, tokenizer, config, report=report)
    dropped = sum((Counter(corpus.dropped) for corpus in corpora), Counter(duplicate=order.duplicates))
    totals = np.zeros(3, np.int64)
    for start in range(0, len(order.chosen), CHUNK):
        sizes = store.tokens.sizes(order.chosen[start : start + CHUNK])
        kept, reasons = keep_pairs(sizes, config)
        dropped += reasons
        totals += [len(kept), *sizes[kept].sum(axis=0)]
    pairs, source, target = totals.tolist()
    return Description(pairs, source, target, dict(dropped))

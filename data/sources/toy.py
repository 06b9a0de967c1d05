"""Copying or reversing random letters: a task that needs no files and that a tiny model learns quickly."""

import random
import string
import zlib
from collections.abc import Iterator

from data.batch import Pair
from data.config import DataConfig
from data.errors import InputError
from data.sources.corpus import Corpus, Split, fingerprint_of

SEEDS = {"train": 1, "validation": 2, "test": 3}
HELD_OUT = {"validation": (200, 0), "test": (500, 1)}
SHARES = 8
FEWEST_LINES = 8000


def load_toy(config: DataConfig, split: Split) -> list[Corpus]:
    """Pairs of lines such as "a b c" -> "c b a"; with spaces, each letter is a token in any vocabulary.

    A checksum of the line decides its split: an eighth of all lines is for validation and an eighth for test, and
    training never sees either. Held-out lines are distinct, in the order in which they are drawn.
    """
    possible = sum(config.toy_symbols**length for length in range(1, config.toy_length + 1))
    if possible < FEWEST_LINES:
        raise InputError(
            f"data.toy_symbols {config.toy_symbols} and data.toy_length {config.toy_length} allow {possible} lines, "
            f"too few to hold any out: expected at least {FEWEST_LINES}: raise either"
        )
    lines = _held_out(config, split) if split in HELD_OUT else _training(config)
    pairs = [Pair(line, line if config.toy_task == "copy" else line[::-1]) for line in lines]
    return [
        Corpus(
            f"toy {config.toy_task} {split}", pairs, None, {}, fingerprint_of(text for pair in pairs for text in pair)
        )
    ]


def _draw(config: DataConfig, split: Split) -> Iterator[str]:
    """Endless random lines of 1 to `toy_length` letters, the lengths equally likely."""
    generator = random.Random(SEEDS[split])
    letters = string.ascii_lowercase[: config.toy_symbols]
    while True:
        yield " ".join(generator.choices(letters, k=generator.randint(1, config.toy_length)))


def _share(line: str) -> int:
    return zlib.crc32(line.encode()) % SHARES


def _training(config: DataConfig) -> list[str]:
    held_out = {share for _, share in HELD_OUT.values()}
    lines = (line for line in _draw(config, "train") if _share(line) not in held_out)
    return [next(lines) for _ in range(config.toy_pairs)]


def _held_out(config: DataConfig, split: Split) -> list[str]:
    count, share = HELD_OUT[split]
    lines: dict[str, None] = {}
    for line in _draw(config, split):
        if _share(line) == share:
            lines[line] = None
        if len(lines) == count:
            break
    return list(lines)

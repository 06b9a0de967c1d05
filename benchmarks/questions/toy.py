"""Two synthetic tasks, small enough for two cores, that need what the questions ask about.

`hops` needs composition. The source is a number of hops and a table of letters, here of four; the target follows the
table that many times from each place. Its letters name places: a is the first, b the second.

    2 hops, table  c a a d   ->   a c c d      from place 1: c, the third place, which holds a

The table is new on each line, so it must be looked up, one look after the other. `toy.toml`'s task, reversing a line,
needs one look, which one layer learns.

`facts` needs memory. A table of two letters to one is the same on all lines, and is nowhere to be read: the model has
to store it. Each target letter follows from the one before it and from the source letter at its own place.
"""

from functools import cache
from itertools import islice, repeat

import jax
import numpy as np

from benchmarks.questions.task import HeldOut, Task
from data.batch import EOS, Batch, TokenPair
from data.batching.layout import make_batch
from transformer.config import ModelConfig, TrainingConfig

SPECIAL = EOS + 1
ROWS, HELD_OUT_LINES, HELD_OUT_SEED = 64, 256, 2**31 - 1

LETTERS, HOPS = 6, 3
"""Of `hops`: tables of six letters. There are 46,656; those of held-out lines are left out of training."""

FACT_LETTERS, FACT_LENGTH, FACT_SEED = 24, 6, 0
"""Of `facts`: 24 x 24 = 576 facts, drawn from the seed."""

MODEL = ModelConfig(
    assembly="decoder_only",
    source_attention="causal",  # masked self-attention everywhere, as in GPT
    decoder_layers=4,
    width=32,
    heads=4,
    feed_forward=64,
    dropout=0.0,
    layer_loop="scan",  # compiles one layer, whatever the depth
    precision="float32",
)
TRAINING = TrainingConfig(optimizer="muon", learning_rate=0.02, warmup_steps=50, schedule="cosine", label_smoothing=0.0)


# --- looking up, several times ---------------------------------------------------------------------------


def follow(table: np.ndarray, hops: int) -> list[np.ndarray]:
    """Where each place leads after 0, 1, ..., `hops` hops: `follow([2, 0, 0, 3], 2)` ends with [0, 2, 2, 3]."""
    places = [np.arange(len(table))]
    for _ in range(hops):
        places.append(table[places[-1]])
    return places


def hops_line(generator: np.random.Generator) -> tuple[TokenPair, int]:
    """A line, and its number of hops."""
    hops, table = int(generator.integers(1, HOPS + 1)), generator.integers(LETTERS, size=LETTERS)
    letters = SPECIAL + HOPS
    found = follow(table, hops)[-1]
    return TokenPair([SPECIAL + hops - 1, *(letters + table).tolist(), EOS], (letters + found).tolist()), hops


def hops(updates: int = 400) -> Task:
    """The task whose lines need one to three looks into a table."""
    sizes = {"source_length": LETTERS + 2, "target_length": LETTERS + 1}
    generator = np.random.default_rng(HELD_OUT_SEED)
    held_out = [hops_line(generator) for _ in range(HELD_OUT_LINES)]
    held_out_tables = {tuple(pair.source[1:]) for pair, _ in held_out}

    @cache
    def train(seed: int) -> list[Batch]:
        drawn = map(hops_line, repeat(np.random.default_rng(seed)))
        new = (pair for pair, _ in drawn if tuple(pair.source[1:]) not in held_out_tables)
        return batches(list(islice(new, ROWS * updates)), **sizes)

    def kinds(one: HeldOut) -> dict[str, np.ndarray]:
        """The keys that a head looks at if it makes a hop; the table begins after BOS and the number of hops."""
        source = np.asarray(one.batch.source)
        tables, keys = source[:, 1:-1] - SPECIAL - HOPS, np.arange(source.shape[1] + LETTERS + 1)
        steps = np.stack([follow(table, HOPS - 1) for table in tables], axis=1)
        found = {f"hop {n}": keys == 2 + at[..., None] for n, at in enumerate(steps, 1)}
        found["number of hops"] = np.broadcast_to(keys == 1, found["hop 1"].shape)
        itself = keys[None] == source.shape[1] + np.arange(LETTERS)[:, None]
        return found | {"itself": np.broadcast_to(itself, found["hop 1"].shape)}

    batch = make_batch([[pair] for pair, _ in held_out], rows_count=len(held_out), **sizes)
    groups = np.full(batch.target_labels.shape, -1)
    groups[:, :LETTERS] = np.array([number - 1 for _, number in held_out])[:, None]
    return Task(
        kinds=kinds,
        name="hops",
        model=MODEL.model_copy(update={"maximum_length": LETTERS + 2}),
        training=TRAINING.model_copy(update={"steps": updates}),
        vocabulary=SPECIAL + HOPS + LETTERS,
        train=train,
        held_out=[HeldOut(on_device(batch), groups)],
        groups=tuple(f"{n} hop{'s' * (n > 1)}" for n in range(1, HOPS + 1)),
        about=f"toy task `hops`: {LETTERS} letters, 1 to {HOPS} hops, {updates} updates of {ROWS} lines",
    )


# --- remembering -----------------------------------------------------------------------------------------


def facts_line(generator: np.random.Generator, table: np.ndarray) -> TokenPair:
    """A line: each target letter is the fact about the one before it (first: letter 0) and its source letter."""
    source, target, before = generator.integers(len(table), size=FACT_LENGTH), [], 0
    for letter in source:
        before = int(table[before, letter])
        target.append(SPECIAL + before)
    return TokenPair([*(SPECIAL + source).tolist(), EOS], target)


def facts(updates: int = 400) -> Task:
    """The task whose lines need a table that only the parameters can hold."""
    sizes = {"source_length": FACT_LENGTH + 1, "target_length": FACT_LENGTH + 1}
    table = np.random.default_rng(FACT_SEED).integers(FACT_LETTERS, size=(FACT_LETTERS, FACT_LETTERS))

    def lines(seed: int, count: int) -> list[TokenPair]:
        generator = np.random.default_rng(seed)
        return [facts_line(generator, table) for _ in range(count)]

    @cache
    def train(seed: int) -> list[Batch]:
        return batches(lines(seed, ROWS * updates), **sizes)

    batch = make_batch([[one] for one in lines(HELD_OUT_SEED, HELD_OUT_LINES)], rows_count=HELD_OUT_LINES, **sizes)
    groups = np.where(np.arange(FACT_LENGTH + 1) < FACT_LENGTH, 0, -1)

    def features(batch: Batch) -> dict[str, np.ndarray]:
        """The two letters that a fact is about, alone and together, and the one that follows from them."""
        before, here = np.asarray(batch.target_inputs), np.asarray(batch.source)
        return {
            "letter before": before,
            "letter of the source": here,
            "both": before * (SPECIAL + FACT_LETTERS) + here,
            "letter to predict": np.asarray(batch.target_labels),
        }

    return Task(
        name="facts",
        model=MODEL.model_copy(update={"maximum_length": FACT_LENGTH + 2, "decoder_layers": 1}),
        training=TRAINING.model_copy(update={"steps": updates}),
        vocabulary=SPECIAL + FACT_LETTERS,
        train=train,
        held_out=[HeldOut(on_device(batch), np.broadcast_to(groups, batch.target_labels.shape))],
        groups=("facts",),
        features=features,
        about=f"toy task `facts`: {FACT_LETTERS**2} facts, {updates} updates of {ROWS} lines",
    )


# --- batches ---------------------------------------------------------------------------------------------


def batches(pairs: list[TokenPair], *, source_length: int, target_length: int) -> list[Batch]:
    """One pair a row, ROWS rows a batch."""
    whole = make_batch(
        [[pair] for pair in pairs], source_length=source_length, target_length=target_length, rows_count=len(pairs)
    )
    parts = zip(*(np.split(array, len(pairs) // ROWS) for array in whole), strict=True)
    return [Batch(*arrays) for arrays in parts]


def on_device(batch: Batch) -> Batch:
    """The batch as JAX's arrays, copied once."""
    return jax.tree.map(jax.numpy.asarray, batch)

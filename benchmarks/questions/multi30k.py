"""The questions asked of text: English to German captions of Multi30k, by a small decoder-only model."""

from functools import cache
from itertools import islice
from pathlib import Path

import jax
import numpy as np

from benchmarks.questions.task import HeldOut, Task
from data.batch import Batch
from data.batching.pipeline import evaluation_batches, training_batches
from data.sources import load_corpora
from data.vocabulary.prepared import prepared_tokenizer
from dragoman.runs.recipe import read_recipe

RECIPE = Path(__file__).parents[2] / "configs" / "multi30k-en-de.toml"
UPDATES, BATCH_TOKENS, WARMUP = 300, 2048, 100
SENTENCES = 256  # of the validation set


def captions(directory: str, updates: int = UPDATES, *, batch_tokens: int = BATCH_TOKENS) -> Task:
    """The recipe of Multi30k as one stack of layers under a causal mask, with fewer updates and without dropout.

    In a few hundred updates nothing is learned by heart, so that dropout would only slow all models down.
    """
    changes = {"data.directory": directory, "model.assembly": "decoder_only", "model.source_attention": "causal"}
    changes |= {"model.dropout": "0.0", "model.layer_loop": "scan", "training.steps": str(updates)}
    changes |= {"training.warmup_steps": str(min(WARMUP, updates // 2)), "training.label_smoothing": "0.0"}
    config = read_recipe(RECIPE, changes)
    corpora = load_corpora(config.data, "train")
    tokenizer = prepared_tokenizer(config.data, corpora)

    @cache
    def train(seed: int) -> list[Batch]:
        stream = iter(training_batches(corpora, tokenizer, config.data, batch_tokens=batch_tokens, seed=seed))
        try:
            return list(islice(stream, updates))
        finally:
            stream.close()

    pairs = [pair for corpus in load_corpora(config.data, "validation") for pair in corpus.pairs][:SENTENCES]
    found = evaluation_batches(pairs, tokenizer, config.data, batch_tokens=BATCH_TOKENS).batches
    return Task(
        name="multi30k",
        model=config.model,
        training=config.training,
        vocabulary=tokenizer.target_size,
        train=train,
        held_out=[HeldOut(jax.tree.map(jax.numpy.asarray, one), scored(one)) for one in found],
        groups=("all tokens",),
        about=f"Multi30k, English to German: {updates} updates of {batch_tokens} target tokens",
    )


def scored(batch: Batch) -> np.ndarray:
    """Group 0 for each real target token, -1 for padding."""
    return np.where(np.asarray(batch.target_segments) > 0, 0, -1)

"""Embeddings and positions: the neighbours of each vector in the table, and what a position adds to it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from data.batch import EOS
from dragoman.explanation.trace import Trace, plain
from transformer.config import ModelConfig


class Positions(NamedTuple):
    """What the positional encoding adds to the word embeddings of a sentence."""

    kind: str
    vectors: Float[np.ndarray, "S D"]  # zero where positions are not added, as in rotary embeddings
    distances: Float[np.ndarray, "S S"]  # Euclidean, between the vectors of two positions
    embedding_sizes: list[float]  # the length of each word's vector,
    position_sizes: list[float]  # of its position's vector,
    sum_sizes: list[float]  # and of their sum


def neighbours(
    table: Float[np.ndarray, "V D"], ids: Sequence[int], pieces: Sequence[str], *, count: int = 5
) -> list[list[tuple[str, float]]]:
    """For each id, the pieces of text whose embeddings are nearest to its own, with the cosine of the angle."""
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    result = []
    for id_ in ids:
        cosines = unit @ unit[id_]
        cosines[: EOS + 1] = -np.inf  # padding and its like are no neighbours
        cosines[id_] = -np.inf
        order = np.argsort(-cosines, kind="stable")[:count]
        result.append([(pieces[at], float(cosines[at])) for at in order if np.isfinite(cosines[at])])
    return result


def source_table(trace: Trace) -> Float[np.ndarray, "V D"]:
    """The table of the source's word embeddings."""
    embedding = trace.assembled.embeddings()[0]
    return np.asarray(embedding.table[...], np.float32)[: embedding.vocabulary]


def describe_positions(trace: Trace, config: ModelConfig) -> Positions:
    """The positions of the source sentence."""
    assembled: Any = trace.assembled
    words = assembled.embeddings()[0](trace.batch.source)
    positions = trace.batch.source_positions
    vectors = plain(assembled.source_positions.embed(jnp.zeros_like(words), positions))
    total = plain(assembled.source_positions.embed(words, positions))
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    sizes = [np.linalg.norm(one, axis=-1).tolist() for one in (plain(words), vectors, total)]
    return Positions(config.positions, vectors, distances, *sizes)

"""Log-probabilities from the decoder over a whole target, without a cache."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from data.batch import BOS, EOS, PAD, Batch
from transformer.decoding.searcher import Hypothesis
from transformer.model import merge


def forced_log_probability(graph, parameters, source: list[int], hypothesis: Hypothesis) -> float:
    """The log-probability of an output, from the decoder over the whole target without a cache."""
    labels = [*hypothesis.tokens, *[EOS] * hypothesis.is_finished]
    rows = [padded(source, 32), padded([BOS, *labels[:-1]], 48)]
    log_probabilities = np.asarray(forced(graph, parameters, *rows))
    return float(sum(log_probabilities[position, label] for position, label in enumerate(labels)))


def padded(row: list[int], length: int) -> np.ndarray:
    return np.array([row + [PAD] * (length - len(row))], np.int32)


@functools.partial(jax.jit, static_argnames="graph")
def forced(graph, parameters, source, inputs):
    model = merge(graph, parameters)
    segments = [(tokens != PAD).astype(jnp.int32) for tokens in (source, inputs)]
    positions = [jnp.arange(tokens.shape[1])[None] for tokens in (source, inputs)]
    batch = Batch(source, segments[0], positions[0], inputs, inputs, segments[1], positions[1])
    return jax.nn.log_softmax(model.output().logits(model.features(batch)).astype(jnp.float32))[0]

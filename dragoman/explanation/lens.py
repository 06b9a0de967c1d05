"""The output layer read after every layer (the "logit lens"), and the path of the vectors through the decoder.

The lens was described by nostalgebraist, "interpreting GPT: the logit lens", 2020.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dragoman.explanation.trace import Trace, plain


class LensReading(NamedTuple):
    """What the output layer would predict from the vector of one position after one layer."""

    top: list[tuple[str, float]]  # pieces with probabilities, likeliest first
    entropy: float  # of the whole distribution, in nats
    probability: float  # of the piece that is predicted in the end


def logit_lens(trace: Trace, pieces: Sequence[str], *, top: int = 5) -> list[list[LensReading]]:
    """For each position, a reading before the first layer and after each layer. The last one is the model's own."""
    assembled = trace.assembled
    layers = []
    for stream in trace.after_layers("decoder"):
        features = assembled.decoder_norm(stream) if assembled.pre_norm else stream
        logits = assembled.logits(features).astype(jnp.float32)
        layers.append(np.asarray(jax.nn.log_softmax(logits, axis=-1)[0]))
    labels = np.asarray(trace.batch.target_labels[0])
    return [
        [read_position(layer[position], int(label), pieces, top) for layer in layers]
        for position, label in enumerate(labels)
    ]


def read_position(
    log_probabilities: Float[np.ndarray, " V"], label: int, pieces: Sequence[str], top: int
) -> LensReading:
    """The reading of one distribution."""
    probabilities = np.exp(log_probabilities.astype(np.float64))
    order = np.argsort(-log_probabilities, kind="stable")[:top]
    return LensReading(
        [(pieces[id_], float(probabilities[id_])) for id_ in order],
        float(-(probabilities * np.maximum(log_probabilities, -1e4)).sum()),
        float(probabilities[label]),
    )


def landing(readings: Sequence[LensReading]) -> int:
    """The layer from which on the likeliest piece is the one of the last layer: 0 is before the first layer."""
    last = readings[-1].top[0][0]
    return max((at + 1 for at, one in enumerate(readings) if one.top[0][0] != last), default=0)


def path(trace: Trace) -> tuple[Float[np.ndarray, "steps T 2"], float]:
    """The vectors of the decoder before and after each sub-layer, in the plane of their two largest directions.

    The second value is the share of their variance that the plane shows.
    """
    points = np.stack([plain(stream) for stream in trace.stream("decoder")]).astype(np.float64)
    flat = points.reshape(-1, points.shape[-1])
    flat = flat - flat.mean(0)
    _, sizes, directions = np.linalg.svd(flat, full_matrices=False)
    total = float((sizes**2).sum())
    plane = (flat @ directions[:2].T).reshape(*points.shape[:2], 2)
    return plane, float((sizes[:2] ** 2).sum()) / total if total else 1.0

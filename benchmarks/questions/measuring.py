"""What is measured of a model: its loss and accuracy on held-out text, with the future visible or hidden."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from benchmarks.questions.task import HeldOut, Task
from data.batch import Batch
from transformer.model import Parameters, merge


class Scores(NamedTuple):
    """The loss in nats a real target token, and the share of tokens of each group that are the likeliest."""

    loss: float
    accuracy: dict[str, float]


def token_scores(
    graph: nnx.GraphDef, parameters: Parameters, batch: Batch
) -> tuple[Float[Array, "B T"], Bool[Array, "B T"]]:
    """The loss of each label, and whether it is the likeliest token."""
    model = merge(graph, parameters)
    logits = model.output().logits(model.features(batch))
    each = jax.nn.log_softmax(logits, axis=-1)
    losses = -jnp.take_along_axis(each, batch.target_labels[..., None], axis=-1)[..., 0]
    return losses, logits.argmax(-1) == batch.target_labels


compiled_scores = jax.jit(token_scores, static_argnums=0)


def scores_without_future(
    graph: nnx.GraphDef, parameters: Parameters, batch: Batch
) -> tuple[Float[np.ndarray, "B T"], Bool[np.ndarray, "B T"]]:
    """`token_scores` with each label predicted while all later target tokens are missing, as when writing.

    The tokens after a position are made padding, one position after the other. With a mask this changes nothing.
    """
    losses, right = np.zeros(batch.target_labels.shape, np.float32), np.zeros(batch.target_labels.shape, bool)
    positions, segments = np.asarray(batch.target_positions), np.asarray(batch.target_segments)
    for position in range(int(positions.max()) + 1):
        seen = np.where(positions <= position, segments, 0)
        here = (positions == position) & (segments > 0)
        found = compiled_scores(graph, parameters, batch._replace(target_segments=seen))
        losses[here], right[here] = np.asarray(found[0])[here], np.asarray(found[1])[here]
    return losses, right


def evaluate(task: Task, graph: nnx.GraphDef, parameters: Parameters, *, score=compiled_scores) -> Scores:
    """The scores of a model on the task's held-out text."""
    return summary(task, [(one, *map(np.asarray, score(graph, parameters, one.batch))) for one in task.held_out])


def summary(task: Task, found: Sequence[tuple[HeldOut, np.ndarray, np.ndarray]]) -> Scores:
    """Sums over batches, then the means."""
    loss = tokens = 0.0
    right, counts = np.zeros(len(task.groups)), np.zeros(len(task.groups))
    for held_out, losses, is_right in found:
        is_real = np.asarray(held_out.batch.target_segments) > 0
        loss, tokens = loss + float(losses[is_real].sum()), tokens + int(is_real.sum())
        for group in range(len(task.groups)):
            members = (held_out.groups == group) & is_real
            right[group] += is_right[members].sum()
            counts[group] += members.sum()
    shares = right / np.maximum(counts, 1)
    return Scores(loss / max(tokens, 1), dict(zip(task.groups, map(float, shares), strict=True)))

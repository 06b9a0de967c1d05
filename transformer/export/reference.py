"""What the run's own model says, in float32: translations, and the log-probability of each of their tokens."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from data.batch import BOS, EOS, PAD, UNK
from transformer.decoding import Stepper
from transformer.decoding.search import NEVER, Cache
from transformer.decoding.searcher import Hypothesis, bucket_of, fill_rows, model_stepper, search_sentences
from transformer.export.trained import Trained
from transformer.model import Parameters, Transformer, abstract, merge, reorder_cache

BEAM = 5
ROWS = 16


class Reference(NamedTuple):
    """A run's model in float32, and what it makes of some sources."""

    trained: Trained
    graph: nnx.GraphDef
    sources: Sequence[Sequence[int]]  # EOS included
    numbers: Sequence[int]  # of their lines, as the user counts them
    searches: dict[float, list[Hypothesis]]  # by length penalty, as CTranslate2 searches
    own: list[Hypothesis]  # as the run itself searches
    targets: list[list[int]]  # without EOS
    scores: list[Float[np.ndarray, " T"]]  # of the targets' tokens and their EOS

    @property
    def length_penalty(self) -> float:
        """The run's."""
        return self.trained.config.decoding.length_penalty


def make_reference(trained: Trained, sources: Sequence[Sequence[int]], numbers: Sequence[int]) -> Reference:
    """Everything that an exported model is compared with. No source is longer than the model takes."""
    config = trained.config.model.model_copy(update={"precision": "float32"})
    graph, _ = abstract(config, len(trained.source_vocabulary), len(trained.target_vocabulary))
    alpha = trained.config.decoding.length_penalty
    searches = {
        penalty: search(trained, graph, sources, penalty, stepper_without_special_tokens)
        for penalty in sorted({0.0, alpha})
    }
    own = search(trained, graph, sources, alpha, model_stepper)
    targets = [found.tokens[: config.maximum_length - 1] for found in own]
    scores = token_scores(trained, graph, sources, targets)
    return Reference(trained, graph, sources, numbers, searches, own, targets, scores)


def search(
    trained: Trained,
    graph: nnx.GraphDef,
    sources: Sequence[Sequence[int]],
    alpha: float,
    make_stepper: Callable[[Transformer], Stepper],
) -> list[Hypothesis]:
    """Our translation of each source, at the beam of the comparison."""
    decoding = trained.config.decoding.model_copy(update={"beam": BEAM, "length_penalty": alpha})
    found: dict[int, Hypothesis] = {}
    for places, rows in search_sentences(
        graph,
        trained.parameters,
        sources,
        decoding=decoding,
        maximum_length=trained.config.model.maximum_length,
        make_stepper=make_stepper,
    ):
        found |= {place: row[0] for place, row in zip(places, rows, strict=True)}
    return [found[place] for place in range(len(sources))]


def stepper_without_special_tokens(model: Transformer) -> Stepper:
    """The model as CTranslate2 sees it when PAD, UNK and BOS are suppressed: the others have their probability."""

    def step(tokens: Int[Array, "B K"], cache: Cache) -> tuple[Float[Array, "B K V"], Cache]:
        logits, cache = model.decode_step(tokens, cache)
        logits = logits.astype(jnp.float32).at[..., jnp.array([PAD, UNK, BOS])].set(NEVER)
        return jax.nn.log_softmax(logits, axis=-1), cache

    return Stepper(step, reorder_cache)


def token_scores(
    trained: Trained, graph: nnx.GraphDef, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> list[Float[np.ndarray, " T"]]:
    """Log-probability of each token of the targets, and of the EOS behind them, by the decoder over whole targets."""
    longest = trained.config.model.maximum_length
    rows = [(list(source), [BOS, *target], [*target, EOS]) for source, target in zip(sources, targets, strict=True)]
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(tuple(bucket_of(len(side), longest) for side in row[:2]), []).append(place)
    found: dict[int, Float[np.ndarray, " T"]] = {}
    for (width, length), places in groups.items():
        for first in range(0, len(places), ROWS):
            batch = places[first : first + ROWS]
            source, source_lengths = fill_rows([rows[place][0] for place in batch], rows=ROWS, bucket=width)
            inputs, lengths = fill_rows([rows[place][1] for place in batch], rows=ROWS, bucket=length)
            labels, _ = fill_rows([rows[place][2] for place in batch], rows=ROWS, bucket=length)
            scores = forced_scores(graph, trained.parameters, source, source_lengths, inputs, lengths, labels)
            found |= {place: np.asarray(scores)[row, : lengths[row]] for row, place in enumerate(batch)}
    return [found[place] for place in range(len(rows))]


@functools.partial(jax.jit, static_argnames="graph")
def forced_scores(
    graph: nnx.GraphDef,
    parameters: Parameters,
    source: Int[Array, "B S"],
    source_lengths: Int[Array, " B"],
    inputs: Int[Array, "B T"],
    lengths: Int[Array, " B"],
    labels: Int[Array, "B T"],
) -> Float[Array, "B T"]:
    """Log-probability of each label after the inputs up to its place; what is behind a row's length means nothing."""
    model = merge(graph, parameters)
    places = [jnp.broadcast_to(jnp.arange(rows.shape[1]), rows.shape) for rows in (source, inputs)]
    source_segments, segments = (
        (place < count[:, None]).astype(jnp.int32)
        for place, count in zip(places, (source_lengths, lengths), strict=True)
    )
    memory = model.encode(source, source_segments, places[0])
    features = model.decode(inputs, memory, source_segments, segments, places[1])
    scores = jax.nn.log_softmax(model.logits(features).astype(jnp.float32), axis=-1)
    return jnp.take_along_axis(scores, labels[..., None], axis=-1)[..., 0]

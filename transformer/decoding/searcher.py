"""The device part of translation: sentences of any length, in fixed shapes, through encoder and search."""

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from data.batch import BOS, PAD, UNK
from data.errors import InputError
from transformer.config import DecodingConfig
from transformer.decoding import STRATEGIES, Hypotheses, Requirements, Settings, Stepper
from transformer.decoding.batches import AHEAD, fill, make_batches
from transformer.decoding.requests import Request, row_requirements, search_settings, strategy_name, usual_rows
from transformer.decoding.rules import ruled_cache, with_rules
from transformer.decoding.search import NEVER, Cache
from transformer.model import Assembly, Parameters, merge

ROWS = PartitionSpec("rows")
IN_FLIGHT = 8  # sentences of a batch for each row of a step: when some are complete, others fill the step


class Model(NamedTuple):
    """What is searched with: one model, or several that vote."""

    graphs: tuple[nnx.GraphDef, ...]
    parameters: tuple[Parameters, ...]


class Announced(NamedTuple):
    """What the requests of a text may ask for, beyond limits: programs are compiled with room for it."""

    banned: tuple[tuple[int, ...], ...] = ()  # token sequences that are never written
    prefixes: bool = False
    terms: bool = False


NOTHING = Announced()


class Hypothesis(NamedTuple):
    """One translation of a sentence, as tokens without EOS."""

    tokens: list[int]
    log_probability: float
    score: float
    is_finished: bool


def models_stepper(models: Sequence[Assembly]) -> Stepper:
    """The models as search sees them: the mean of their probabilities, of which PAD, UNK and BOS are never chosen."""

    def step(
        tokens: Int[Array, "B K"], positions: Int[Array, " B"], caches: tuple[Cache, ...]
    ) -> tuple[Float[Array, "B K V"], tuple[Cache, ...]]:
        stepped = [model.step(tokens, positions, cache) for model, cache in zip(models, caches, strict=True)]
        each = [jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1) for logits, _ in stepped]
        mean = each[0] if len(each) == 1 else jax.nn.logsumexp(jnp.stack(each), axis=0) - np.log(len(each))
        allowed = np.zeros(mean.shape[-1], np.float32)
        allowed[[PAD, UNK, BOS]] = NEVER
        return mean + allowed[None, None], tuple(cache for _, cache in stepped)

    def reorder(caches: tuple[Cache, ...], parents: Array) -> tuple[Cache, ...]:
        return tuple(model.reorder(cache, parents) for model, cache in zip(models, caches, strict=True))

    def grow(caches: tuple[Cache, ...], length: int) -> tuple[Cache, ...]:
        return tuple(model.grow(cache, length) for model, cache in zip(models, caches, strict=True))

    return Stepper(step, reorder, grow)


def search_sentences(
    model: Model,
    requests: Sequence[Request],
    *,
    decoding: DecodingConfig,
    maximum_length: int,
    keep: int = 1,
    batch_size: int = 0,
    announced: Announced = NOTHING,
    devices: Sequence[jax.Device] = (),
    make_stepper: Callable[[Sequence[Assembly]], Stepper] = models_stepper,
) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
    """Batch after batch: the places of its sentences among the requests, and up to `keep` hypotheses of each.

    Hypotheses come best first. Sources have at most `maximum_length` tokens. Up to `batch_size` sentences (0: as many
    as fit) share a program, in which each device takes steps of `decoding.rows` of them; other rows are empty. A
    program is compiled for each bucket and never for a number of sentences: a sentence's result has the same bits
    whatever is searched beside it. Rows are dealt out to the devices (default: to the first). ValueError for a request
    with a prefix or terms that are not announced.
    """
    check_announced(requests, announced)
    share = (decoding.rows or usual_rows()) * IN_FLIGHT
    mesh = row_mesh(devices or jax.local_devices()[:1])
    parameters = on_devices(model, mesh).parameters
    batch_size = min(batch_size or share * mesh.size, share * mesh.size)
    lengths = [len(request.source) for request in requests]
    strategy = strategy_name(decoding, has_terms=announced.terms)
    pending: deque[tuple[list[int], np.ndarray, Hypotheses]] = deque()
    # Neighbours in length go to different devices, so that all have as much to do; the longest begin first.
    dealt = np.arange(share * mesh.size)[::-1].reshape(share, mesh.size).T.reshape(-1)
    of_chosen = np.argsort(dealt)
    for batch in make_batches(lengths, maximum_length=maximum_length, batch_size=batch_size):
        settings = search_settings(decoding, bucket=batch.bucket, maximum_length=maximum_length, keep=keep)
        chosen = [requests[place] for place in batch.places]
        source = fill(share * mesh.size, [request.source for request in chosen], batch.bucket)
        rows = row_requirements(chosen, decoding, settings, rows=share * mesh.size)
        if not announced.prefixes:
            rows = rows._replace(prefixes=rows.prefixes[:, :0])
        if not announced.terms:
            rows = rows._replace(terms=rows.terms[:, :0])
        given = jax.device_put(jax.tree.map(lambda x: x[dealt], (source, rows)), NamedSharding(mesh, ROWS))
        found = search_rows(
            model.graphs,
            parameters,
            *given,
            strategy=strategy,
            settings=settings,
            mesh=mesh,
            banned=announced.banned,
            make_stepper=make_stepper,
        )
        pending.append((batch.places, of_chosen[: len(chosen)], found))
        if len(pending) == AHEAD:
            yield collect(*pending.popleft())
    while pending:
        yield collect(*pending.popleft())


def check_announced(requests: Sequence[Request], announced: Announced) -> None:
    """ValueError for a request of something that no program has room for."""
    for kind, is_there, values in (
        ("a prefix", announced.prefixes, (request.prefix for request in requests)),
        ("terms", announced.terms, (request.terms for request in requests)),
    ):
        if not is_there and any(len(value) for value in values):
            raise ValueError(f"a request has {kind} that nobody announced")


def row_mesh(devices: Sequence[jax.Device]) -> Mesh:
    """The devices as search sees them: each takes a share of the rows."""
    return Mesh(np.array(devices), ("rows",))


def on_devices(model: Model, mesh: Mesh) -> Model:
    """The model with its parameters whole on each device. Those that are there already are not moved."""
    return model._replace(parameters=jax.device_put(model.parameters, NamedSharding(mesh, PartitionSpec())))


@functools.partial(jax.jit, static_argnames=("graphs", "strategy", "settings", "banned", "mesh", "make_stepper"))
def search_rows(
    graphs: tuple[nnx.GraphDef, ...],
    parameters: tuple[Parameters, ...],
    source: Int[Array, "B S"],
    rows: Requirements,
    *,
    strategy: str,
    settings: Settings,
    mesh: Mesh,
    banned: tuple[tuple[int, ...], ...] = (),
    make_stepper: Callable[[Sequence[Assembly]], Stepper] = models_stepper,
) -> Hypotheses:
    """Encodes rows of one sentence each, and searches their translations. Rows of limit 0 are left out.

    Each device searches its own share of the rows, to its own end: no device waits for another inside a program.
    """

    def search_share(parameters: tuple[Parameters, ...], source: Int[Array, "B S"], rows: Requirements) -> Hypotheses:
        models = [merge(graph, one) for graph, one in zip(graphs, parameters, strict=True)]
        caches = tuple(model.begin(source, beams=settings.beams) for model in models)
        stepper = with_rules(make_stepper(models), settings, banned=banned)
        return STRATEGIES[strategy](stepper, ruled_cache(caches, rows, settings), rows, settings)

    whole = PartitionSpec()
    return jax.shard_map(search_share, mesh=mesh, in_specs=(whole, ROWS, ROWS), out_specs=ROWS, check_vma=False)(
        parameters, source, rows
    )


def collect(places: list[int], rows: np.ndarray, hypotheses: Hypotheses) -> tuple[list[int], list[list[Hypothesis]]]:
    """Waits for a batch's result: the one transfer from the device. InputError if no score is finite."""
    on_host: Hypotheses = jax.device_get(hypotheses)
    found = []
    for tokens, lengths, *numbers in zip(*(values[rows] for values in on_host), strict=True):
        row = [
            Hypothesis(
                tokens[k, : length - is_finished].tolist(), float(log_probability), float(score), bool(is_finished)
            )
            for k, (length, log_probability, score, is_finished) in enumerate(zip(lengths, *numbers, strict=True))
            if np.isfinite(score) and length
        ]
        if not row:
            raise InputError("the model gives no finite score: its parameters are damaged, or training diverged")
        found.append(row)
    return places, found

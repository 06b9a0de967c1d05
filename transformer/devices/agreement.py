"""A comparison of a kernel with our own attention, in its result and gradients, on rows like those of a run.

The reference is our own attention in float32 on the same inputs. In bfloat16, our own differs from it by rounding
alone. A kernel rounds in other places, so it may differ by `SLACK` times as much, or by `TOLERANCE` of the size of its
result, whichever is larger. A kernel that ignores a mask, a segment or a term of a gradient differs by far more.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Array, Float, Int

from transformer.compiler import compiler_options
from transformer.model.attention import KeysValues, attend
from transformer.model.kernels import KernelFunction
from transformer.model.masks import CausalMask, CrossMask, RowsMask, SelfMask

SLACK = 4.0
TOLERANCE = 0.05
LARGE = 100.0
"""The size of queries in half of the rows, where scores reach hundreds, of either sign."""

KINDS = ("self-attention", "causal self-attention", "cross-attention")
PARTS = ("the result", "the gradient of queries", "the gradient of keys", "the gradient of values")
NAMES = tuple(f"{part} of {kind}" for part in PARTS for kind in KINDS)
"""The arrays to compare, in the order in which a disagreement is reported."""

ROWS = ((True, 0.8, 0.7), (False, 0.0, 0.0), (True, 1.0, 1.0), (False, 1.0, 1.0), (True, 1.0, 0.6), (True, 0.6, 1.0))
"""For each row: whether it holds several sentences, and the fractions of source and target that are not padding."""


class Size(NamedTuple):
    """The sizes of a kernel's trial inputs: N, H, S and T."""

    heads: int
    width: int
    source_length: int
    target_length: int


class Side(NamedTuple):
    """Source or target rows: their segments, the inputs of attention, and the gradient of its result."""

    segments: Int[Array, "B T"]
    query: Float[Array, "B N T H"]
    key: Float[Array, "B N T H"]
    value: Float[Array, "B N T H"]
    gradient: Float[Array, "B N T H"]


class Trial(NamedTuple):
    """Inputs for a kernel, the expected results, and the largest error allowed in each half of the rows."""

    source: Side
    target: Side
    expected: dict[str, np.ndarray]
    allowed: dict[str, np.ndarray]


def row_segments(length: int, count: int, filled: float) -> Int[np.ndarray, " S"]:
    """`count` sentences of unequal lengths, then padding: (8, 2, 0.8) -> [1 1 1 1 2 2 0 0]."""
    real = int(length * filled)
    places = np.arange(real) / max(real, 1)
    return np.pad((1 + places**1.5 * count).astype(np.int32), (0, length - real))


def build_side(size: Size, length: int, filled: list[float], *, seed: int) -> Side:
    """The rows of ROWS twice, the second time with large queries. The gradient is zero at padding."""
    several = max(min(size.source_length, size.target_length) // 8, 1)
    rows = [row_segments(length, several if row[0] else 1, part) for row, part in zip(ROWS, filled, strict=True)]
    segments = jnp.asarray(np.stack(rows * 2))
    random, shape = np.random.default_rng(seed), (len(segments), size.heads, length, size.width)
    query, key, value, gradient = random.normal(size=(4, *shape))
    # Large queries have one magnitude, so that rounding 1 / sqrt(H) scales all scores of a query alike.
    query[len(ROWS) :] = LARGE * np.sign(query[len(ROWS) :])
    gradient *= np.asarray(segments != 0)[:, None, :, None]
    return Side(segments, *(jnp.asarray(x, jnp.bfloat16) for x in (query, key, value, gradient)))


def xla(query: Array, key: Array, value: Array, mask: RowsMask, bias: Array | None) -> Array:
    """Our own attention, with the signature of a kernel."""
    return attend(query, KeysValues(key.swapaxes(2, 3), value), mask, bias=bias)


def attentions(source: Side, target: Side) -> tuple[tuple[Side, Side, RowsMask], ...]:
    """For each of KINDS, the side of the queries, the side of the keys and values, and the mask."""
    return (
        (source, source, SelfMask(source.segments)),
        (target, target, CausalMask(target.segments)),
        (target, source, CrossMask(target.segments, source.segments)),
    )


def results_and_gradients(
    kernel: KernelFunction, device: jax.Device | None = None
) -> Callable[[Side, Side], dict[str, Array]]:
    """A program that computes the arrays of NAMES on one device, by default the first of this process.

    Finite results at padding are set to zero. As in an update, the kernel runs inside a `shard_map` over all axes of a
    mesh, which here is a single device.
    """

    def compute(source: Side, target: Side) -> dict[str, Array]:
        computed: dict[str, Array] = {}
        for kind, (queries, keys, mask) in zip(KINDS, attentions(source, target), strict=True):
            result, back = jax.vjp(
                partial(lambda mask, *inputs: kernel(*inputs, mask, None), mask), queries.query, keys.key, keys.value
            )
            gradients = back(queries.gradient.astype(result.dtype))
            counts = (queries.segments != 0)[:, None, :, None] | ~jnp.isfinite(result)
            parts = jnp.where(counts, result, 0), *gradients
            computed |= {f"{part} of {kind}": x for part, x in zip(PARTS, parts, strict=True)}
        return computed

    mesh = jax.make_mesh((1,), ("data",), (AxisType.Auto,), devices=[device or jax.local_devices()[0]])
    whole = PartitionSpec()
    mapped = jax.shard_map(compute, mesh=mesh, in_specs=(whole, whole), out_specs=whole, check_vma=False)
    return jax.jit(mapped, compiler_options=compiler_options())


def lengths_of(vectors: Float[np.ndarray, "B N T H"]) -> Float[np.ndarray, "2 _"]:
    """The Euclidean norm of each vector, in rows of ordinary scores and in rows of large scores."""
    return np.linalg.norm(vectors.astype(np.float32), axis=-1).reshape(2, -1)


def reference_device() -> jax.Device:
    """The device that computes what is expected: a CPU, where the programs compile in seconds, if JAX may use one."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names other platforms only
        return jax.local_devices()[0]


def build_trial(size: Size) -> Trial:
    """A trial of these sizes, with the results of our own attention in float32."""
    source = build_side(size, size.source_length, [row[1] for row in ROWS], seed=1)
    target = build_side(size, size.target_length, [row[2] for row in ROWS], seed=2)
    in_float32 = [Side(side.segments, *(x.astype(jnp.float32) for x in side[1:])) for side in (source, target)]
    device = reference_device()
    program = results_and_gradients(xla, device)
    in_bfloat16, in_float32 = jax.device_put(((source, target), in_float32), device)
    rounded = jax.tree.map(np.asarray, program(*in_bfloat16))
    with jax.default_matmul_precision("highest"):
        expected = jax.tree.map(np.asarray, program(*in_float32))
    allowed = {}
    for name, exact in expected.items():
        by_rounding = SLACK * lengths_of(rounded[name] - exact).max(1)
        of_size = TOLERANCE * np.sqrt(np.mean(lengths_of(exact) ** 2, axis=1))
        allowed[name] = np.maximum(by_rounding, of_size)
    return Trial(source, target, expected, allowed)


def disagreement(kernel: KernelFunction, trial: Trial) -> str | None:
    """How a kernel's results differ from those of our own attention, in one line; None where they agree."""
    try:
        computed = jax.tree.map(np.asarray, results_and_gradients(kernel)(trial.source, trial.target))
    except Exception as error:  # a library may raise anything for a machine or a size it does not support
        reason, *_ = str(error).strip().split("\n")
        return f"{type(error).__name__}: {reason or 'no reason given'}"
    for name in NAMES:
        expected = trial.expected[name]
        if wrong := np.count_nonzero(~np.isfinite(computed[name].astype(np.float32))):
            return f"{name} is not finite in {wrong:,} of {expected.size:,} values"
        errors, allowed = lengths_of(computed[name] - expected).max(1), trial.allowed[name]
        if (errors > allowed).any():
            half = int(np.argmax(errors / allowed))
            scores = ("ordinary", "large")[half]
            return f"{name} is off by {errors[half]:.2g} where scores are {scores}; rounding allows {allowed[half]:.2g}"
    return None

"""A small checkpoint on disk, and how two trees of arrays and a rejection are compared."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data.errors import InputError
from dragoman.runs.checkpoint import Checkpointer
from dragoman.runs.manifest import read_manifest, write_manifest

HASHES = {"config": "c" * 64, "tokenizer": "t" * 64, "data": "d" * 64}
OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))


def make(seed: int) -> dict[str, Any]:
    """Parameters that depend on the seed."""
    first, second = jax.random.split(jax.random.key(seed))
    kernel = jax.random.normal(first, (8, 16))
    return {"encoder": {"layers": [{"kernel": kernel, "bias": jnp.zeros(3)}]}, "scale": jax.random.normal(second, ())}


def write(directory: Path, step: int, *, seed: int | None = None, bleu: float | None = None) -> Path:
    """A checkpoint on disk."""
    parameters = make(step if seed is None else seed)
    with Checkpointer(directory, keep_last=100, keep_best=0, hashes=HASHES) as checkpointer:
        validation = None if bleu is None else {"bleu": bleu}
        checkpointer.save(step, parameters, OPTIMIZER.init(parameters), progress={}, validation=validation)
    return directory / str(step)


def abstract(tree: Any, sharding: Any = None) -> Any:
    """The template of a pytree."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def assert_same(one: Any, other: Any) -> None:
    """Asserts equal structure, dtypes and bits."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def refusal(function: Callable[..., Any], *arguments: Any) -> str:
    """The one-line message of the InputError that a call raises."""
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def forge(saved: Path, **fields: Any) -> None:
    """Writes a manifest with changed fields and a valid hash."""
    manifest = read_manifest(saved)
    write_manifest(saved, manifest.model_copy(update=fields))

"""Stores any pytree on disk as named host arrays, hashed here and written and read by orbax.

A pytree is stored as nested plain dicts by the names of its leaves, such as `encoder/0/self_attention/query/kernel`.
Lists, tuples and optax states get their structure from the template they are restored into, so no class name is ever
written or read.

Arrays are gathered on the host before they are written. The files therefore do not depend on the mesh, and one process
can write them. This costs host memory for one copy of the parameters and the optimizer state.
"""

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict
from jax.experimental import multihost_utils

from data.errors import InputError

Tree = Any  # a pytree of arrays
Arrays = dict[str, np.ndarray]  # the leaves of a pytree on the host, by name


def name_leaves(tree: Tree) -> dict[str, Any]:
    """The leaves of a pytree by name: {"a": {"b": x}, "c": [y]} gives {"a/b": x, "c/0": y}."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def nest(leaves: dict[str, Any]) -> dict[str, Any]:
    """The nested dict of named leaves: {"a/b": x, "c/0": y} gives {"a": {"b": x}, "c": {"0": y}}."""
    return unflatten_dict(leaves, sep="/")


def to_host(tree: Tree) -> Arrays:
    """Copies of the leaves of a pytree, by name; the originals may be donated at once.

    In a job, all processes call this together, because shards are gathered from all of them.
    """
    leaves = name_leaves(tree)
    for leaf in leaves.values():
        if isinstance(leaf, jax.Array) and leaf.is_fully_addressable:
            leaf.copy_to_host_async()
    return {name: host_copy(leaf) for name, leaf in leaves.items()}


def whole(tree: Tree) -> Tree:
    """A pytree whose leaves are complete in this process: sharded leaves are gathered on the host.

    As with `to_host`, all processes call this together.
    """
    return jax.tree.map(lambda leaf: leaf if leaf.is_fully_addressable else host_copy(leaf), tree)


def host_copy(leaf: Any) -> np.ndarray:
    """A complete copy of one leaf on the host."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable and not leaf.is_fully_replicated:
        return np.array(multihost_utils.process_allgather(leaf, tiled=True))
    return np.array(leaf)


def digest(arrays: Arrays) -> str:
    """SHA-256 over the name, dtype, shape and little-endian bytes of each array, in the order of their names."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name}\0{array.dtype.name}\0{arrays[name].shape}\0".encode())
        total.update((array if sys.byteorder == "little" else array.byteswap()).reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def check_finite(arrays: Arrays, what: str) -> None:
    """InputError names the first array that contains a NaN or an infinity."""
    for name, array in arrays.items():
        if jax.numpy.issubdtype(array.dtype, np.floating) and not (finite := np.isfinite(array)).all():
            wrong = array.size - np.count_nonzero(finite)
            raise InputError(
                f"{what} {name} is not finite in {wrong} of {array.size} values, so it is not saved: "
                "lower training.learning_rate, or resume from an earlier step"
            )


def checkpointer() -> Any:
    """An orbax checkpointer that does not wait for other processes."""
    import orbax.checkpoint as ocp  # slow to import, and not needed where all translations are in the cache

    process = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"process{process}"
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def write_arrays(directory: Path, arrays: Arrays) -> None:
    """Write named arrays as a new directory."""
    import orbax.checkpoint as ocp

    with checkpointer() as orbax:
        orbax.save(directory.absolute(), args=ocp.args.PyTreeSave(nest(arrays)))
    # Nothing reads this file, and it would carry a path of this machine to others.
    (directory / "commit_success.txt").unlink(missing_ok=True)


def read_arrays(directory: Path, expected: dict[str, Any] | None) -> Arrays:
    """Named arrays from disk. Names, shapes and dtypes are compared with the expected ones before loading.

    Orbax itself would silently cast to the expected dtype.
    """
    import orbax.checkpoint as ocp

    try:
        with checkpointer() as orbax:
            metadata = orbax.metadata(directory.absolute()).item_metadata.tree
            if expected is not None:
                compare(directory, name_leaves(metadata), expected)
            arguments = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), metadata)
            return name_leaves(orbax.restore(directory.absolute(), args=ocp.args.PyTreeRestore(restore_args=arguments)))
    except InputError:
        raise
    except Exception as error:  # orbax and tensorstore raise exceptions of many types
        raise InputError(f"{directory}: cannot be restored: {reason(error)}") from error


def compare(directory: Path, stored: dict[str, Any], expected: dict[str, Any]) -> None:
    """InputError names the first array that is missing, unexpected, or has another shape or dtype."""
    for name, wanted in expected.items():
        found = stored.get(name)
        if found is None:
            raise InputError(f"{directory}: {name} is missing; expected one of shape {tuple(wanted.shape)}")
        if tuple(found.shape) != tuple(wanted.shape):
            raise InputError(f"{directory}: {name} has shape {tuple(found.shape)}, expected {tuple(wanted.shape)}")
        if np.dtype(found.dtype) != np.dtype(wanted.dtype):
            raise InputError(f"{directory}: {name} is {np.dtype(found.dtype)}, expected {np.dtype(wanted.dtype)}")
    if extra := first(name for name in stored if name not in expected):
        raise InputError(f"{directory}: {extra} has shape {tuple(stored[extra].shape)}, expected no such array")


def first(names: Iterable[str]) -> str | None:
    """The first of some names, or None."""
    return next(iter(names), None)


def put_on_devices(arrays: Arrays, template: Tree) -> Tree:
    """The arrays as a pytree on devices, with the structure and shardings of a template; by default on one device."""
    leaves = []
    for name, wanted in name_leaves(template).items():
        array, sharding = arrays[name], getattr(wanted, "sharding", None)
        if sharding is None:
            leaves.append(jax.device_put(array))
        else:
            leaves.append(jax.make_array_from_callback(array.shape, sharding, array.__getitem__))
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def reason(error: Exception) -> str:
    """An exception in one line: its type and the first line of its text. An InputError is already one line."""
    if isinstance(error, InputError):
        return str(error)
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"

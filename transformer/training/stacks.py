"""Stacks of matrices with equal shapes, so that an update has a few large products instead of thousands of small ones.

Muon needs fifteen products for each matrix of a model: 960 small products for the model of Multi30k's recipe, each of
which costs a kernel launch on a GPU, and time to compile. For a stack of matrices, they are fifteen in total. Only
these products work on stacks: everything else in an update is done parameter by parameter, as checkpoints store them.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from transformer.compiler import member
from transformer.model import Parameters

Path = tuple[Any, ...]
OfStack = Callable[[Float[Array, "*stack rows columns"]], Float[Array, "*stack rows columns"]]
"""A function of a matrix, or of each matrix of a stack."""


def map_stacks(
    function: OfStack, matrices: Parameters, placement_of: Callable[[str], Hashable] = lambda path: None
) -> Parameters:
    """`function` of each matrix, computed on stacks of matrices of equal shape and placement.

    `placement_of("decoder/0/feed_forward/up/kernel")` says how devices share a matrix; matrices that are shared
    differently are not stacked.
    """
    leaves = dict(jax.tree_util.tree_leaves_with_path(matrices))
    groups: dict[tuple[tuple[int, ...], Hashable], list[Path]] = defaultdict(list)
    for path, leaf in leaves.items():
        groups[leaf.shape, placement_of("/".join(key.key for key in path))].append(path)
    found: dict[Path, Array] = {}
    for paths in groups.values():
        together = function(jnp.stack([leaves[path] for path in paths]))
        found |= {path: member(together, index) for index, path in enumerate(paths)}
    return jax.tree_util.tree_map_with_path(lambda path, _: found[path], matrices)

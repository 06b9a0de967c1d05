"""Parameters of one shape stacked into one array, so that an update is a few large operations instead of thousands.

The optimizer of a model with 16 layers works on hundreds of small arrays; on a GPU each costs launches, and all of them
compiling time. What an optimizer does element by element, or matrix by matrix, it does as well to stacked arrays. Names
survive: the group of all kernels [128, 256] ends with "kernel", so that rules by name still hold.

Checkpoints know nothing of groups: states are stacked within the update and taken apart again.
"""

from collections import defaultdict
from typing import Any

import jax
import jax.numpy as jnp
import optax

from transformer.model import Parameters

Path = tuple[Any, ...]


class Groups:
    """Which parameters are stacked together: those of the same last name, shape and placement.

    `placements` has a hashable value for each parameter, such as its PartitionSpec: only arrays that lie alike are
    stacked. Without it all do.
    """

    def __init__(self, parameters: Parameters, placements: Parameters | None = None):
        leaves = jax.tree_util.tree_leaves_with_path(parameters)
        structure = jax.tree.structure(parameters)
        placed = structure.flatten_up_to(placements) if placements else [None] * len(leaves)
        found: dict[tuple[str, tuple[int, ...], Any], list[Path]] = defaultdict(list)
        for (path, leaf), placement in zip(leaves, placed, strict=True):
            found[path[-1].key, leaf.shape, placement].append(path)
        self.treedef = structure
        self.paths = [path for path, _ in leaves]
        self.members = {
            (jax.tree_util.DictKey(str(number)), jax.tree_util.DictKey(name)): paths
            for number, ((name, _, _), paths) in enumerate(found.items())
        }

    def stack(self, parameters: Parameters) -> Parameters:
        """Parameters, or gradients, as {"0": {"kernel": [K, ...]}, ...}: one array for each group of K."""
        leaves = dict(jax.tree_util.tree_leaves_with_path(parameters))
        return {
            number.key: {name.key: jnp.stack([leaves[path] for path in paths])}
            for (number, name), paths in self.members.items()
        }

    def unstack(self, stacked: Parameters) -> Parameters:
        """The inverse of `stack`."""
        leaves = {
            path: stacked[number.key][name.key][place]
            for (number, name), paths in self.members.items()
            for place, path in enumerate(paths)
        }
        return jax.tree.unflatten(self.treedef, [leaves[path] for path in self.paths])

    def stack_state(self, state: optax.OptState, template: optax.OptState) -> optax.OptState:
        """An optimizer's state for stacked parameters. `template` is the shape of that state."""
        leaves = dict(jax.tree_util.tree_leaves_with_path(state))

        def stacked(path: Path, _: Any) -> Any:
            members = self.members.get(path[-2:])
            return leaves[path] if members is None else jnp.stack([leaves[path[:-2] + member] for member in members])

        return jax.tree_util.tree_map_with_path(stacked, template)

    def unstack_state(self, stacked: optax.OptState, like: optax.OptState) -> optax.OptState:
        """The inverse of `stack_state`. `like` is a state of the form wanted."""
        leaves = dict(jax.tree_util.tree_leaves_with_path(stacked))
        found: dict[Path, Any] = {}
        for path, leaf in leaves.items():
            members = self.members.get(path[-2:])
            if members is None:
                found[path] = leaf
            else:
                found |= {path[:-2] + member: leaf[place] for place, member in enumerate(members)}
        return jax.tree_util.tree_map_with_path(lambda path, _: found[path], like)

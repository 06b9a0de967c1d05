"""Stacks of parameters with equal shapes, so that an update is a few large operations instead of thousands.

Muon needs fifteen products for each matrix of a model: 960 small products for the model of Multi30k's recipe, each of
which costs a kernel launch on a GPU, and time to compile. For a stack of matrices, they are fifteen in total. Any
optimizer that works element by element, or matrix by matrix, can also work on stacks, at the cost of a copy. The last
part of a parameter's name is kept, because update rules depend on it: the group of all kernels [128, 256] is named
"kernel".

Checkpoints do not contain groups: a state is stacked within the update, and unstacked again.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from transformer.model import Parameters
from transformer.training.optimizer import Optimizer

Path = tuple[Any, ...]


def stacks_parameters(optimizer: Optimizer) -> bool:
    """Whether to stack parameters in updates here: on GPUs and TPUs, if the optimizer gains from it."""
    return optimizer.gains_from_stacks and jax.default_backend() != "cpu"


def stacked(optimizer: Optimizer, placement_of: Callable[[str], Hashable] = lambda path: None) -> Optimizer:
    """The optimizer, with an unchanged state, but with an update on stacks of parameters of equal shape and placement.

    `placement_of("decoder/0/feed_forward/up/kernel")` says how devices share a parameter; parameters that are shared
    differently are not stacked. Not for rules that depend on a parameter's shape, such as Adafactor's.
    """

    def update(
        gradients: Parameters, state: optax.OptState, parameters: Parameters
    ) -> tuple[Parameters, optax.OptState]:
        groups = Groups(parameters, placement_of)
        together = groups.stack(parameters)
        template = jax.eval_shape(optimizer.init, together)
        updates, after = optimizer.update(groups.stack(gradients), groups.stack_state(state, template), together)
        return groups.unstack(updates), groups.unstack_state(after, state)

    return optimizer._replace(update=update)


class Groups:
    """The groups of parameters to stack: those with the same last name, shape and placement."""

    def __init__(self, parameters: Parameters, placement_of: Callable[[str], Hashable] = lambda path: None):
        leaves = jax.tree_util.tree_leaves_with_path(parameters)
        found: dict[tuple[str, tuple[int, ...], Hashable], list[Path]] = defaultdict(list)
        for path, leaf in leaves:
            placement = placement_of("/".join(key.key for key in path))
            found[path[-1].key, leaf.shape, placement].append(path)
        self.treedef = jax.tree.structure(parameters)
        self.paths = [path for path, _ in leaves]
        self.members = {
            (jax.tree_util.DictKey(str(number)), jax.tree_util.DictKey(name)): paths
            for number, ((name, _, _), paths) in enumerate(found.items())
        }

    def stack(self, parameters: Parameters) -> Parameters:
        """Parameters or gradients as {"0": {"kernel": [K, ...]}, ...}, with one array for each group of K."""
        leaves = dict(jax.tree_util.tree_leaves_with_path(parameters))
        return {
            number.key: {name.key: jnp.stack([leaves[path] for path in paths])}
            for (number, name), paths in self.members.items()
        }

    def unstack(self, together: Parameters) -> Parameters:
        """The inverse of `stack`."""
        leaves = {
            path: together[number.key][name.key][index]
            for (number, name), paths in self.members.items()
            for index, path in enumerate(paths)
        }
        return jax.tree.unflatten(self.treedef, [leaves[path] for path in self.paths])

    def stack_state(self, state: optax.OptState, template: optax.OptState) -> optax.OptState:
        """An optimizer's state for stacked parameters. `template` has the structure of that state."""
        leaves = dict(jax.tree_util.tree_leaves_with_path(state))

        def together(path: Path, _: Any) -> Any:
            members = self.members.get(path[-2:])
            return leaves[path] if members is None else jnp.stack([leaves[path[:-2] + member] for member in members])

        return jax.tree_util.tree_map_with_path(together, template)

    def unstack_state(self, together: optax.OptState, like: optax.OptState) -> optax.OptState:
        """The inverse of `stack_state`. `like` is a state with the structure of the result."""
        found: dict[Path, Any] = {}
        for path, leaf in jax.tree_util.tree_leaves_with_path(together):
            members = self.members.get(path[-2:])
            if members is None:
                found[path] = leaf
            else:
                found |= {path[:-2] + member: leaf[index] for index, member in enumerate(members)}
        return jax.tree_util.tree_map_with_path(lambda path, _: found[path], like)

"""Ways to divide an update among devices: a mesh with a table of parameter placements, or replicas under pmap."""

from collections.abc import Callable

from flax import nnx

from transformer.config import Config
from transformer.devices.mesh import MeshStrategy
from transformer.devices.pmap import PmapStrategy

STRATEGIES: dict[str, Callable[[nnx.GraphDef, Config], MeshStrategy | PmapStrategy]] = {
    "mesh": MeshStrategy,
    "pmap": PmapStrategy,
}

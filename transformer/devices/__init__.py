"""Ways to divide an update among devices: a mesh with a table of parameter placements, or replicas under pmap.

mesh sharding padding  the update on a mesh, and which device holds what
pmap                   replicas of the whole state
processes              several processes as one job
kernels agreement      which kernel computes attention in updates
compilation flops      where programs run and are cached; what they cost
"""

from collections.abc import Callable

from flax import nnx

from transformer.config import Config
from transformer.devices.mesh import MeshStrategy
from transformer.devices.pmap import PmapStrategy

STRATEGIES: dict[str, Callable[[nnx.GraphDef, Config], MeshStrategy | PmapStrategy]] = {
    "mesh": MeshStrategy,
    "pmap": PmapStrategy,
}

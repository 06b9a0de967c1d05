"""The model: embeddings, positions, masks, attention, layers, and the assemblies that are made of them.

To add an assembly: a class with the methods of `Assembly` in a file of its own, and its line in ASSEMBLIES.
"""

from typing import Any

from flax import nnx

from transformer.config import ModelConfig
from transformer.model.assembly import Assembly, BatchSize, Cache, Parameters, merge, split
from transformer.model.encoder_decoder import EncoderDecoder

__all__ = ["ASSEMBLIES", "Assembly", "BatchSize", "Cache", "Parameters", "abstract", "build", "merge", "split"]

ASSEMBLIES: dict[str, Any] = {"encoder_decoder": EncoderDecoder}


def build(config: ModelConfig, *, source_vocabulary: int, target_vocabulary: int, rngs: nnx.Rngs) -> Assembly:
    """The model of a config, with parameters drawn from `rngs`."""
    assembly = ASSEMBLIES[config.assembly]
    return assembly(config, source_vocabulary=source_vocabulary, target_vocabulary=target_vocabulary, rngs=rngs)


def abstract(config: ModelConfig, source_vocabulary: int, target_vocabulary: int) -> tuple[nnx.GraphDef, Parameters]:
    """`split` of a model that is never allocated: shapes and types in place of arrays."""
    sizes = {"source_vocabulary": source_vocabulary, "target_vocabulary": target_vocabulary}
    return split(nnx.eval_shape(lambda: build(config, **sizes, rngs=nnx.Rngs(0))))

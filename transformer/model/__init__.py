"""The model: embeddings, positions, masks, attention, layers, and the assemblies built from them.

To add an assembly, write a class with the methods of `Assembly` in a new file, and add its line to ASSEMBLIES.

dense embeddings positions dropout  the parts of a layer, in the order in which a token meets them
masks attention                     which keys a query sees; attention
kernels                             other ways to compute attention in updates, a table
packed_attention                    our kernel for GPUs: how it is called
packed_attention_kernels            what it computes
feed_forward norms                  the other parts of a layer, two tables
layers layer_stack                  one layer, and layers one after the other
encoder_decoder                     the whole model: an encoder and a decoder
decoder_only reading                one stack of layers instead of two, and how it reads its source
continued_positions                 positions of its targets
denoising_encoder                   the encoder alone, which restores masked tokens
assembly                            what training and search need of a model
tap                                 access to intermediate arrays
"""

from typing import Any

from flax import nnx

from transformer.config import ModelConfig
from transformer.model.assembly import Assembly, BatchSize, Cache, Parameters, merge, round_parameters, split
from transformer.model.decoder_only import DecoderOnly
from transformer.model.denoising_encoder import DenoisingEncoder
from transformer.model.encoder_decoder import EncoderDecoder

__all__ = [
    "ASSEMBLIES",
    "Assembly",
    "BatchSize",
    "Cache",
    "Parameters",
    "abstract",
    "build",
    "merge",
    "round_parameters",
    "split",
]

ASSEMBLIES: dict[str, Any] = {
    "encoder_decoder": EncoderDecoder,
    "decoder_only": DecoderOnly,
    "denoising_encoder": DenoisingEncoder,
}


def build(config: ModelConfig, *, source_vocabulary: int, target_vocabulary: int, rngs: nnx.Rngs) -> Assembly:
    """A model built from a config, with parameters initialised from `rngs`."""
    assembly = ASSEMBLIES[config.assembly]
    return assembly(config, source_vocabulary=source_vocabulary, target_vocabulary=target_vocabulary, rngs=rngs)


def abstract(config: ModelConfig, source_vocabulary: int, target_vocabulary: int) -> tuple[nnx.GraphDef, Parameters]:
    """`split` of a model that is never allocated: its arrays are shapes and types only."""
    sizes = {"source_vocabulary": source_vocabulary, "target_vocabulary": target_vocabulary}
    return split(nnx.eval_shape(lambda: build(config, **sizes, rngs=nnx.Rngs(0))))

"""A model as a specification of CTranslate2 (Klein et al. 2020), with all weights.

Differences in names and shapes:

- Our kernels are [in, out], for x @ kernel; theirs are [out, in]. They store queries, keys and values in one matrix.
- Our keys have no bias, because the softmax would cancel it. It is exported as zeros.
- Our "gelu" is JAX's tanh approximation, which is their GELUTanh, not GELU.
- Sinusoids are in halves in both. Rotary pairs are i and i + H/2, which is `rotary_interleave=False`.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from data.batch import BOS, EOS, UNK
from data.errors import InputError
from dragoman.exchange.trained import Trained, require
from transformer.config import ModelConfig
from transformer.model import Parameters
from transformer.model.norms import EPSILON
from transformer.model.positions import sinusoids

# Our names, the names in CTranslate2's Activation, and whether the feed-forward network is gated.
ACTIVATIONS = {"relu": ("RELU", False), "gelu": ("GELUTanh", False), "swiglu": ("SWISH", True)}
NORMS = {"layer": {"rms_norm": False}, "rms": {"rms_norm": True}}
NORM_POSITIONS = {"pre": {"pre_norm": True}, "post": {"pre_norm": False}}
POSITIONS: dict[str, dict[str, Any]] = {
    "sinusoidal": {},
    "learned": {},
    "rotary": {"rotary_dim": 0, "rotary_interleave": False, "rotary_base": 10000},  # 0: all features of a head
}
READINGS: dict[str, dict[str, Any]] = {"causal": {}}  # its decoders have no mask but the causal one

SHORTEST_TABLE = 1024  # rows of sinusoids: as many as the longest source that CTranslate2 reads by default


def look_up(table: dict[str, Any], config: ModelConfig, knob: str) -> Any:
    """The CTranslate2 equivalent of a knob's value. InputError if there is none."""
    value = getattr(config, knob)
    if value not in table:
        raise InputError(
            f"model.{knob} is {value!r}, which CTranslate2 cannot express: it takes {', '.join(table)}; "
            "--format safetensors writes any model"
        )
    return table[value]


def build_spec(trained: Trained) -> Any:
    """The model as a CTranslate2 specification, with all weights."""
    return look_up(SPECS, trained.config.model, "assembly")(trained)


def layer_options(config: ModelConfig) -> dict[str, Any]:
    """The options of every layer."""
    activation, is_gated = look_up(ACTIVATIONS, config, "activation")
    return {
        "activation": require("ctranslate2").specs.Activation[activation],
        "ffn_glu": is_gated,
        **look_up(NORMS, config, "norm"),
        **look_up(NORM_POSITIONS, config, "norm_position"),
        **look_up(POSITIONS, config, "positions"),
    }


def encoder_decoder_spec(trained: Trained) -> Any:
    """The specification of an encoder-decoder."""
    specs = require("ctranslate2").specs
    config, parameters, options = trained.config.model, trained.parameters, layer_options(trained.config.model)
    encoder = specs.transformer_spec.TransformerEncoderSpec(config.encoder_layers, config.heads, **options)
    decoder = specs.transformer_spec.TransformerDecoderSpec(config.decoder_layers, config.heads, **options)
    spec = specs.TransformerSpec(encoder, decoder)

    tables = embedding_tables(parameters, config)
    encoder.embeddings[0].weight, decoder.embeddings.weight, decoder.projection.weight = tables
    encoder.scale_embeddings = decoder.scale_embeddings = True
    if config.positions != "rotary":
        encoder.position_encodings.encodings = position_table(parameters, config, "source_positions")
        decoder.position_encodings.encodings = position_table(parameters, config, "target_positions")
    if config.norm_position == "pre":
        set_norm(encoder.layer_norm, parameters["encoder_norm"])
        set_norm(decoder.layer_norm, parameters["decoder_norm"])
    for number, layer in enumerate(encoder.layer):
        set_layer(layer, parameters["encoder"][str(number)])
    for number, layer in enumerate(decoder.layer):
        set_layer(layer, parameters["decoder"][str(number)])

    spec.register_source_vocabulary(list(trained.source_vocabulary))
    spec.register_target_vocabulary(list(trained.target_vocabulary))
    configure(spec, trained)
    spec.config.decoder_start_token = spec.config.bos_token
    spec.config.add_source_eos = True
    return spec


def decoder_only_spec(trained: Trained) -> Any:
    """The specification of a decoder-only model that reads its source causally."""
    specs = require("ctranslate2").specs
    config, parameters = trained.config.model, trained.parameters
    options = layer_options(config) | look_up(READINGS, config, "source_attention")
    spec = specs.TransformerDecoderModelSpec.from_config(config.decoder_layers, config.heads, **options)
    decoder = spec.decoder
    decoder.embeddings.weight = decoder.projection.weight = copy_of(parameters["embedding"]["table"])
    decoder.scale_embeddings = True
    if config.positions != "rotary":
        both_sides = config.model_copy(update={"maximum_length": 2 * config.maximum_length})
        decoder.position_encodings.encodings = position_table(parameters, both_sides, "positions")
    if config.norm_position == "pre":
        set_norm(decoder.layer_norm, parameters["decoder_norm"])
    for number, layer in enumerate(decoder.layer):
        set_layer(layer, parameters["decoder"][str(number)])
    spec.register_vocabulary(list(trained.target_vocabulary))
    configure(spec, trained)
    return spec


def configure(spec: Any, trained: Trained) -> None:
    """Set what the specifications of all assemblies have in common."""
    spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = (
        trained.target_vocabulary[id_] for id_ in (UNK, BOS, EOS)
    )
    spec.config.layer_norm_epsilon = EPSILON


def copy_of(array: Any) -> Float[np.ndarray, "..."]:
    """A writable float32 copy: CTranslate2 quantises in place."""
    return np.array(array, np.float32)


def embedding_tables(parameters: Parameters, config: ModelConfig) -> list[Float[np.ndarray, "V D"]]:
    """The matrices of source, target and output. Tied ones are the same array, which is stored once."""
    target = copy_of(parameters["target_embedding"]["table"])
    source = target if config.tied == "all" else copy_of(parameters["source_embedding"]["table"])
    output = copy_of(parameters["output_embedding"]["table"]) if config.tied == "none" else target
    return [source, target, output]


def position_table(parameters: Parameters, config: ModelConfig, side: str) -> Float[np.ndarray, "L D"]:
    """The vectors of positions: learned ones, or sinusoids for at least SHORTEST_TABLE positions."""
    if config.positions == "learned":
        return copy_of(parameters[side]["table"])
    return copy_of(sinusoids(jnp.arange(max(config.maximum_length, SHORTEST_TABLE)), config.width))


def set_layer(spec: Any, layer: Parameters) -> None:
    """Set the weights of an encoder or decoder layer."""
    own = layer["self_attention"]
    set_linear(spec.self_attention.linear[0], own["query"], own["key"], own["value"])
    set_linear(spec.self_attention.linear[1], own["output"])
    set_norm(spec.self_attention.layer_norm, layer["self_attention_residual"]["norm"])
    if "cross_attention" in layer:
        cross = layer["cross_attention"]
        set_linear(spec.attention.linear[0], cross["query"])
        set_linear(spec.attention.linear[1], cross["key"], cross["value"])
        set_linear(spec.attention.linear[2], cross["output"])
        set_norm(spec.attention.layer_norm, layer["cross_attention_residual"]["norm"])
    feed = layer["feed_forward"]
    set_linear(spec.ffn.linear_0, feed.get("gate", feed["up"]))
    if "gate" in feed:
        set_linear(spec.ffn.linear_0_noact, feed["up"])
    set_linear(spec.ffn.linear_1, feed["down"])
    set_norm(spec.ffn.layer_norm, layer["feed_forward_residual"]["norm"])


def set_linear(spec: Any, *denses: Parameters) -> None:
    """Set one matrix from the kernels of several layers with the same input. Missing biases are zero."""
    spec.weight = np.concatenate([copy_of(dense["kernel"]).T for dense in denses])
    zeros = [np.zeros(dense["kernel"].shape[1], np.float32) for dense in denses]
    spec.bias = np.concatenate([copy_of(dense.get("bias", zero)) for dense, zero in zip(denses, zeros, strict=True)])


def set_norm(spec: Any, norm: Parameters) -> None:
    """Set the scale, and the bias, which RMSNorm does not have."""
    spec.gamma = copy_of(norm["scale"])
    if "bias" in norm:
        spec.beta = copy_of(norm["bias"])


SPECS = {"encoder_decoder": encoder_decoder_spec, "decoder_only": decoder_only_spec}
"""How each assembly that CTranslate2 can express is written."""

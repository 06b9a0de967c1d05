"""The Transformer: an encoder that reads the source, a decoder that writes the target (Vaswani et al. 2017, fig. 1)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from transformer.config import ModelConfig
from transformer.model.attention import KeysValues, ancestor_mask, causal_mask, segment_mask
from transformer.model.dense import activation_dtype, resolve_precision
from transformer.model.embeddings import Embedding
from transformer.model.layers import NORMS, DecoderLayer, DropoutKey, EncoderLayer, dropout, fold
from transformer.model.positions import POSITIONS

Parameters = dict[str, Any]
"""Nested dicts of float32 arrays, keyed by the names of modules: what is saved, sharded, averaged and updated."""


class Cache(NamedTuple):
    """The state of decoding: what each step reads again, and where it stands."""

    source: tuple[KeysValues, ...]
    source_mask: Bool[Array, "B 1 1 S"]
    target: tuple[KeysValues, ...]
    ancestors: Int[Array, "B K L"]


class Transformer(nnx.Module):
    """Encoder and decoder. Modules hold parameters and no random state: a dropout key comes in with a training call.

    Dropout sites under that key: 0 source and 1 target embeddings, then encoder layers even, decoder layers odd.
    """

    def __init__(self, config: ModelConfig, *, source_vocabulary: int, target_vocabulary: int, rngs: nnx.Rngs):
        precision = resolve_precision(config.precision)
        self.tied, self.dropout, self.pre_norm = config.tied, config.dropout, config.norm_position == "pre"
        self.rematerialize = config.rematerialize
        self.dtype = activation_dtype(precision)
        self.heads, self.head_width = config.heads, config.width // config.heads

        self.target_embedding = Embedding(target_vocabulary, config.width, precision=precision, rngs=rngs)
        if config.tied != "all":
            self.source_embedding = Embedding(source_vocabulary, config.width, precision=precision, rngs=rngs)
        if config.tied == "none":
            self.output_embedding = Embedding(target_vocabulary, config.width, precision=precision, rngs=rngs)
        self.source_positions = POSITIONS[config.positions](config, rngs=rngs)
        self.target_positions = POSITIONS[config.positions](config, rngs=rngs)

        encoder = [EncoderLayer(config, precision=precision, rngs=rngs) for _ in range(config.encoder_layers)]
        decoder = [DecoderLayer(config, precision=precision, rngs=rngs) for _ in range(config.decoder_layers)]
        self.encoder, self.decoder = nnx.List(encoder), nnx.List(decoder)
        if self.pre_norm:
            self.encoder_norm = NORMS[config.norm](config.width, rngs=rngs)
            self.decoder_norm = NORMS[config.norm](config.width, rngs=rngs)

    def encode(
        self,
        source: Int[Array, "B S"],
        segments: Int[Array, "B S"],
        positions: Int[Array, "B S"],
        *,
        dropout_key: DropoutKey | None = None,
    ) -> Float[Array, "B S D"]:
        """The encoder: source tokens to vectors that know their sentence (the memory of the decoder)."""
        embedding = self.target_embedding if self.tied == "all" else self.source_embedding
        x = self.source_positions.embed(embedding(source), positions)
        x = dropout(x, self.dropout, fold(dropout_key, 0))
        mask = segment_mask(segments, segments)
        for number, layer in enumerate(self.encoder):
            key = fold(dropout_key, 2 + 2 * number)
            x = self.remembered(layer)(x, positions, mask, self.source_positions, dropout_key=key)
        return self.encoder_norm(x) if self.pre_norm else x

    def decode(
        self,
        target_inputs: Int[Array, "B T"],
        memory: Float[Array, "B S D"],
        source_segments: Int[Array, "B S"],
        target_segments: Int[Array, "B T"],
        target_positions: Int[Array, "B T"],
        *,
        dropout_key: DropoutKey | None = None,
    ) -> Float[Array, "B T D"]:
        """The decoder over whole targets: features from which `logits` predicts each next token."""
        x = self.target_positions.embed(self.target_embedding(target_inputs), target_positions)
        x = dropout(x, self.dropout, fold(dropout_key, 1))
        self_mask = causal_mask(target_segments)
        cross_mask = segment_mask(target_segments, source_segments)
        for number, layer in enumerate(self.decoder):
            key = fold(dropout_key, 3 + 2 * number)
            x = self.remembered(layer)(
                x, memory, target_positions, self_mask, cross_mask, self.target_positions, dropout_key=key
            )
        return self.decoder_norm(x) if self.pre_norm else x

    def remembered(self, layer: Callable[..., Array]) -> Callable[..., Array]:
        """A layer as back-propagation remembers it: all it computed, or its input alone (Chen et al. 2016)."""
        return jax.checkpoint(layer) if self.rematerialize else layer

    def cross_attention_weights(
        self,
        target_inputs: Int[Array, "B T"],
        memory: Float[Array, "B S D"],
        source_segments: Int[Array, "B S"],
        target_segments: Int[Array, "B T"],
        target_positions: Int[Array, "B T"],
        *,
        layer: int,
    ) -> Float[Array, "B N T S"]:
        """What each head of one decoder layer, counted from 0, looks at in the source, without dropout.

        The arguments are those of `decode`. Row t is the attention of the position that has read target input t and
        predicts the token after it. Layers above `layer` are not computed.
        """
        x = self.target_positions.embed(self.target_embedding(target_inputs), target_positions)
        given = target_positions, causal_mask(target_segments), segment_mask(target_segments, source_segments)
        for below in self.decoder[:layer]:
            x = below(x, memory, *given, self.target_positions)
        return self.decoder[layer].cross_attention_weights(x, memory, *given, self.target_positions)

    def logits(self, x: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        """The output layer: a score for each token of the vocabulary, before the softmax."""
        return self.output().logits(x)

    def output(self) -> Embedding:
        """The embedding whose matrix is the output layer's."""
        return self.output_embedding if self.tied == "none" else self.target_embedding

    def init_cache(
        self, memory: Float[Array, "B S D"], source_segments: Int[Array, "B S"], *, beams: int, length: int
    ) -> Cache:
        """A cache for `beams` hypotheses of up to `length` tokens for each sentence, the source projected into it."""
        rows = memory.shape[0]
        values = jnp.zeros((rows, self.heads, length * beams, self.head_width), self.dtype)
        empty = KeysValues(values.swapaxes(2, 3), values)
        return Cache(
            source=tuple(layer.cross_attention.keys_values(memory) for layer in self.decoder),
            source_mask=(source_segments != 0)[:, None, None, :],
            target=tuple(empty for _ in self.decoder),
            ancestors=jnp.zeros((rows, beams, length), jnp.int32),
        )

    def decode_step(
        self, tokens: Int[Array, "B K"], positions: Int[Array, " B"], cache: Cache
    ) -> tuple[Float[Array, "B K V"], Cache]:
        """Scores of each hypothesis's next token after its newest one, at its row's position, and the new cache.

        Equal to the last column of `decode` followed by `logits`; the work of earlier tokens is read from the cache.
        """
        _, beams, length = cache.ancestors.shape
        is_new = (jnp.arange(length)[None] == positions[:, None])[:, None]
        ancestors = jnp.where(is_new, jnp.arange(beams)[None, :, None], cache.ancestors)
        mask = ancestor_mask(ancestors, positions)
        each = jnp.broadcast_to(positions[:, None], tokens.shape)
        x = self.target_positions.embed(self.target_embedding(tokens), each)
        target = []
        for layer, source, past in zip(self.decoder, cache.source, cache.target, strict=True):
            x, written = layer.step(x, source, cache.source_mask, past, mask, positions, self.target_positions)
            target.append(written)
        x = self.decoder_norm(x) if self.pre_norm else x
        return self.logits(x), cache._replace(target=tuple(target), ancestors=ancestors)


def reorder_cache(cache: Cache, parents: Int[Array, "B K"]) -> Cache:
    """The cache in which hypothesis k of a sentence goes on from hypothesis `parents[k]`.

    Only the table of ancestors changes; keys and values stay where they were written.
    """
    return cache._replace(ancestors=jnp.take_along_axis(cache.ancestors, parents[:, :, None], axis=1))


def grow_cache(cache: Cache, length: int) -> Cache:
    """The cache with room for hypotheses of up to `length` tokens: attention costs what there is room for."""
    _, beams, present = cache.ancestors.shape
    room, none = length - present, (0, 0)

    def pad(past: KeysValues) -> KeysValues:
        more = (0, room * beams)
        return KeysValues(jnp.pad(past.keys, (none, none, none, more)), jnp.pad(past.values, (none, none, more, none)))

    ancestors = jnp.pad(cache.ancestors, (none, none, (0, room)))
    return cache._replace(target=tuple(map(pad, cache.target)), ancestors=ancestors)


# --- modules as plain pytrees ----------------------------------------------------------------------------


def _renamed(tree: Any, rename: Any) -> Any:
    return {rename(k): _renamed(v, rename) for k, v in tree.items()} if isinstance(tree, dict) else tree


def split(model: Transformer) -> tuple[nnx.GraphDef, Parameters]:
    """The model's structure, which is static, and its parameters as nested dicts with string keys."""
    graph, state = nnx.split(model, nnx.Param)
    return graph, _renamed(nnx.to_pure_dict(state), str)


def merge(graph: nnx.GraphDef, parameters: Parameters) -> Transformer:
    """The model with these parameters: the inverse of `split`."""
    state = _renamed(parameters, lambda key: int(key) if key.isdigit() else key)
    return nnx.merge(graph, nnx.State(jax.tree.map(nnx.Param, state)))


def abstract(config: ModelConfig, source_vocabulary: int, target_vocabulary: int) -> tuple[nnx.GraphDef, Parameters]:
    """`split` of a model that is never allocated: shapes and types in place of arrays."""
    return split(
        nnx.eval_shape(
            lambda: Transformer(
                config, source_vocabulary=source_vocabulary, target_vocabulary=target_vocabulary, rngs=nnx.Rngs(0)
            )
        )
    )

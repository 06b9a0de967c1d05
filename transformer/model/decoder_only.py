"""A decoder-only Transformer: one stack of layers reads the source, and goes on with the target (Radford et al. 2018).

A row of a batch becomes one sequence: its packed sources, then its packed targets. The mask joins each target to its
own source, and a target's positions continue those of its source, so that a pair is computed as the text

    source ... <s> target ...
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from data.batch import PAD, Batch
from transformer.config import ModelConfig
from transformer.model.assembly import BatchSize
from transformer.model.attention import KeysValues
from transformer.model.continued_positions import ContinuedPositions, continued_positions
from transformer.model.dense import resolve_precision
from transformer.model.dropout import DropoutKey, dropout, dropout_sites, fold_site
from transformer.model.embeddings import Embedding
from transformer.model.layer_stack import resolve_layer_loop, run_layers
from transformer.model.layers import EncoderLayer
from transformer.model.masks import AncestorMask, PrefixAncestorMask, with_newest
from transformer.model.norms import NORMS
from transformer.model.positions import POSITIONS
from transformer.model.reading import READINGS
from transformer.model.tap import also_showing, is_tapped, scope

LEAST = 1e-30
"""Attention to the source below this, as at padding, is shown as none."""

SOURCE_WEIGHTS = "source_attention/weights", "self_attention/weights"
"""The name of a layer's attention to the source, and that of the attention of which it is a part."""


class SequenceCache(NamedTuple):
    """The state of decoding: keys and values of the tokens decoded so far, followed by those of the source."""

    keys_values: tuple[KeysValues, ...]
    source_segments: Int[Array, "B S"]
    ancestors: Int[Array, "B K L"]


class DecoderOnly(nnx.Module):
    """One stack of `decoder_layers` layers with one matrix for all embeddings.

    Dropout sites under a dropout key: 0 for embeddings, then one for each layer.
    """

    def __init__(self, config: ModelConfig, *, source_vocabulary: int, target_vocabulary: int, rngs: nnx.Rngs):
        del source_vocabulary  # the same one
        precision = resolve_precision(config.precision)
        self.dropout, self.pre_norm = config.dropout, config.norm_position == "pre"
        self.rematerialize, self.layer_loop = config.rematerialize, resolve_layer_loop(config.layer_loop)
        self.reading = READINGS[config.source_attention]

        self.embedding = Embedding(target_vocabulary, config.width, precision=precision, rngs=rngs)
        both_sides = config.model_copy(update={"maximum_length": 2 * config.maximum_length})
        self.positions = POSITIONS[config.positions](both_sides, rngs=rngs)
        layers = [EncoderLayer(config, precision=precision, rngs=rngs) for _ in range(config.decoder_layers)]
        self.decoder = nnx.List(layers)
        if self.pre_norm:
            self.decoder_norm = NORMS[config.norm](config.width, rngs=rngs)

    # --- whole pairs: training and scoring -----------------------------------------------------------------

    def features(self, batch: Batch, *, dropout_key: DropoutKey | None = None) -> Float[Array, "B T D"]:
        """The features from which the output layer predicts `batch.target_labels`."""
        return self.features_of_both(batch, dropout_key=dropout_key)[:, batch.source.shape[1] :]

    def features_of_both(self, batch: Batch, *, dropout_key: DropoutKey | None = None) -> Float[Array, "B both D"]:
        """The features of sources, followed by those of targets.

        If the source is read causally, its features predict `batch.source`, token by token.
        """
        tokens = jnp.concatenate([self.reading.inputs(batch.source, batch.source_positions), batch.target_inputs], 1)
        positions = jnp.concatenate([batch.source_positions, continued_positions(batch)], axis=1)
        mask = self.reading.mask(batch.source_segments, batch.target_segments)
        sites = dropout_sites(dropout_key, 1 + len(self.decoder))
        x = dropout(self.positions.embed(self.embedding(tokens), positions), self.dropout, fold_site(sites, 0))

        def attention_to_source(weights: Float[Array, "B N both both"]) -> Float[Array, "B N T S"]:
            length = batch.source.shape[1]
            of_targets = weights[:, :, length:, :length]
            return self.source_attention(of_targets, batch.source_segments, batch.source_positions)

        def apply(layer, x, number):
            def run(x, site):
                return layer(x, positions, mask, self.positions, dropout_site=site)[0]

            with scope("decoder"), scope(number), also_showing(*SOURCE_WEIGHTS, attention_to_source):
                return self.rematerialized(run)(x, fold_site(sites, 1 + number))

        x = run_layers(self.decoder, x, apply, layer_loop=self.layer_loop)
        return self.decoder_norm(x) if self.pre_norm else x

    def rematerialized(self, layer):
        """The layer, rematerialised in back-propagation if the config asks for it (Chen et al. 2016)."""
        return jax.checkpoint(layer) if self.rematerialize and not is_tapped() else layer

    def source_attention(
        self, weights: Float[Array, "B N T S"], segments: Int[Array, "B S"], positions: Int[Array, "B S"]
    ) -> Float[Array, "B N T S"]:
        """The share of the attention to source tokens that each of them gets; rows sum to 1."""
        weights = self.reading.by_token(weights, segments, positions)
        return weights / jnp.maximum(weights.sum(-1, keepdims=True), LEAST)

    def logits(self, x: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        """The logits of each token of the vocabulary."""
        return self.embedding.logits(x)

    def output(self) -> Embedding:
        """The embedding whose matrix the output layer uses."""
        return self.embedding

    def embeddings(self) -> tuple[Embedding, Embedding]:
        """The word embeddings of the source and of the target, which are the same."""
        return self.embedding, self.embedding

    @staticmethod
    def alignment_name(layer: int) -> str:
        """The name under which `tap` shows a layer's attention to the source, as rows that sum to 1."""
        return f"decoder/{layer}/{SOURCE_WEIGHTS[0]}"

    # --- one token after the other: search -----------------------------------------------------------------

    def begin(self, source: Int[Array, "B S"], *, beams: int) -> SequenceCache:
        """The cache before the first target token: the source, read once. A row of padding has no source."""
        segments = (source != PAD).astype(jnp.int32)
        positions = jnp.broadcast_to(jnp.arange(source.shape[1]), source.shape)
        mask = self.reading.source_mask(segments)
        x = self.positions.embed(self.embedding(self.reading.inputs(source, positions)), positions)
        read = []
        for number, layer in enumerate(self.decoder):
            with scope("decoder"), scope(number):
                x, seen = layer(x, positions, mask, self.positions)
            read.append(seen)
        return SequenceCache(tuple(read), segments, jnp.zeros((len(source), beams, 0), jnp.int32))

    def step(
        self, tokens: Int[Array, "B K"], positions: Int[Array, " B"], cache: SequenceCache
    ) -> tuple[Float[Array, "B K V"], SequenceCache]:
        """The logits of the token after each hypothesis's newest one, at its row's position, and the new cache."""
        segments, ancestors = cache.source_segments, with_newest(cache.ancestors, positions)
        mask = PrefixAncestorMask(AncestorMask(ancestors, positions), segments)
        encoding = ContinuedPositions(self.positions, segments)
        each = jnp.broadcast_to(positions[:, None], tokens.shape)
        x = encoding.embed(self.embedding(tokens), each)

        def attention_to_source(weights: Float[Array, "B N K both"]) -> Float[Array, "B N K S"]:
            places = jnp.broadcast_to(jnp.arange(segments.shape[1]), segments.shape)
            return self.source_attention(weights[..., -segments.shape[1] :], segments, places)

        written = []
        for number, (layer, past) in enumerate(zip(self.decoder, cache.keys_values, strict=True)):
            with scope("decoder"), scope(number), also_showing(*SOURCE_WEIGHTS, attention_to_source):
                x, seen = layer(x, each, mask, encoding, past=past)
            written.append(seen)
        x = self.decoder_norm(x) if self.pre_norm else x
        return self.logits(x), cache._replace(keys_values=tuple(written), ancestors=ancestors)

    @staticmethod
    def reorder(cache: SequenceCache, parents: Int[Array, "B K"]) -> SequenceCache:
        """The cache in which hypothesis k of a sentence continues hypothesis `parents[k]`."""
        return cache._replace(ancestors=jnp.take_along_axis(cache.ancestors, parents[:, :, None], axis=1))

    @staticmethod
    def grow(cache: SequenceCache, length: int) -> SequenceCache:
        """The cache with room for hypotheses of up to `length` tokens, between those before and the source."""
        _, beams, present = cache.ancestors.shape
        room, end = length - present, present * beams

        def widen(x: Array, axis: int) -> Array:
            before, source = jnp.split(x, [end], axis=axis)
            shape = list(x.shape)
            shape[axis] = room * beams
            return jnp.concatenate([before, jnp.zeros(shape, x.dtype), source], axis=axis)

        grown = tuple(KeysValues(widen(one.keys, 3), widen(one.values, 2)) for one in cache.keys_values)
        return cache._replace(keys_values=grown, ancestors=jnp.pad(cache.ancestors, ((0, 0), (0, 0), (0, room))))

    # --- arithmetic ----------------------------------------------------------------------------------------

    @staticmethod
    def forward_flops(config: ModelConfig, target_vocabulary: int, size: BatchSize) -> float:
        """Operations of a forward pass over the real tokens, counted as in `EncoderDecoder.forward_flops`.

        token of either side   layers * (8 D^2 + 2 D F' + 4 D (S + T))
        target token           2 V D more, and with the objective both_sides a source token too, not counted
        """
        feed_forward = 2 * config.width * config.feed_forward * (3 if config.activation == "swiglu" else 2)
        keys = size.source_length + size.target_length
        layer = 8 * config.width**2 + feed_forward + 4 * config.width * keys
        read = (size.source_tokens + size.target_tokens) * config.decoder_layers * layer
        return float(read + size.target_tokens * 2 * target_vocabulary * config.width)

    @staticmethod
    def rough_activations(config: ModelConfig, length: int) -> int:
        """Roughly how many values an update keeps for its gradients, for each token of a row on each side."""
        layer = 10 * config.width + 3 * config.feed_forward + 2 * config.heads * 2 * length
        return 2 * config.decoder_layers * layer

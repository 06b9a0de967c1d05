"""The Transformer: an encoder of the source and a decoder of the target (Vaswani et al. 2017, fig. 1)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from data.batch import PAD, Batch
from transformer.config import ModelConfig
from transformer.model.assembly import BatchSize
from transformer.model.attention import KeysValues
from transformer.model.dense import activation_dtype, resolve_precision
from transformer.model.dropout import DropoutKey, dropout, dropout_sites, fold_site
from transformer.model.embeddings import Embedding
from transformer.model.layer_stack import resolve_layer_loop, run_layers
from transformer.model.layers import DecoderLayer, EncoderLayer
from transformer.model.masks import AncestorMask, CausalMask, CrossMask, SelfMask, with_newest
from transformer.model.norms import NORMS
from transformer.model.positions import POSITIONS
from transformer.model.tap import is_tapped, scope


class DecoderCache(NamedTuple):
    """The state of decoding: the keys and values that each step reads, and the ancestors of each hypothesis."""

    source: tuple[KeysValues, ...]  # of the encoder's output
    source_segments: Int[Array, "B S"]
    target: tuple[KeysValues, ...]  # of the tokens decoded so far
    ancestors: Int[Array, "B K L"]


class EncoderDecoder(nnx.Module):
    """Encoder and decoder. Modules hold parameters but no random state: training passes a dropout key to each call.

    Dropout sites under that key: 0 and 1 for source and target embeddings, then even numbers for encoder layers and odd
    numbers for decoder layers.
    """

    def __init__(self, config: ModelConfig, *, source_vocabulary: int, target_vocabulary: int, rngs: nnx.Rngs):
        precision = resolve_precision(config.precision)
        self.tied, self.dropout, self.pre_norm = config.tied, config.dropout, config.norm_position == "pre"
        self.rematerialize, self.layer_loop = config.rematerialize, resolve_layer_loop(config.layer_loop)
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

    # --- whole targets: training and scoring ---------------------------------------------------------------

    def features(self, batch: Batch, *, dropout_key: DropoutKey | None = None) -> Float[Array, "B T D"]:
        """The decoder's features, from which the output layer predicts `batch.target_labels`."""
        memory = self.encode(batch.source, batch.source_segments, batch.source_positions, dropout_key=dropout_key)
        return self.decode(
            batch.target_inputs,
            memory,
            batch.source_segments,
            batch.target_segments,
            batch.target_positions,
            dropout_key=dropout_key,
        )

    def encode(
        self,
        source: Int[Array, "B S"],
        segments: Int[Array, "B S"],
        positions: Int[Array, "B S"],
        *,
        dropout_key: DropoutKey | None = None,
    ) -> Float[Array, "B S D"]:
        """The encoder's output: for each source token, a vector that depends on its whole sentence."""
        x = self.source_positions.embed(self.embeddings()[0](source), positions)
        sites = dropout_sites(dropout_key, 2 + 2 * len(self.encoder))
        x = dropout(x, self.dropout, fold_site(sites, 0))
        mask = SelfMask(segments)

        def apply(layer, x, number):
            def run(x, site):
                return layer(x, positions, mask, self.source_positions, dropout_site=site)[0]

            with scope("encoder"), scope(number):
                return self.rematerialized(run)(x, fold_site(sites, 2 + 2 * number))

        x = run_layers(self.encoder, x, apply, layer_loop=self.layer_loop)
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
        """The decoder's features for whole targets, from which `logits` predicts each next token."""
        x = self.target_positions.embed(self.target_embedding(target_inputs), target_positions)
        sites = dropout_sites(dropout_key, 2 + 2 * len(self.decoder))
        x = dropout(x, self.dropout, fold_site(sites, 1))
        masks = CausalMask(target_segments), CrossMask(target_segments, source_segments)

        def apply(layer, x, number):
            def run(x, memory, site):
                source = layer.cross_attention.project_source(memory)
                return layer(x, source, target_positions, *masks, self.target_positions, dropout_site=site)[0]

            with scope("decoder"), scope(number):
                return self.rematerialized(run)(x, memory, fold_site(sites, 3 + 2 * number))

        x = run_layers(self.decoder, x, apply, layer_loop=self.layer_loop)
        return self.decoder_norm(x) if self.pre_norm else x

    def rematerialized(self, layer: Callable[..., Array]) -> Callable[..., Array]:
        """The layer, rematerialised in back-propagation if the config asks for it (Chen et al. 2016)."""
        return jax.checkpoint(layer) if self.rematerialize and not is_tapped() else layer

    def logits(self, x: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        """The logits of each token of the vocabulary."""
        return self.output().logits(x)

    def output(self) -> Embedding:
        """The embedding whose matrix the output layer uses."""
        return self.output_embedding if self.tied == "none" else self.target_embedding

    def embeddings(self) -> tuple[Embedding, Embedding]:
        """The word embeddings of the source and of the target."""
        return (self.target_embedding if self.tied == "all" else self.source_embedding), self.target_embedding

    @staticmethod
    def alignment_name(layer: int) -> str:
        """The name under which `tap` shows the cross-attention of a decoder layer, counted from 0."""
        return f"decoder/{layer}/cross_attention/weights"

    # --- one token after the other: search -----------------------------------------------------------------

    def begin(self, source: Int[Array, "B S"], *, beams: int) -> DecoderCache:
        """The cache before the first target token: the source, encoded and projected for each decoder layer.

        Each row holds one sentence.
        """
        segments = (source != PAD).astype(jnp.int32)
        positions = jnp.broadcast_to(jnp.arange(source.shape[1]), source.shape)
        memory = self.encode(source, segments, positions)
        rows = source.shape[0]
        values = jnp.zeros((rows, self.heads, 0, self.head_width), self.dtype)
        return DecoderCache(
            source=tuple(layer.cross_attention.project_source(memory) for layer in self.decoder),
            source_segments=segments,
            target=tuple(KeysValues(values.swapaxes(2, 3), values) for _ in self.decoder),
            ancestors=jnp.zeros((rows, beams, 0), jnp.int32),
        )

    def step(
        self, tokens: Int[Array, "B K"], positions: Int[Array, " B"], cache: DecoderCache
    ) -> tuple[Float[Array, "B K V"], DecoderCache]:
        """The logits of the token after each hypothesis's newest one, at its row's position, and the new cache.

        They equal the last column of `decode` followed by `logits`; keys and values of earlier tokens come from the
        cache.
        """
        ancestors = with_newest(cache.ancestors, positions)
        segments = jnp.broadcast_to(cache.source_segments.max(axis=1, keepdims=True), tokens.shape)
        masks = AncestorMask(ancestors, positions), CrossMask(segments, cache.source_segments)
        each = jnp.broadcast_to(positions[:, None], tokens.shape)
        x = self.target_positions.embed(self.target_embedding(tokens), each)
        target = []
        for number, (layer, source, past) in enumerate(zip(self.decoder, cache.source, cache.target, strict=True)):
            with scope("decoder"), scope(number):
                x, seen = layer(x, source, each, *masks, self.target_positions, past=past)
            target.append(seen)
        x = self.decoder_norm(x) if self.pre_norm else x
        return self.logits(x), cache._replace(target=tuple(target), ancestors=ancestors)

    @staticmethod
    def reorder(cache: DecoderCache, parents: Int[Array, "B K"]) -> DecoderCache:
        """The cache in which hypothesis k of a sentence continues hypothesis `parents[k]`.

        Only the table of ancestors changes; keys and values stay in place.
        """
        return cache._replace(ancestors=jnp.take_along_axis(cache.ancestors, parents[:, :, None], axis=1))

    @staticmethod
    def grow(cache: DecoderCache, length: int) -> DecoderCache:
        """The cache with room for hypotheses of up to `length` tokens, on which the cost of attention depends."""
        _, beams, present = cache.ancestors.shape
        room, none = length - present, (0, 0)

        def pad(past: KeysValues) -> KeysValues:
            more = (0, room * beams)
            return KeysValues(
                jnp.pad(past.keys, (none, none, none, more)), jnp.pad(past.values, (none, none, more, none))
            )

        ancestors = jnp.pad(cache.ancestors, (none, none, (0, room)))
        return cache._replace(target=tuple(map(pad, cache.target)), ancestors=ancestors)

    # --- arithmetic ----------------------------------------------------------------------------------------

    @staticmethod
    def forward_flops(config: ModelConfig, target_vocabulary: int, size: BatchSize) -> float:
        """Operations of a forward pass over the real tokens, after Chowdhery et al. 2022, appendix B.

        A matrix product takes 2 operations for each weight and token. Attention's scores and weighted sum take 4 D for
        each token and key; all keys of a row count, because all are computed. Embeddings, norms, softmax and padding
        are left out. With F' = 3 F for swiglu and 2 F for the others:

            source token   encoder layers * (8 D^2 + 2 D F' + 4 D S) + decoder layers * 4 D^2
            target token   decoder layers * (12 D^2 + 2 D F' + 4 D (T + S)) + 2 V D
        """
        width = config.width
        feed_forward = 2 * width * config.feed_forward * (3 if config.activation == "swiglu" else 2)
        encoder_layer = 8 * width**2 + feed_forward + 4 * width * size.source_length
        decoder_layer = 12 * width**2 + feed_forward + 4 * width * (size.target_length + size.source_length)
        keys_values = 4 * width**2
        source_token = config.encoder_layers * encoder_layer + config.decoder_layers * keys_values
        target_token = config.decoder_layers * decoder_layer + 2 * target_vocabulary * width
        return float(size.source_tokens * source_token + size.target_tokens * target_token)

    @staticmethod
    def rough_activations(config: ModelConfig, length: int) -> int:
        """Roughly how many values an update keeps for its gradients, for each token of a row on each side."""
        encoder = 10 * config.width + 3 * config.feed_forward + 2 * config.heads * length
        decoder = 16 * config.width + 3 * config.feed_forward + 4 * config.heads * length
        return config.encoder_layers * encoder + config.decoder_layers * decoder

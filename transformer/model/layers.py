"""Encoder and decoder layers: sub-layers in residual connections."""

from flax import nnx
from jaxtyping import Array, Float, Int

from transformer.config import ModelConfig
from transformer.model.attention import KeysValues, MultiHeadAttention
from transformer.model.dense import Precision
from transformer.model.dropout import DropoutSite, dropout, site_within
from transformer.model.feed_forward import FEED_FORWARDS
from transformer.model.masks import Mask
from transformer.model.norms import NORMS
from transformer.model.positions import PositionalEncoding
from transformer.model.tap import scope, show


class Residual(nnx.Module):
    """A residual connection around a sub-layer, with its normalisation and dropout.

    pre:  x + dropout(sublayer(norm(x)))      (Xiong et al. 2020; trains without a long warm-up)
    post: norm(x + dropout(sublayer(x)))      (Vaswani et al. 2017, section 3.1)
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        self.norm = NORMS[config.norm](config.width, rngs=rngs)
        self.norm_position = config.norm_position
        self.dropout = config.dropout

    def before(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """The sub-layer's input for `x`."""
        show("input", lambda: x)
        return self.norm(x) if self.norm_position == "pre" else x

    def after(
        self, x: Float[Array, "B T D"], added: Float[Array, "B T D"], *, dropout_site: DropoutSite | None = None
    ) -> Float[Array, "B T D"]:
        """`x` plus `added`, the sub-layer's output for it."""
        show("added", lambda: added)
        x = x + dropout(added, self.dropout, dropout_site)
        return x if self.norm_position == "pre" else self.norm(x)


class EncoderLayer(nnx.Module):
    """Self-attention, then a feed-forward network, each in a residual connection."""

    def __init__(self, config: ModelConfig, *, precision: Precision, rngs: nnx.Rngs):
        self.self_attention = MultiHeadAttention(config, precision=precision, rngs=rngs)
        self.self_attention_residual = Residual(config, rngs=rngs)
        self.feed_forward = FEED_FORWARDS[config.activation](config, precision=precision, rngs=rngs)
        self.feed_forward_residual = Residual(config, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "B S D"],
        positions: Int[Array, "B S"],
        mask: Mask,
        encoding: PositionalEncoding,
        *,
        past: KeysValues | None = None,
        dropout_site: DropoutSite | None = None,
    ) -> tuple[Float[Array, "B S D"], KeysValues]:
        """The features, and the keys and values of self-attention.

        A decoder-only model is a stack of these layers; see `DecoderLayer` for `past`.
        """
        with scope("self_attention"):
            normal = self.self_attention_residual.before(x)
            attended, seen = self.self_attention.self_attention(normal, positions, mask, encoding, past=past)
            x = self.self_attention_residual.after(x, attended, dropout_site=site_within(dropout_site, 0))
        with scope("feed_forward"):
            normal = self.feed_forward_residual.before(x)
            fed = self.feed_forward(normal, dropout_site=site_within(dropout_site, 2))
            return self.feed_forward_residual.after(x, fed, dropout_site=site_within(dropout_site, 1)), seen


class DecoderLayer(nnx.Module):
    """Masked self-attention over the target, cross-attention to the source, then a feed-forward network.

    Each is in a residual connection.
    """

    def __init__(self, config: ModelConfig, *, precision: Precision, rngs: nnx.Rngs):
        self.self_attention = MultiHeadAttention(config, precision=precision, rngs=rngs)
        self.self_attention_residual = Residual(config, rngs=rngs)
        self.cross_attention = MultiHeadAttention(config, precision=precision, rngs=rngs)
        self.cross_attention_residual = Residual(config, rngs=rngs)
        self.feed_forward = FEED_FORWARDS[config.activation](config, precision=precision, rngs=rngs)
        self.feed_forward_residual = Residual(config, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        source: KeysValues,
        positions: Int[Array, "B T"],
        self_mask: Mask,
        cross_mask: Mask,
        encoding: PositionalEncoding,
        *,
        past: KeysValues | None = None,
        dropout_site: DropoutSite | None = None,
    ) -> tuple[Float[Array, "B T D"], KeysValues]:
        """The features, and the keys and values of self-attention.

        Without `past`, `x` holds whole targets, and so do the keys and values. With `past`, the cache, `x` holds the
        newest token of each hypothesis, and the keys and values are the new cache. `source` is
        `cross_attention.project_source` of the encoder's output.
        """
        with scope("self_attention"):
            normal = self.self_attention_residual.before(x)
            attended, seen = self.self_attention.self_attention(normal, positions, self_mask, encoding, past=past)
            x = self.self_attention_residual.after(x, attended, dropout_site=site_within(dropout_site, 0))
        with scope("cross_attention"):
            normal = self.cross_attention_residual.before(x)
            attended = self.cross_attention.cross_attention(normal, source, cross_mask)
            x = self.cross_attention_residual.after(x, attended, dropout_site=site_within(dropout_site, 1))
        with scope("feed_forward"):
            normal = self.feed_forward_residual.before(x)
            fed = self.feed_forward(normal, dropout_site=site_within(dropout_site, 3))
            return self.feed_forward_residual.after(x, fed, dropout_site=site_within(dropout_site, 2)), seen

"""What the cache saves: operations and bytes of decoding with it, against computing everything anew at each step."""

from typing import NamedTuple

import jax.numpy as jnp

from transformer.config import ModelConfig
from transformer.model.assembly import BatchSize
from transformer.model.dense import activation_dtype, resolve_precision
from transformer.model.encoder_decoder import EncoderDecoder


class CacheCosts(NamedTuple):
    """Operations and bytes for one hypothesis. A multiplication and an addition are 2 operations.

    They are counted by `EncoderDecoder.forward_flops`, which leaves out embeddings, norms and softmax.
    """

    once: float  # operations: the encoder, and keys and values of its output
    steps: list[float]  # operations of each step with the cache
    anew: list[float]  # operations of each step if source and target were computed again
    source_bytes: int  # of the cache: keys and values of the source
    token_bytes: int  # of the cache, for each target token: its keys and values

    @property
    def saved(self) -> float:
        """How many times fewer operations the whole translation takes with the cache."""
        return sum(self.anew) / (self.once + sum(self.steps))


def cache_costs(config: ModelConfig, vocabulary: int, *, source: int, target: int) -> CacheCosts:
    """The costs of writing `target` tokens for a source of `source` tokens, ends included."""

    def operations(source_tokens: int, target_tokens: int, length: int) -> float:
        return EncoderDecoder.forward_flops(config, vocabulary, BatchSize(source_tokens, target_tokens, source, length))

    output = 2.0 * vocabulary * config.width  # of one token: only the newest one needs logits
    lengths = range(1, target + 1)
    bytes_each = jnp.dtype(activation_dtype(resolve_precision(config.precision))).itemsize
    per_token = 2 * config.decoder_layers * config.width * bytes_each
    return CacheCosts(
        once=operations(source, 0, 0),
        steps=[operations(0, 1, length) for length in lengths],
        anew=[operations(source, length, length) - (length - 1) * output for length in lengths],
        source_bytes=source * per_token,
        token_bytes=per_token,
    )

"""The arithmetic of a model: floating-point operations of an update, and how many a device can do in a second."""

from typing import NamedTuple

from transformer.config import ModelConfig

TERA = 1e12

PEAK_TERAFLOPS = {
    "H100": 989.0,
    "H200": 989.0,
    "A100": 312.0,
    "TPU v4": 275.0,
    "TPU v5 lite": 197.0,
    "TPU v5e": 197.0,
    "TPU v5": 459.0,
    "TPU v6 lite": 918.0,
    "TPU v6e": 918.0,
}
"""Dense bfloat16 TFLOP/s that makers state, by a part of JAX's name of the device; the first that is found counts.

Those of H100 and A100 are of the SXM boards: the others are slower, and want devices.peak_tflops.
"""


class BatchSize(NamedTuple):
    """What the arithmetic of a batch depends on: its real tokens, and the lengths of its rows."""

    source_tokens: float
    target_tokens: float
    source_length: int
    target_length: int


def forward_flops(config: ModelConfig, target_vocabulary: int, size: BatchSize) -> float:
    """Operations of a forward pass over the real tokens: Chowdhery et al. 2022, appendix B, for encoder and decoder.

    A matrix product takes 2 operations for each weight and token; the scores and the weighted sum of an attention take
    4 D for each token and key, of which a row's whole length counts, as it is computed. Left out are embeddings, norms,
    softmax and padding. With F' = 3 F for swiglu and 2 F for the others:

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


def update_flops(config: ModelConfig, target_vocabulary: int, size: BatchSize) -> float:
    """Operations of an update: a backward pass takes twice those of the forward pass; the optimiser's are left out."""
    return 3 * forward_flops(config, target_vocabulary, size)


def known_peak(device_kind: str) -> float:
    """The table's TFLOP/s of a device, by JAX's name of its kind; 0 when it is not there."""
    return next((peak for kind, peak in PEAK_TERAFLOPS.items() if kind in device_kind), 0.0)

"""Floating-point operations: how many an update takes, and how many a device can do in a second."""

from transformer.config import Config
from transformer.model import ASSEMBLIES, BatchSize

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
"""Dense bfloat16 TFLOP/s from vendors' data sheets, by part of JAX's name of the device; the first match counts.

For H100 and A100 they are those of the SXM boards. Other boards are slower: set devices.peak_tflops for them.
"""


def update_flops(config: Config, target_vocabulary: int, size: BatchSize) -> float:
    """Operations of an update: three times the forward pass, as the backward pass takes two; without the optimiser."""
    forward = ASSEMBLIES[config.model.assembly].forward_flops(config.model, target_vocabulary, size)
    return 3 * config.training.copies * forward


def known_peak(device_kind: str) -> float:
    """The peak TFLOP/s of a device from the table, by JAX's name of its kind; 0 if the table lacks it."""
    return next((peak for kind, peak in PEAK_TERAFLOPS.items() if kind in device_kind), 0.0)

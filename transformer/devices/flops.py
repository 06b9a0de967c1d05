"""The arithmetic of a model: floating-point operations of an update, and how many a device can do in a second."""

from transformer.config import ModelConfig
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
"""Dense bfloat16 TFLOP/s that makers state, by a part of JAX's name of the device; the first that is found counts.

Those of H100 and A100 are of the SXM boards: the others are slower, and want devices.peak_tflops.
"""


def update_flops(config: ModelConfig, target_vocabulary: int, size: BatchSize) -> float:
    """Operations of an update: a backward pass takes twice those of the forward pass; the optimiser's are left out."""
    return 3 * ASSEMBLIES[config.assembly].forward_flops(config, target_vocabulary, size)


def known_peak(device_kind: str) -> float:
    """The table's TFLOP/s of a device, by JAX's name of its kind; 0 when it is not there."""
    return next((peak for kind, peak in PEAK_TERAFLOPS.items() if kind in device_kind), 0.0)

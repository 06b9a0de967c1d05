"""Updates of a tiny model on any mapping of the eight virtual devices, and how to compare them."""

from typing import Any

import jax
import numpy as np
from flax import nnx

from data.batch import EOS, Batch, TokenPair
from data.batching.layout import make_batch
from data.config import DataConfig
from transformer.config import Config, DevicesConfig, ModelConfig, TrainingConfig
from transformer.devices import STRATEGIES
from transformer.model import build, split

VOCABULARY, ROWS, LENGTH = 40, 16, 8


MAPPINGS = {
    "one": DevicesConfig(data=1),
    "data": DevicesConfig(data=8),
    "fsdp": DevicesConfig(data=1, fsdp=8),
    "tensor": DevicesConfig(data=1, tensor=8),
    "mixed": DevicesConfig(data=2, fsdp=2, tensor=2),
    "pmap": DevicesConfig(strategy="pmap", data=8),
}


def recipe(
    *, dropout: float = 0.0, devices: DevicesConfig | None = None, model: dict[str, Any] | None = None, **training
) -> Config:
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "width": 32, "heads": 4, "feed_forward": 64}
    sizes |= {"maximum_length": 16, "dropout": dropout, "precision": "float32"}
    defaults = {"learning_rate": 0.01, "warmup_steps": 4, "schedule": "constant"} | training
    data = DataConfig(maximum_tokens=16, row_length=16)
    return Config(
        data=data,
        model=ModelConfig(**sizes | (model or {})),
        training=TrainingConfig(**defaults),
        devices=devices or DevicesConfig(data=1),
    )


def batches(count: int, vocabulary: int = VOCABULARY) -> list[Batch]:
    """Batches for copying with rows of 1 to 7 tokens, so that slices of a batch differ in real tokens."""
    random = np.random.default_rng(0)

    def pair() -> TokenPair:
        tokens = random.integers(4, vocabulary, random.integers(1, LENGTH)).tolist()
        return TokenPair([*tokens, EOS], tokens)

    return [
        make_batch([[pair()] for _ in range(ROWS)], source_length=LENGTH, target_length=LENGTH, rows_count=ROWS)
        for _ in range(count)
    ]


def start(config: Config, vocabulary: int = VOCABULARY):
    """The strategy of a config, and the state before its first update."""
    graph, parameters = split(
        build(config.model, source_vocabulary=vocabulary, target_vocabulary=vocabulary, rngs=nnx.Rngs(0))
    )
    strategy = STRATEGIES[config.devices.strategy](graph, config)
    return strategy, strategy.init_state(parameters)


def fit(config: Config, steps: int = 20, *, rows: int = ROWS, vocabulary: int = VOCABULARY):
    """The state and losses after updates on batches padded with empty rows, as in training."""
    (strategy, state), losses = start(config, vocabulary), []
    for batch in batches(steps, vocabulary):
        batch = jax.tree.map(lambda x: np.pad(x[:rows], ((0, ROWS - rows), (0, 0))), batch)
        state, metrics = strategy.train_step(state, batch, jax.random.key(7))
        losses.append(float(metrics.loss))
    return jax.device_get(strategy.saved(state)), losses


def assert_same_parameters(state, expected, tolerance=1e-5):
    """Asserts that arrays are equal up to this fraction of their norm: summation order changes float32 sums."""
    expected = dict(jax.tree_util.tree_leaves_with_path(expected.parameters))
    for path, x in jax.tree_util.tree_leaves_with_path(state.parameters):
        error = np.linalg.norm(x - expected[path]) / max(np.linalg.norm(expected[path]), 1e-2)
        assert error <= tolerance, f"{jax.tree_util.keystr(path)}: {error:.1e}"

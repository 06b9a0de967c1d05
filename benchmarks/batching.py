"""Packed and bucketed batches: real target tokens a second, padding, and the time until every shape is compiled.

    JAX_ENABLE_COMPILATION_CACHE=false python benchmarks/batching.py --source train.en.gz --target train.de.gz

Updates of the two alternate in one process, so that both see the same load of the machine; the first of each shape
compiles and is not timed. Prints a table and a JSON line. Without the environment variable, compiled programs are
loaded from the cache of an earlier run.
"""

import argparse
import json
import platform
import statistics
import time
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from data.batching.packing import Share
from data.batching.pipeline import training_batches
from data.config import DataConfig
from data.sources import load_corpora
from data.vocabulary.tokenizer import Tokenizer, learn_tokenizer
from dragoman.commands.options import ArgumentParser, run_main
from transformer.config import Config, ModelConfig, TrainingConfig
from transformer.devices.compilation import use_compilation_cache
from transformer.devices.mesh import MeshStrategy
from transformer.model import build, split


class Course:
    """A model, its batches of one kind, and what its updates took."""

    def __init__(self, config: Config, tokenizer: Tokenizer, updates: int):
        size = {"source_vocabulary": tokenizer.source_size, "target_vocabulary": tokenizer.target_size}
        graph, parameters = split(build(config.model, **size, rngs=nnx.Rngs(0)))
        self.config, self.strategy = config, MeshStrategy(graph, config)
        self.state = self.strategy.init_state(parameters)
        stream = training_batches(
            load_corpora(config.data, "train"),
            tokenizer,
            config.data,
            batch_tokens=int(config.training.batch_tokens),
            share=Share(row_multiple=self.strategy.row_devices),
            seed=0,
        )
        batches = iter(stream)
        self.batches = list(islice(batches, updates))
        batches.close()
        self.seen: set[tuple[int, ...]] = set()
        self.rates: list[float] = []
        self.tokens, self.seconds, self.compiling = 0.0, 0.0, 0.0

    def update(self, number: int) -> None:
        """Computes and times an update."""
        batch, start = self.batches[number], time.perf_counter()
        trained = self.strategy.train_step(self.state, batch, jax.random.key(0))
        self.state, metrics = jax.block_until_ready(trained)
        seconds, shape = time.perf_counter() - start, batch.target_inputs.shape
        if shape in self.seen:
            self.tokens, self.seconds = self.tokens + float(metrics.tokens), self.seconds + seconds
            self.rates.append(float(metrics.tokens) / seconds)
        else:
            self.seen.add(shape)
            self.compiling += seconds

    def result(self) -> dict[str, Any]:
        """The figures of all updates."""
        real = sum(float((batch.target_segments != 0).sum()) for batch in self.batches)
        return {
            "batching": self.config.data.batching,
            "buckets": self.config.data.buckets,
            "shapes": len(self.seen),
            "compile_seconds": self.compiling,
            "padding": 1 - real / float(np.sum([batch.target_segments.size for batch in self.batches])),
            "tokens_per_second": statistics.median(self.rates),
            "mean_tokens_per_second": self.tokens / self.seconds,
        }


def recipe(options: argparse.Namespace, batching: str) -> Config:
    """A small model, with batches of one kind."""
    data = DataConfig(
        train=[[str(Path(path).resolve()) for path in (options.source, options.target)]],
        vocabulary_size=options.vocabulary,
        maximum_tokens=options.row_length,
        row_length=options.row_length,
        batching=batching,
        buckets=options.buckets,
        shuffle_block=8000,
    )
    layers = {"encoder_layers": options.layers, "decoder_layers": options.layers}
    model = ModelConfig(**layers, width=128, heads=4, feed_forward=256, dropout=0.3)
    return Config(data=data, model=model, training=TrainingConfig(batch_tokens=options.batch_tokens))


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of the command line."""
    parser = ArgumentParser(prog="benchmarks/batching.py", description="Packed and bucketed batches, compared.")
    parser.add_argument("--source", required=True, help="training text, source side; plain, .gz or .xz")
    parser.add_argument("--target", required=True, help="training text, target side")
    for name, default, meaning in (
        ("vocabulary", 5000, "pieces"),
        ("layers", 4, "encoder layers, and decoder layers"),
        ("row-length", 64, "tokens in the longest rows"),
        ("batch-tokens", 2048, "tokens in an update"),
        ("buckets", 6, "largest number of row lengths; 0: no limit"),
        ("updates", 40, "updates of each"),
    ):
        parser.add_argument(f"--{name}", metavar="N", type=int, default=default, help=f"{meaning} (default {default})")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """The command line."""
    options = parse(arguments)
    use_compilation_cache()
    configs = [recipe(options, batching) for batching in ("packed", "bucketed")]
    tokenizer = learn_tokenizer(configs[0].data, load_corpora(configs[0].data, "train"))
    courses = [Course(config, tokenizer, options.updates) for config in configs]
    for number in range(options.updates):
        for course in courses:
            course.update(number)
    results = [course.result() for course in courses]
    print(f"{platform.machine()}, {jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}")
    print(f"{'batching':10} {'shapes':>6} {'compiling, s':>12} {'padding':>8} {'tokens/s':>9} {'mean':>7}")
    for row in results:
        print(
            f"{row['batching']:10} {row['shapes']:6} {row['compile_seconds']:12.1f} {row['padding']:8.1%} "
            f"{row['tokens_per_second']:9,.0f} {row['mean_tokens_per_second']:7,.0f}"
        )
    print(json.dumps(results))


if __name__ == "__main__":
    run_main(main)

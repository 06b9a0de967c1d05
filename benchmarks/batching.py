"""Packed and bucketed batches: real target tokens a second, padding, and the time until every shape is compiled.

    JAX_ENABLE_COMPILATION_CACHE=false python benchmarks/batching.py --source train.en.gz --target train.de.gz

Updates of the two alternate in one process, so that both see the same load of the machine; the first of each shape
compiles and is not timed. Prints a table and a JSON line. Without the environment variable, compiled programs are
loaded from the cache of an earlier run.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1]))  # where the package benchmarks is, which is not installed

import argparse
import json
import platform
import statistics
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.timed_updates import TimedUpdates
from data.batch import Batch
from data.config import DataConfig
from data.sources import load_corpora
from data.vocabulary.tokenizer import learn_tokenizer
from dragoman.commands.options import ArgumentParser, run_main
from transformer.config import Config, ModelConfig, TrainingConfig
from transformer.devices.compilation import use_compilation_cache


def result(updates: TimedUpdates, batches: Sequence[Batch]) -> dict[str, Any]:
    """The figures of all updates, which were on these batches."""
    real = sum(float((batch.target_segments != 0).sum()) for batch in batches)
    return {
        "batching": updates.config.data.batching,
        "buckets": updates.config.data.buckets,
        "shapes": len(updates.shapes),
        "compile_seconds": updates.compile_seconds,
        "padding": 1 - real / float(np.sum([batch.target_segments.size for batch in batches])),
        "tokens_per_second": statistics.median(updates.rates),
        "mean_tokens_per_second": sum(updates.tokens) / sum(updates.seconds),
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
    timed = [TimedUpdates(config, tokenizer) for config in configs]
    batches = [updates.read(options.updates) for updates in timed]
    for _ in range(options.updates):
        for updates in timed:
            updates.update()
    results = list(map(result, timed, batches))
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

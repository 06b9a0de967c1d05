"""The cost of compiling an update: `python benchmarks/compilation.py [--size tiny base big] [--form loop scan stack]`.

There are three forms of the program: layers unrolled (loop); layers as a scan (scan); a scan, with an optimizer that
works on stacks of parameters (stack). For each size and form, this prints the lines of StableHLO that tracing produces,
the operations in XLA's compiled program, and the seconds of tracing and of compiling, without a cache. Parameters are
never allocated.
"""

import argparse
import json
import platform
import sys
import time
from typing import Any

import jax

from data.config import DataConfig
from dragoman.commands.options import ArgumentParser, run_main
from transformer.config import Config, ModelConfig, TrainingConfig
from transformer.devices.mesh import MeshStrategy
from transformer.model import abstract

SIZES = {
    "tiny": {"layers": 4, "width": 128, "heads": 4, "feed_forward": 256, "optimizer": "muon", "tokens": 2048},
    "base": {"layers": 6, "width": 512, "heads": 8, "feed_forward": 2048, "optimizer": "adamw", "tokens": 32768},
    "big": {"layers": 6, "width": 1024, "heads": 16, "feed_forward": 4096, "optimizer": "adamw", "tokens": 32768},
}
FORMS = ("loop", "scan", "stack")
ROW_LENGTH = 64


def recipe(size: str, form: str, precision: str) -> Config:
    """A recipe of this size; tiny has the model and the optimizer of configs/multi30k-en-de.toml."""
    about = SIZES[size]
    return Config(
        data=DataConfig(batching="packed", maximum_tokens=ROW_LENGTH, row_length=ROW_LENGTH),
        model=ModelConfig(
            encoder_layers=about["layers"],
            decoder_layers=about["layers"],
            width=about["width"],
            heads=about["heads"],
            feed_forward=about["feed_forward"],
            layer_loop="unrolled" if form == "loop" else "scan",
            precision=precision,
        ),
        training=TrainingConfig(batch_tokens=about["tokens"], optimizer=about["optimizer"]),
    )


def measure(config: Config, vocabulary: int, *, stacks: bool) -> dict[str, Any]:
    """Lines, operations and seconds for a recipe's update."""
    graph, parameters = abstract(config.model, vocabulary, vocabulary)
    strategy = MeshStrategy(graph, config, stacks=stacks)
    start = time.perf_counter()
    lowered = strategy.lower(parameters, config.training.batch_tokens // ROW_LENGTH, ROW_LENGTH)
    traced = time.perf_counter()
    compiled = lowered.compile()
    ended = time.perf_counter()
    operations = sum(" = " in line for line in compiled.as_text().split("\n"))
    lines = lowered.as_text().count("\n")
    return {"lines": lines, "operations": operations, "tracing": traced - start, "compiling": ended - traced}


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of the command line."""
    parser = ArgumentParser(prog="benchmarks/compilation.py", description="The cost of compiling an update.")
    parser.add_argument("--size", nargs="+", default=list(SIZES), choices=SIZES, help="model sizes (default: all)")
    parser.add_argument("--form", nargs="+", default=list(FORMS), choices=FORMS, help="program forms (default: all)")
    parser.add_argument("--precision", default="float32", help="precision of matrix products (default float32)")
    parser.add_argument("--vocabulary", metavar="N", type=int, default=8000, help="pieces (default 8000)")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """The command line."""
    options = parse(arguments)
    jax.config.update("jax_enable_compilation_cache", False)
    print(f"{platform.machine()}, {jax.devices()[0].device_kind}, jax {jax.__version__}", file=sys.stderr)
    print(f"{'size':6} {'form':6} {'StableHLO lines':>15} {'operations':>10} {'tracing s':>9} {'compiling s':>11}")
    results = []
    for size in options.size:
        for form in options.form:
            config = recipe(size, form, options.precision)
            found = measure(config, options.vocabulary, stacks=form == "stack")
            results.append({"size": size, "form": form, **found})
            print(
                f"{size:6} {form:6} {found['lines']:15,} {found['operations']:10,} "
                f"{found['tracing']:9.1f} {found['compiling']:11.1f}"
            )
    print(json.dumps(results))


if __name__ == "__main__":
    run_main(main)

"""Memory of one update with the chunked loss, beside the plain one, which holds all logits at once.

    python benchmarks/loss_memory.py [RECIPE] [--training.batch_tokens 8192] [--data.vocabulary_size 32000 ...]

Compiles and runs the update of a recipe on random text, once with each loss, each in a process of its own. Prints the
memory that XLA plans (temporary arrays, and results that do not reuse an argument's memory), the largest resident
memory of the process, and one JSON line. The smaller the model is compared with its vocabulary, the larger is the
loss's share.
"""

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from data.batch import Batch
from dragoman.commands.options import ArgumentParser, add_config_options, overrides, run_main
from dragoman.runs.recipe import read_recipe
from transformer.config import Config
from transformer.devices.mesh import MeshStrategy
from transformer.model import build, split
from transformer.model.dense import resolve_precision
from transformer.training import cross_entropy
from transformer.training.loss import chunked_loss, plain_loss
from transformer.training.placement import OneDevice
from transformer.training.step import build_train_step

MEGA = 1e6


def plain(hidden, table, labels, weights, smoothing, precision, vocabulary):
    """`plain_loss` in the place of `chunked_loss`; its product is in float32 under every policy."""
    del precision
    return plain_loss(hidden, table, labels, weights, smoothing=smoothing, vocabulary=vocabulary)


LOSSES = {"plain": plain, "chunked": chunked_loss}


def recipe(options: argparse.Namespace) -> Config:
    """The recipe on one device, with updates of 8,192 tokens unless the command line has others."""
    return read_recipe(options.recipe, {"training.batch_tokens": "8192", **overrides(options), "devices.data": "1"})


def full_batch(tokens: int, length: int, vocabulary: int) -> Batch:
    """Rows without padding, each one sentence of random tokens."""
    shape = (tokens // length, length)
    text = np.random.default_rng(0).integers(4, vocabulary, shape, dtype=np.int32)
    one, positions = np.ones(shape, np.int32), np.broadcast_to(np.arange(length, dtype=np.int32), shape)
    return Batch(text, one, positions, text, text, one, positions)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Compiles and runs one update with one loss. Only the loss in training's own objective is exchanged."""
    cross_entropy.chunked_loss = LOSSES[options.loss]
    config = recipe(options)
    vocabulary = config.data.vocabulary_size
    sizes = {"source_vocabulary": vocabulary, "target_vocabulary": vocabulary}
    graph, parameters = split(build(config.model, **sizes, rngs=nnx.Rngs(0)))
    strategy = MeshStrategy(graph, config)
    state = strategy.init_state(parameters)
    del parameters
    batch, key = full_batch(config.training.batch_tokens, config.data.row_length, vocabulary), jax.random.key(0)
    update = build_train_step(graph, config.training, strategy.optimizer, OneDevice())
    step = jax.jit(update, donate_argnums=0).lower(state, batch, key).compile()
    plan = step.memory_analysis()
    state, metrics = step(state, batch, key)
    return {
        "loss": options.loss,
        "value": float(metrics.loss),
        "arguments": plan.argument_size_in_bytes,
        "temporary_and_results": plan.temp_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes,
        "peak_resident": peak_resident(),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.parameters)),
    }


def peak_resident() -> int:
    """The largest resident memory of this process so far in bytes, on Linux; `ru_maxrss` begins at the parent's."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").split("\n")
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def table(results: list[dict[str, Any]]) -> str:
    """One line for each loss, and the chunked one's share of the plain one's."""
    names = ("arguments", "temporary_and_results", "peak_resident")
    lines = [f"{'MB':8} {'arguments':>12} {'temporary + results':>20} {'peak resident':>14}"]
    for result in results:
        sizes = [result[name] / MEGA for name in names]
        lines.append(f"{result['loss']:8} {sizes[0]:12,.0f} {sizes[1]:20,.0f} {sizes[2]:14,.0f}")
    shares = [results[1][name] / results[0][name] for name in names]
    return "\n".join([*lines, f"{'share':8} {shares[0]:12.2f} {shares[1]:20.2f} {shares[2]:14.2f}"])


def main(arguments: list[str]) -> None:
    """Measure each loss in its own process; print the table and the JSON line."""
    parser = ArgumentParser(prog="benchmarks/loss_memory.py", description="Memory of an update, by its loss.")
    parser.add_argument(
        "recipe", nargs="?", default="configs/wmt14-en-de-base.toml", help="(default %(default)s, in smaller updates)"
    )
    parser.add_argument("--loss", choices=LOSSES, help="measure this one in this process, as JSON")
    add_config_options(parser, ["data", "model", "training"])
    options = parser.parse_args(arguments)
    config = recipe(options)
    if options.loss:
        print(json.dumps(measure(options)))
        return
    results = []
    for name in LOSSES:
        command = [sys.executable, __file__, *arguments, "--loss", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"the process with the {name} loss ended with status {done.returncode}")
        results.append(json.loads(done.stdout))
    about = {"machine": platform.machine(), "device": jax.devices()[0].device_kind, "jax": jax.__version__}
    about |= {"precision": resolve_precision(config.model.precision)}
    print(", ".join(about.values()), f"{results[0]['parameters']:,} parameters", sep=", ")
    print(table(results))
    print(json.dumps({"options": vars(options), **about, "results": results}))


if __name__ == "__main__":
    run_main(main)

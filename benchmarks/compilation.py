"""The cost of compiling an update.

    python benchmarks/compilation.py [--size tiny base big] [--form loop loop-stack scan stack]

The layers of the program are unrolled (loop) or a scan (scan). With Muon, matrices of equal shape may be multiplied as
stacks (loop-stack, as on GPUs; stack, a scan, as on TPUs), which makes no difference for AdamW. For each size and form,
this prints the lines of StableHLO that tracing produces, the operations in XLA's compiled program, the seconds of
tracing and of compiling, without a cache, and the processor seconds of compiling. Parameters are not allocated, unless
`--updates N` asks to time the compiled program too, on a made-up batch of packed rows:

    python benchmarks/compilation.py --size base --form loop scan --precision bfloat16 --kernel xla pallas \\
        --row-length 128 --updates 20

`--gpu FILE` compiles for the GPU that FILE describes, on a machine without one: XLA's repository has such files for
common cards (xla/backends/gpu/target_config/specs). It needs the extra `cuda13`, and JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1.
Kernels are not tried out then, which takes more time on the card itself. Instead of the speed of updates, it prints the
gigabytes that XLA's kernels read and write in an update, matrix products and our attention kernel not included. By this
one can compare two programs that a GPU's memory limits.
"""

import argparse
import itertools
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.experimental import topologies
from jax.extend.backend import get_backend

from data.batch import Batch
from data.config import DataConfig
from data.errors import InputError
from dragoman.commands.options import ArgumentParser, run_main
from transformer.config import Config, ModelConfig, TrainingConfig
from transformer.devices.mesh import MeshStrategy
from transformer.model import abstract, build, split
from transformer.model.kernels import KERNELS

SIZES = {
    "tiny": {"layers": 4, "width": 128, "heads": 4, "feed_forward": 256, "optimizer": "muon", "tokens": 2048},
    "base": {"layers": 6, "width": 512, "heads": 8, "feed_forward": 2048, "optimizer": "adamw", "tokens": 32768},
    "big": {"layers": 6, "width": 1024, "heads": 16, "feed_forward": 4096, "optimizer": "adamw", "tokens": 32768},
}
FORMS = ("loop", "loop-stack", "scan", "stack")
ROW_LENGTH = 64


def recipe(size: str, form: str, precision: str, *, kernel: str = "xla", row_length: int = ROW_LENGTH) -> Config:
    """A recipe of this size; tiny has the model and the optimizer of configs/multi30k-en-de.toml."""
    about = SIZES[size]
    return Config(
        data=DataConfig(batching="packed", maximum_tokens=row_length, row_length=row_length),
        model=ModelConfig(
            encoder_layers=about["layers"],
            decoder_layers=about["layers"],
            width=about["width"],
            heads=about["heads"],
            feed_forward=about["feed_forward"],
            layer_loop="unrolled" if form.startswith("loop") else "scan",
            precision=precision,
            attention_kernel=kernel,
        ),
        training=TrainingConfig(batch_tokens=about["tokens"], optimizer=about["optimizer"]),
    )


def made_up_batch(rows: int, length: int, vocabulary: int) -> Batch:
    """Packed rows of random tokens, in sentences of 6 to 23 tokens that are as long on both sides."""
    random = np.random.default_rng(0)
    segments, positions = np.zeros((2, rows, length), np.int32)
    for row in range(rows):
        start, number, size = 0, 1, int(random.integers(6, 24))
        while start + size <= length:
            segments[row, start : start + size], positions[row, start : start + size] = number, np.arange(size)
            start, number, size = start + size, number + 1, int(random.integers(6, 24))
    tokens = (random.integers(4, vocabulary, (3, rows, length)) * (segments != 0)).astype(np.int32)
    return Batch(tokens[0], segments, positions, tokens[1], tokens[2], segments, positions)


def time_updates(strategy: MeshStrategy, config: Config, vocabulary: int, updates: int) -> dict[str, float]:
    """Mean milliseconds of an update after the first, and the target tokens of one."""
    sizes = {"source_vocabulary": vocabulary, "target_vocabulary": vocabulary}
    _, parameters = split(build(config.model, **sizes, rngs=nnx.Rngs(0)))
    state, length = strategy.init_state(parameters), config.data.row_length
    batch = made_up_batch(config.training.batch_tokens // length, length, vocabulary)
    state, metrics = strategy.train_step(state, batch, jax.random.key(0))
    tokens = float(metrics.tokens)
    start = time.perf_counter()
    for _ in range(updates):
        state, metrics = strategy.train_step(state, batch, jax.random.key(0))
    jax.block_until_ready(metrics)
    return {"milliseconds": 1e3 * (time.perf_counter() - start) / updates, "tokens": tokens}


def measure(
    config: Config, vocabulary: int, *, stacks: bool, updates: int = 0, is_described: bool = False
) -> dict[str, Any]:
    """Lines, operations and seconds for a recipe's update, and with `updates` its speed.

    For a GPU that is only described, what its kernels read and write.
    """
    graph, parameters = abstract(config.model, vocabulary, vocabulary)
    strategy = MeshStrategy(graph, config, stacks=stacks)
    start = time.perf_counter()
    length = config.data.row_length
    lowered = strategy.lower(parameters, config.training.batch_tokens // length, length)
    traced, processor = time.perf_counter(), time.process_time()
    compiled = lowered.compile()
    ended, spent = time.perf_counter(), time.process_time() - processor
    operations = sum(" = " in line for line in compiled.as_text().split("\n"))
    lines = lowered.as_text().count("\n")
    found = {"lines": lines, "operations": operations, "tracing": traced - start, "compiling": ended - traced}
    found["compiling_processor"] = spent
    if is_described:
        return found | {"gigabytes": gigabytes_of_passes(compiled)}
    return found | (time_updates(strategy, config, vocabulary, updates) if updates else {})


def gigabytes_of_passes(compiled: jax.stages.Compiled) -> float:
    """What the kernels that XLA wrote read and write; it knows nothing of products and kernels of libraries.

    The body of a loop counts once. `jax.stages.Compiled.cost_analysis` would be public, but it gives nothing for a
    program that this machine cannot run.
    """
    from jax._src.lib import _jax

    (module,) = compiled.runtime_executable().hlo_modules()
    return _jax.hlo_module_cost_analysis(get_backend("cpu"), module)["bytes accessed"] / 1e9


def use_described_gpu(file: str) -> None:
    """Makes JAX compile for the GPU that a file describes, in XLA's text format, where there is none.

    Nothing can run on it. InputError if the file cannot be read, or JAX has no compiler for GPUs.
    """
    try:
        description = Path(file).read_text(encoding="utf-8")
        gpu = topologies.get_topology_desc("gpu", "cuda", topology="1x1x1", target_config=description)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"--gpu {file}: cannot compile for it ({reason}); the extra cuda13 is needed") from None
    devices = list(gpu.devices)
    jax.devices = jax.local_devices = lambda *_: devices
    jax.device_count = jax.local_device_count = lambda *_: 1
    jax.default_backend = lambda: "gpu"


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of the command line."""
    parser = ArgumentParser(prog="benchmarks/compilation.py", description="The cost of compiling an update.")
    parser.add_argument("--size", nargs="+", default=list(SIZES), choices=SIZES, help="model sizes (default: all)")
    parser.add_argument("--form", nargs="+", default=list(FORMS), choices=FORMS, help="program forms (default: all)")
    parser.add_argument("--precision", default="float32", help="precision of matrix products (default float32)")
    parser.add_argument(
        "--kernel", nargs="+", default=["xla"], choices=["xla", *KERNELS], help="attention (default xla)"
    )
    parser.add_argument(
        "--row-length", metavar="N", type=int, default=ROW_LENGTH, help=f"tokens of a row (default {ROW_LENGTH})"
    )
    parser.add_argument(
        "--updates", metavar="N", type=int, default=0, help="also time this many updates (default: only compile)"
    )
    parser.add_argument("--vocabulary", metavar="N", type=int, default=8000, help="pieces (default 8000)")
    parser.add_argument("--gpu", metavar="FILE", default="", help="compile for the GPU that this file describes")
    options = parser.parse_args(arguments)
    if options.gpu and options.updates:
        raise InputError("--updates needs the GPU itself: leave it out with --gpu, which only compiles")
    return options


def main(arguments: list[str]) -> None:
    """The command line."""
    options = parse(arguments)
    jax.config.update("jax_enable_compilation_cache", False)
    if options.gpu:
        use_described_gpu(options.gpu)
    print(f"{platform.machine()}, {jax.devices()[0].device_kind}, jax {jax.__version__}", file=sys.stderr)
    columns = (
        "size",
        "form",
        "kernel",
        "StableHLO lines",
        "operations",
        "tracing s",
        "compiling s",
        "CPU s",
        "update ms",
        "tok/s",
        "GB",
    )
    print("{:6} {:10} {:7} {:>15} {:>10} {:>9} {:>11} {:>6} {:>9} {:>9} {:>6}".format(*columns))
    results = []
    for size, form, kernel in itertools.product(options.size, options.form, options.kernel):
        config = recipe(size, form, options.precision, kernel=kernel, row_length=options.row_length)
        stacks, is_described = form.endswith("stack"), bool(options.gpu)
        found = measure(config, options.vocabulary, stacks=stacks, updates=options.updates, is_described=is_described)
        results.append({"size": size, "form": form, "kernel": kernel, **found})
        speed = f"{'-':>9} {'-':>9}"
        if options.updates:
            speed = f"{found['milliseconds']:9.2f} {1e3 * found['tokens'] / found['milliseconds']:9,.0f}"
        traffic = f"{found['gigabytes']:6.1f}" if is_described else f"{'-':>6}"
        print(
            f"{size:6} {form:10} {kernel:7} {found['lines']:15,} {found['operations']:10,} "
            f"{found['tracing']:9.1f} {found['compiling']:11.1f} {found['compiling_processor']:6.1f} {speed} {traffic}"
        )
    print(json.dumps(results))


if __name__ == "__main__":
    run_main(main)

"""Training speed of Dragoman and its peers, in real target tokens a second, on the same text, vocabulary and sizes.

    python benchmarks/train.py --source train.en.gz --target train.de.gz \\
        [--peer-python PYTHON] [--joeynmt-python PYTHON]

Times Dragoman's updates, including the data pipeline, and those of two peers, each with the Python of its own
environment: Hugging Face's MarianMTModel in PyTorch (benchmarks/marian_peer.py: torch, transformers and sentencepiece),
eager and, with `--peer-compiled`, also compiled by torch.compile; and JoeyNMT with its own trainer
(benchmarks/joey_peer.py says what it needs). Every shape is compiled before timing starts. Prints a table of medians
over updates with their quartiles, and the mean, which includes time spent on tokenising; Dragoman's TFLOP/s for each
device; how its best result compares with the fastest peer; and one JSON line.

The default is a small model. The base model of Vaswani et al. 2017 is slow on a CPU, so few updates are timed by
default. To compare it with both precisions of PyTorch:

    python benchmarks/train.py --size base --batching packed --source train.en.gz --target train.de.gz \\
        --peer-python PYTHON --peer-precision float32 bfloat16 [--steps 10] [--batch-tokens 4096]

`--profile DIRECTORY` writes a trace of five updates there, for TensorBoard with its profile plug-in or
https://ui.perfetto.dev. If batches have one shape (packed), it also prints the time spent in each part of the model.
"""

import sys
from pathlib import Path

from dragoman.commands.huge_pages import KEPT_PAGES, environment_without, use_huge_pages

if __name__ == "__main__":
    use_huge_pages(KEPT_PAGES)
    sys.path.append(str(Path(__file__).parents[1]))  # where the package benchmarks is, which is not installed

import argparse
import json
import platform
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import jax
from tqdm import tqdm

from benchmarks.timed_updates import TimedUpdates
from benchmarks.trace import longest, milliseconds, read_trace, table_of_parts
from data.batching.packing import batch_shapes
from data.config import DataConfig
from data.errors import InputError
from data.sources import load_corpora
from data.vocabulary.tokenizer import Tokenizer, learn_tokenizer
from dragoman.commands.options import ArgumentParser, run_main
from transformer.config import Config, ModelConfig, TrainingConfig
from transformer.devices.compilation import use_compilation_cache
from transformer.devices.flops import TERA, known_peak
from transformer.devices.kernels import choose_kernel
from transformer.model.dense import resolve_precision

PEER = Path(__file__).with_name("marian_peer.py")
JOEY = Path(__file__).with_name("joey_peer.py")
PROFILED = 5
SIZES = {
    "small": {"layers": 4, "width": 128, "heads": 4, "feed_forward": 256, "steps": 60},
    "base": {"layers": 6, "width": 512, "heads": 8, "feed_forward": 2048, "steps": 10},
    "big": {"layers": 6, "width": 1024, "heads": 16, "feed_forward": 4096, "steps": 10},
}


def recipe(options: argparse.Namespace, precision: str) -> Config:
    """A recipe with the sizes of the command line."""
    return Config(
        data=DataConfig(
            train=[[str(Path(options.source).resolve()), str(Path(options.target).resolve())]],
            vocabulary_size=options.vocabulary,
            maximum_tokens=options.row_length,
            row_length=options.row_length,
            batching=options.batching,
        ),
        model=ModelConfig(
            encoder_layers=options.layers,
            decoder_layers=options.layers,
            width=options.width,
            heads=options.heads,
            feed_forward=options.feed_forward,
            dropout=options.dropout,
            precision=precision,
        ),
        training=TrainingConfig(batch_tokens=options.batch_tokens),
    )


def time_dragoman(config: Config, tokenizer: Tokenizer, steps: int, profile: str = "") -> dict[str, Any]:
    """Tokens and seconds of each update, in order; the first update of each shape compiles and is not timed.

    With `profile`, a directory, further updates of the same shapes are traced into it after the timed ones.
    """
    if choice := choose_kernel(config, batch_shapes(config.data, batch_tokens=config.training.batch_tokens)):
        config = config.with_model({"attention_kernel": choice.kernel})
        print(*choice.refused, f"attention by {choice.kernel} ({choice.reason})", sep="\n", file=sys.stderr)
    name, updates = resolve_precision(config.model.precision), TimedUpdates(config, tokenizer)
    with tqdm(total=steps, desc=f"dragoman {name}", unit="step") as bar:
        while len(updates.seconds) < steps:
            updates.update()
            bar.update(len(updates.seconds) - bar.n)
    if profile:
        trace_updates(updates, profile, label=name)
    updates.close()
    rates = [operations / seconds for operations, seconds in zip(updates.operations, updates.seconds, strict=True)]
    teraflops = statistics.median(rates) / TERA / updates.strategy.device_count
    peak = known_peak(jax.devices()[0].device_kind)
    return {
        "system": "Dragoman",
        "precision": name,
        "attention_kernel": config.model.attention_kernel,
        "parameters": updates.parameter_count,
        "tokens": updates.tokens,
        "seconds": updates.seconds,
        "shapes": len(updates.shapes),
        "compile_seconds": updates.compile_seconds,
        "device_teraflops": teraflops,
        "utilisation": teraflops / peak if peak else None,
    }


def trace_updates(updates: TimedUpdates, directory: str, *, label: str) -> None:
    """Writes a trace of PROFILED further updates, whose programs are compiled, into a directory.

    If all batches have one shape, and so all updates one program, also prints the time spent in each part of the model.
    """
    compiled = (batch for batch in updates.batches if batch.target_inputs.shape in updates.shapes)
    with jax.profiler.trace(directory, create_perfetto_trace=True):
        for batch in islice(compiled, PROFILED):
            updates.state, metrics = updates.strategy.train_step(updates.state, batch, jax.random.key(0))
        jax.block_until_ready(metrics)
    print(f"{label}: a trace of {PROFILED} updates is in {directory}", file=sys.stderr)
    if len(updates.shapes) == 1:
        [shape] = updates.shapes
        print_parts(updates.strategy.compile(updates.parameters, *shape).as_text(), directory, label=label)


def print_parts(program: str, directory: str, *, label: str) -> None:
    """Prints the time that the traced updates, all by one program, spent in each part of the model."""
    trace = read_trace(Path(directory))
    print(f"{label}: {table_of_parts(milliseconds(trace, program, PROFILED))}", file=sys.stderr)
    print(longest(trace, program, PROFILED), file=sys.stderr)


def time_peer(
    options: argparse.Namespace, python: str, script: Path, directory: Path, precision: str, *more: str
) -> dict[str, Any]:
    """Tokens and seconds of a peer's updates, run by its own Python, with the vocabulary in `directory`.

    `more` are further options of the script.
    """
    command = [python, str(script), options.source, options.target, str(directory / "tokenizer.model")]
    for name in ("layers", "width", "heads", "feed_forward", "dropout", "batch_tokens", "steps"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    command += ["--precision", precision, *more]
    environment = environment_without(KEPT_PAGES)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{script.name} failed: {done.stderr.strip().rpartition(chr(10))[2]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return found


def profile_of(options: argparse.Namespace, precision: str) -> str:
    """The directory for the trace of a precision; empty: no trace."""
    return str(Path(options.profile) / precision) if options.profile else ""


def with_rates(result: dict[str, Any]) -> dict[str, Any]:
    """The result with tokens a second (median, quartiles and mean) instead of tokens and seconds of each update."""
    tokens, seconds = result["tokens"], result["seconds"]
    low, median, high = statistics.quantiles([t / s for t, s in zip(tokens, seconds, strict=True)], n=4)
    about = {name: value for name, value in result.items() if name not in ("tokens", "seconds")}
    mean = sum(tokens) / sum(seconds)
    return about | {"tokens_per_second": median, "quartiles": [low, high], "mean_tokens_per_second": mean}


def share(result: dict[str, Any]) -> str:
    """The columns for TFLOP/s; empty for peers, whose operations are not counted."""
    if "device_teraflops" not in result:
        return ""
    of_peak = f"{result['utilisation']:7.0%}" if result["utilisation"] else f"{'-':>7}"
    return f"{result['device_teraflops']:8.3g} {of_peak}"


def row(result: dict[str, Any]) -> str:
    """The table's line for a system and precision."""
    low, high = result["quartiles"]
    return (
        f"{result['system']:28} {result['precision']:17} {result['parameters']:10,} "
        f"{result['tokens_per_second']:9,.0f} {low:9,.0f} {high:9,.0f} {result['mean_tokens_per_second']:9,.0f} "
        f"{share(result)}".rstrip()
    )


def table(results: Sequence[dict[str, Any]]) -> str:
    """The table, with a line for each system and precision."""
    lines = [
        f"{'system':28} {'precision':17} {'parameters':>10} {'tokens/s':>9} {'quartiles':>19} {'mean':>9} "
        f"{'TFLOP/s':>8} {'of peak':>7}"
    ]
    lines += map(row, results)
    return "\n".join(lines)


def comparison(results: Sequence[dict[str, Any]]) -> str:
    """A line that compares Dragoman's best median with that of the fastest peer."""
    ranked = sorted(results, key=lambda result: result["tokens_per_second"], reverse=True)
    ours = next(result for result in ranked if result["system"] == "Dragoman")
    theirs = next((result for result in ranked if result["system"] != "Dragoman"), None)
    if theirs is None:
        return "no peer was timed"
    ratio = ours["tokens_per_second"] / theirs["tokens_per_second"]
    return (
        f"Dragoman, {ours['precision']}: {ratio:.2f} times the tokens/s of the fastest peer, "
        f"{theirs['system']}, {theirs['precision']}"
    )


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of the command line, with defaults from the model size."""
    parser = ArgumentParser(prog="benchmarks/train.py", description="Training speed, compared with peers.")
    parser.add_argument("--source", required=True, help="training text, source side; plain, .gz, .xz or .zst")
    parser.add_argument("--target", required=True, help="training text, target side")
    parser.add_argument("--peer-python", default="", help="Python with torch, transformers and sentencepiece")
    parser.add_argument("--joeynmt-python", default="", help="Python with joeynmt")
    parser.add_argument(
        "--profile", default="", metavar="DIRECTORY", help="write a trace of a few of Dragoman's updates"
    )
    parser.add_argument("--precision", nargs="+", default=["float32", "auto"], help="Dragoman's precisions to time")
    parser.add_argument("--peer-precision", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--peer-compiled", action="store_true", help="also time the peer with torch.compile")
    parser.add_argument("--batching", default="bucketed", choices=["bucketed", "packed"], help="Dragoman's rows")
    parser.add_argument(
        "--row-length",
        metavar="N",
        type=int,
        default=128,
        help="tokens in Dragoman's longest rows; longer sentences are left out (default 128)",
    )
    parser.add_argument("--size", default="small", choices=SIZES, help="model size (default small), changed by:")
    for name in SIZES["small"]:
        sizes = ", ".join(f"{size} {values[name]}" for size, values in SIZES.items())
        parser.add_argument(
            f"--{name.replace('_', '-')}", metavar="N", type=int, default=argparse.SUPPRESS, help=f"({sizes})"
        )
    parser.add_argument("--vocabulary", metavar="N", type=int, default=8000, help="pieces (default 8000)")
    parser.add_argument(
        "--batch-tokens", metavar="N", type=int, default=4096, help="tokens in an update (default 4096)"
    )
    parser.add_argument("--dropout", metavar="X", type=float, default=0.3, help="dropout rate (default 0.3)")
    given = parser.parse_args(arguments)
    options = argparse.Namespace(**SIZES[given.size] | vars(given))
    if options.steps < 2:
        raise InputError(f"--steps is {options.steps}: expected 2 or more, to measure how much updates vary")
    return options


def measurements(options: argparse.Namespace, tokenizer: Tokenizer, directory: Path) -> Iterator[dict[str, Any]]:
    """The results of each system, measured one after the other."""
    for name in options.precision:
        yield time_dragoman(recipe(options, name), tokenizer, options.steps, profile_of(options, name))
    if options.peer_python:
        for name in options.peer_precision:
            yield time_peer(options, options.peer_python, PEER, directory, name)
            if options.peer_compiled:
                yield time_peer(options, options.peer_python, PEER, directory, name, "--compiled")
    if options.joeynmt_python:
        yield time_peer(options, options.joeynmt_python, JOEY, directory, "float32")


def main(arguments: list[str]) -> None:
    """The command line."""
    options = parse(arguments)
    use_compilation_cache()
    results = []
    with tempfile.TemporaryDirectory() as directory:
        config = recipe(options, "auto")
        tokenizer = learn_tokenizer(config.data, load_corpora(config.data, "train"))
        tokenizer.save(directory)
        for timed in measurements(options, tokenizer, Path(directory)):
            results.append(with_rates(timed))
            print(row(results[-1]), file=sys.stderr)  # shows this result even if the run is cut off later
    print(f"{platform.machine()}, {jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}")
    print(table(results))
    print(comparison(results))
    print(json.dumps(results))


if __name__ == "__main__":
    run_main(main)

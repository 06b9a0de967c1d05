"""Speed and memory of runs whose models are assembled in different ways, beside each other.

    python benchmarks/assemblies.py encoder-decoder=runs/a decoder-only=runs/b --source test.en

For each run: its parameters; real target tokens a second of updates by its own recipe and text; sentences a second of
its own search; and the bytes that its decoding cache holds for each token of a hypothesis and of a source. Updates of
all runs alternate, and then translations do, so that all see the same load of the machine. What is compiled is not
timed. Prints a table of medians and one JSON line. Scores are those of `dragoman evaluate`, with its `--system`.
"""

import sys
from pathlib import Path

from dragoman.commands.huge_pages import KEPT_PAGES, use_huge_pages

if __name__ == "__main__":
    use_huge_pages(KEPT_PAGES)
    sys.path.append(str(Path(__file__).parents[1]))  # where the package benchmarks is, which is not installed

import json
import platform
import statistics
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.timed_updates import TimedUpdates
from data.errors import InputError
from data.lines import read_lines
from dragoman.commands.options import ArgumentParser, run_main
from dragoman.translation.translator import Translator
from transformer.config import Config
from transformer.devices.compilation import use_compilation_cache, use_cores
from transformer.model import abstract, merge


class CacheBytes(NamedTuple):
    """What the decoding cache of one hypothesis holds for each token, in bytes."""

    target: int
    source: int


def cache_bytes(config: Config, vocabulary: int) -> CacheBytes:
    """The bytes by which the cache of one hypothesis grows for each token of either side."""
    graph, parameters = abstract(config.model, vocabulary, vocabulary)

    def size(source: int, target: int) -> int:
        def cache(weights: Any, tokens: jax.Array) -> Any:
            model = merge(graph, weights)
            return model.grow(model.begin(tokens, beams=1), length=target)

        shapes = jax.eval_shape(cache, parameters, jax.ShapeDtypeStruct((1, source), jnp.int32))
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))

    least = size(8, 8)
    return CacheBytes(target=(size(8, 16) - least) // 8, source=(size(16, 8) - least) // 8)


class System:
    """A run, what its updates and translations took, and its sizes."""

    def __init__(self, name: str, run: str, updates: int):
        self.name, self.translator = name, Translator.load(run)
        self.updates = TimedUpdates(self.translator.config, self.translator.tokenizer)
        self.updates.read(updates)
        self.seconds: list[float] = []

    def translate(self, lines: list[str]) -> None:
        """Translates the lines and notes the seconds."""
        start = time.perf_counter()
        self.translator.translate(lines)
        self.seconds.append(time.perf_counter() - start)

    def result(self, sentences: int) -> dict[str, Any]:
        """All figures; the first translation, which compiles, does not count."""
        config, vocabulary = self.translator.config, self.translator.tokenizer.target_size
        cache = cache_bytes(config, vocabulary)
        return {
            "system": self.name,
            "assembly": config.model.assembly,
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(self.translator.parameters)),
            "training_tokens_per_second": statistics.median(self.updates.rates),
            "sentences_per_second": sentences / statistics.median(self.seconds[1:]),
            "cache_bytes_target": cache.target,
            "cache_bytes_source": cache.source,
        }


def parse_system(text: str) -> tuple[str, str]:
    """The name and the run of NAME=RUN. Raises InputError if it is anything else."""
    name, is_given, run = text.partition("=")
    if not (name and is_given and run):
        raise InputError(f"{text}: expected NAME=RUN, such as decoder-only=runs/mine")
    return name, run


def main(arguments: list[str]) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks/assemblies.py", description="Speed and memory of assemblies, compared.")
    parser.add_argument("systems", metavar="NAME=RUN", nargs="+", help="a name for the table, and a trained run")
    parser.add_argument("--source", required=True, help="text to translate; plain, .gz, .xz or .zst")
    parser.add_argument("--lines", metavar="N", type=int, default=300, help="of the source (default 300)")
    parser.add_argument("--updates", metavar="N", type=int, default=25, help="of each run (default 25)")
    parser.add_argument("--rounds", metavar="N", type=int, default=5, help="of translating (default 5)")
    options = parser.parse_args(arguments)
    for name, least in (("lines", 1), ("updates", 2), ("rounds", 1)):
        if getattr(options, name) < least:
            raise InputError(f"--{name} is {getattr(options, name)}: expected {least} or more")
    named = [parse_system(text) for text in options.systems]
    use_compilation_cache()
    lines = read_lines(options.source)[: options.lines]
    systems = [System(name, run, options.updates) for name, run in named]
    for _ in range(options.updates):
        for system in systems:
            system.updates.update()
    for _ in range(options.rounds + 1):
        for system in systems:
            system.translate(lines)
    results = [system.result(len(lines)) for system in systems]
    print(f"{platform.machine()}, {jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}")
    print(
        f"{'system':24} {'parameters':>10} {'training, tokens/s':>18} {'sentences/s':>11} "
        f"{'cache, bytes a target token':>27} {'a source token':>14}"
    )
    for one in results:
        print(
            f"{one['system']:24} {one['parameters']:10,} {one['training_tokens_per_second']:18,.0f} "
            f"{one['sentences_per_second']:11,.1f} {one['cache_bytes_target']:27,} {one['cache_bytes_source']:14,}"
        )
    print(json.dumps(results))


if __name__ == "__main__":
    use_cores()
    run_main(main)

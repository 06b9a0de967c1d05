"""The kernels that a GPU starts in each step of a search, counted on a machine without one.

    JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 python benchmarks/search_program.py GPU [--size base] [--beam 4] [--bucket 32]

GPU is a file that describes a card: XLA's repository has some (xla/backends/gpu/target_config/specs). It needs the
extra `cuda13`. The search is compiled for that card, in bfloat16. A search has a loop for each stage in which its cache
grows; loops within these are indented. Nothing is timed. But where products are small, a step takes about as long as it
takes to start its kernels, and each step of a loop waits for the host.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1]))  # where the package benchmarks is, which is not installed

import argparse
import re

import jax

from benchmarks.compilation import SIZES, recipe, use_described_gpu
from dragoman.commands.options import ArgumentParser, run_main
from transformer.config import DecodingConfig
from transformer.decoding import SearchPlan
from transformer.decoding.ensemble import Ensemble
from transformer.decoding.searcher import compile_search
from transformer.model import abstract

FREE = {"parameter", "get-tuple-element", "tuple", "bitcast", "constant", "after-all", "while"}
"""Operations that start no kernel; the body of a loop is counted by itself."""


def computations(program: str) -> dict[str, str]:
    """The lines of each computation of an optimised program, by its name."""
    return {match[1]: match[2] for match in re.finditer(r"^(?:ENTRY )?%(\S+) [^\n]*\{\n(.*?)^\}", program, re.M | re.S)}


def loops(program: str) -> list[tuple[int, int]]:
    """The depth of each loop, and the kernels that a step starts. The loops inside a loop follow it."""
    found, lines = [], computations(program)

    def visit(name: str, depth: int) -> None:
        for body in re.findall(r" while\(.*?body=%([^,\s]+)", lines[name]):
            operations = re.findall(r"^\s+(?:ROOT )?%\S+ = .*? ([a-z][\w-]*)\(", lines[body], re.M)
            found.append((depth, sum(operation not in FREE for operation in operations)))
            visit(body, depth + 1)

    visit(re.findall(r"^ENTRY %(\S+)", program, re.M)[0], 0)
    return found


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of the command line."""
    parser = ArgumentParser(prog="benchmarks/search_program.py", description="The kernels in each step of a search.")
    parser.add_argument("gpu", metavar="GPU", help="a file that describes the card")
    parser.add_argument("--size", default="base", choices=SIZES, help="model size (default base)")
    parser.add_argument("--beam", metavar="N", type=int, default=4, help="beam size (default 4)")
    parser.add_argument("--bucket", metavar="N", type=int, default=32, help="length of sources (default 32)")
    parser.add_argument("--vocabulary", metavar="N", type=int, default=8000, help="pieces (default 8000)")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """The command line."""
    options = parse(arguments)
    jax.config.update("jax_enable_compilation_cache", False)
    use_described_gpu(options.gpu)
    config = recipe(options.size, "loop", "bfloat16")
    ensemble = Ensemble.of_shapes(abstract(config.model, options.vocabulary, options.vocabulary))
    plan = SearchPlan(DecodingConfig(beam=options.beam), maximum_length=128)
    program = compile_search(ensemble, plan, options.bucket).as_text()
    for depth, kernels in loops(program):
        print(f"{'    ' * depth}a loop whose steps start {kernels} kernels")


if __name__ == "__main__":
    run_main(main)

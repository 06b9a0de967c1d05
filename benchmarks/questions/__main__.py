"""One question, one task, one command: trains, measures, prints tables, and writes them with their charts."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.questions import depth, feed_forward, heads, identity_path, residual, toy, trained_runs
from benchmarks.questions.multi30k import captions
from benchmarks.questions.results import Findings
from benchmarks.questions.task import Task
from dragoman.commands.options import ArgumentParser, run_main
from dragoman.messages import say
from transformer.devices.compilation import use_compilation_cache

QUESTIONS: dict[str, Callable[..., Findings]] = {
    "depth": depth.ask,
    "residual": residual.ask,
    "identity_path": identity_path.ask,
    "feed_forward": feed_forward.ask,
    "heads": heads.ask,
}

TOYS: dict[str, Callable[..., Task]] = {
    "depth": toy.hops,
    "residual": partial(toy.hops, updates=150),
    "identity_path": toy.hops,
    "feed_forward": toy.facts,
    "heads": toy.hops,
}

CAPTIONS: dict[str, Callable[..., Task]] = dict.fromkeys(QUESTIONS, captions) | {
    "residual": partial(captions, updates=200, batch_tokens=1024)  # 48 models, some of them deep, in an hour
}

DESCRIPTION = """\
Experiments on the four questions that the explainer of the Transformer leaves open. docs/questions.md has the answers.

  depth         Why several masked self-attention cells? Depth against width, a layer or the mask taken out.
  residual      Why a residual connection after self-attention? With and without, at several depths.
  identity_path  The same before training: the gradient of each layer, and what is left of the tokens.
  feed_forward  Is the fully connected layer of a single hidden layer? What its depth and width buy; its neurons.
  heads         What are many heads, and many layers, for? More and fewer; each one taken out.
"""

EPILOG = """\
examples:
  python -m benchmarks.questions depth                                   about a minute on one core
  python -m benchmarks.questions depth --task multi30k --directory DIR   the same on captions; DIR as in the recipe
  python -m benchmarks.questions heads --runs runs/seed1 runs/seed2      takes parts out of trained runs

Each model is trained with several seeds. A number stands with half the width of its 95% interval: Student's t over
seeds. Seeds share their batches between models, so differences are taken seed by seed.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = ArgumentParser(prog="python -m benchmarks.questions", description=DESCRIPTION, epilog=EPILOG)
    found.add_argument("question", choices=QUESTIONS, help="which one")
    found.add_argument("--task", choices=("toy", "multi30k"), default="toy", help="what it is asked of (default: toy)")
    found.add_argument("--directory", default="", metavar="DIR", help="Multi30k's train and val, with .en and .de")
    found.add_argument("--runs", nargs="+", type=Path, metavar="RUN", help="heads: trained runs, seeds of one recipe")
    found.add_argument("--sentences", type=int, default=500, metavar="N", help="with --runs: validation pairs (500)")
    found.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds of each model, from 1 on (3)")
    found.add_argument("--updates", type=int, metavar="N", help="updates of each training, instead of the usual number")
    found.add_argument("--output", type=Path, default=Path("runs/questions"), metavar="DIR", help="for the results")
    return found


def answer(arguments: argparse.Namespace) -> tuple[str, Findings]:
    """The name of the results, and what was found."""
    name = arguments.question
    if arguments.runs:
        return f"{name}-runs", trained_runs.ask(
            arguments.runs, directory=arguments.directory, sentences=arguments.sentences, note=say
        )
    make: Any = TOYS[name] if arguments.task == "toy" else partial(CAPTIONS[name], arguments.directory)
    task = make(**({"updates": arguments.updates} if arguments.updates else {}))
    return f"{name}-{arguments.task}", QUESTIONS[name](task, range(1, arguments.seeds + 1), note=say)


def main(arguments: Sequence[str] | None = None) -> None:
    """Answers one question, and says where its results are."""
    options = parser()
    given = options.parse_args(arguments)
    if given.runs and given.question != "heads":
        options.error(f"--runs is for heads, not for {given.question}: leave it out")
    if given.task == "multi30k" and not given.directory:
        options.error("--task multi30k needs --directory DIR, where its train and val are")
    for name in ("seeds", "sentences", "updates"):
        if (value := getattr(given, name)) is not None and value < 1:
            options.error(f"--{name} is {value}: expected at least 1")
    use_compilation_cache()
    name, findings = answer(given)
    print(findings.markdown())
    for path in findings.save(given.output, name):
        say(f"wrote {path}")


if __name__ == "__main__":
    run_main(main)

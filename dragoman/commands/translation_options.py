"""The command line of translate.py."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from data.errors import InputError
from dragoman.commands.options import ArgumentParser, add_config_options, add_process_options


def parse_translation_options(arguments: Sequence[str], *, chunk: int) -> argparse.Namespace:
    """The options of translate.py; InputError for those that contradict each other. `chunk`: the default of --chunk."""
    parser = ArgumentParser(
        description="Translate lines: one out for each one in, in order. A job of several processes divides the lines\n"
        "as --shard does, without being told: process 0 of 4 writes FILE.1-of-4; cat FILE.*-of-4 > FILE is the whole.",
    )
    parser.add_argument("run", metavar="RUN", help="run directory, or a checkpoint in one: runs/NAME/checkpoints/STEP")
    add_file_options(parser, chunk=chunk)
    add_search_options(parser)
    add_output_options(parser)
    add_process_options(parser)
    add_config_options(parser, ["decoding"], default="the run's")
    options = parser.parse_args(arguments)
    check(options)
    return options


def add_file_options(parser: argparse.ArgumentParser, *, chunk: int) -> None:
    """Where text comes from and goes to."""
    parser.add_argument("--input", metavar="FILE", help="text to translate, UTF-8, plain, .gz or .xz (default: stdin)")
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="gets its name when complete, and until then FILE.partial, which the same command goes on with after "
        "any end (default: stdout)",
    )
    parser.add_argument("--restart", action="store_true", help="start FILE.partial afresh, whatever it was begun with")
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="the I-th of N equal parts of the lines, to FILE.I-of-N: cat FILE.*-of-N > FILE is the whole (default: "
        "all; in a job of several processes, that of the process)",
    )
    parser.add_argument(
        "--batch-size",
        metavar="N",
        type=int,
        default=0,
        help="sentences searched at once, up to 4 * decoding.rows for each device (default: so many); "
        "never changes a translation",
    )
    parser.add_argument(
        "--chunk",
        metavar="LINES",
        type=int,
        default=chunk,
        help=f"lines read, translated and saved at a time (default: {chunk}); never changes a translation",
    )


def add_search_options(parser: argparse.ArgumentParser) -> None:
    """What is searched with, and what outputs must and must not have; every knob of search stands further down."""
    parser.add_argument(
        "--checkpoint", metavar="STEP|average|PATH", default="best", help="default: best by validation score"
    )
    parser.add_argument(
        "--ensemble",
        metavar="RUN",
        nargs="+",
        default=[],
        help="runs or checkpoints with the same vocabulary whose probabilities are averaged with those of RUN",
    )
    parser.add_argument("--beam", metavar="N", type=int, help="hypotheses kept; 1: greedy (default: the run's)")
    parser.add_argument(
        "--length-penalty",
        metavar="X",
        type=float,
        help="exponent of the length penalty (--decoding.penalty); 0: none (default: the run's)",
    )
    parser.add_argument("--mbr", action="store_true", help="of the beam, or samples, the one that agrees most with all")
    parser.add_argument("--prefix", metavar="FILE", help="line n: how the translation of line n begins")
    parser.add_argument(
        "--terms", metavar="FILE", help="lines `source term TAB target term`: where a line has one, so must its output"
    )
    parser.add_argument("--banned", metavar="FILE", help="words or phrases, one a line, that are never written")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """What is written."""
    parser.add_argument("--n-best", metavar="N", type=int, default=1, help="translations of each line (with --json)")
    parser.add_argument(
        "--json", action="store_true", help="a JSON object for each line: scores, pieces, words, alignment, flags"
    )
    parser.add_argument(
        "--alignments", action="store_true", help="write `translation ||| 0-0 1-2`: source word - target word, from 0"
    )
    parser.add_argument(
        "--score", metavar="FILE", help="translate nothing: write the log-probability of the translation on line n"
    )
    parser.add_argument(
        "--guard",
        choices=["count", "again"],
        help="look for loops, copies and odd lengths: count them, or also search such lines again without repeats",
    )


def check(options: argparse.Namespace) -> None:
    """InputError for values out of range, and for options that contradict each other."""
    if options.batch_size < 0:
        raise InputError(f"--batch-size is {options.batch_size}: expected 1 or more")
    if options.chunk < 1:
        raise InputError(f"--chunk is {options.chunk}: expected 1 or more")
    if options.restart and not options.output:
        raise InputError("--restart needs --output FILE: only a file is gone on with")
    if options.shard and not options.input:
        raise InputError(f"--shard {options.shard} needs --input FILE: standard input can be read by one program only")
    if options.n_best > 1 and not options.json:
        raise InputError(f"--n-best {options.n_best} needs --json: plain output is one line for each input line")
    if options.alignments and options.json:
        raise InputError("--alignments with --json: JSON has the alignments already")
    if options.score:
        searching = ("ensemble", "mbr", "prefix", "terms", "banned", "alignments", "guard")
        given = [name for name in searching if getattr(options, name)]
        if given:
            raise InputError(f"--score with --{given[0]}: nothing is searched where translations are given")

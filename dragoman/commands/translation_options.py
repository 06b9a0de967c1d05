"""The command-line options of `dragoman translate`."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.lines import find_file
from data.storage.compression import reading
from dragoman.commands.options import ArgumentParser, add_config_options, add_process_options, overrides
from dragoman.commands.paths import check_name
from dragoman.files import sha256
from transformer.decoding.batches import IN_FLIGHT

OF_A_SEARCH = ("ensemble", "mbr", "prefix", "terms", "banned", "alignments", "guard", "beam")
OF_SCORES = tuple(f"decoding.{name}" for name in ("length_penalty", "penalty", "sentences", "capitals", "rows"))


class TranslationParser(ArgumentParser):
    """A parser in which each option declares how it enters the output's identity.

    A partial output is resumed only if its identity is unchanged.

    `identity` maps the name of each option to a function of its value, or to None.
    """

    def __init__(self, *, description: str):
        super().__init__(description=description)
        self.identity: dict[str, Callable[[Any], Any] | None] = {}

    def add(self, *names: str, identity: Callable[[Any], Any] | None, **details: Any) -> None:
        """Adds an option. `identity` is `by_value`, `by_content` of a file, or None.

        None is for options that never change the output, and for those already in the translator's identity.
        """
        self.identity[self.add_argument(*names, **details).dest] = identity


def by_value(value: Any) -> Any:
    """The value itself."""
    return value


def by_content(path: str | None) -> str | None:
    """The SHA-256 of a file, which survives renaming; for a pipe, which can be read only once, its name."""
    if path is None:
        return None
    found = find_file(path)
    if not found.is_file():
        return path
    with reading(str(found)):
        return f"SHA-256 {sha256(found)}"


def parse_translation_options(arguments: Sequence[str], *, chunk: int) -> argparse.Namespace:
    """The parsed options; InputError if some contradict each other. `chunk` is the default of --chunk."""
    parser = TranslationParser(
        description="Translate text: one output line for each input line, in order. The processes of a job divide the\n"
        "lines as --shard does: process 0 of 4 writes FILE.1-of-4, and cat FILE.*-of-4 > FILE joins the parts.",
    )
    parser.add(
        "run", identity=None, metavar="RUN", help="run directory, or a checkpoint in one: runs/NAME/checkpoints/STEP"
    )
    add_file_options(parser, chunk=chunk)
    add_search_options(parser)
    add_output_options(parser)
    add_process_options(parser)
    add_config_options(parser, ["decoding"], default="the run's")
    parser.set_defaults(identity=parser.identity)
    options = parser.parse_args(arguments)
    check(options)
    return options


def output_identity(options: argparse.Namespace) -> dict[str, Any]:
    """The options that determine the output, by name: see `TranslationParser`. InputError for an unreadable file."""
    return {f"--{name}": of(getattr(options, name)) for name, of in options.identity.items() if of}


def add_file_options(parser: TranslationParser, *, chunk: int) -> None:
    """Options for input, output, shards and chunks."""
    parser.add(
        "--input",
        identity=None,
        metavar="FILE",
        help="text to translate, UTF-8, plain, .gz, .xz or .zst (default: stdin)",
    )
    parser.add(
        "--output",
        identity=None,
        metavar="FILE",
        type=Path,
        help="plain text; named FILE.partial until complete; after any interruption, the same command resumes it "
        "(default: stdout)",
    )
    parser.add(
        "--restart", identity=None, action="store_true", help="start again from the first line, ignoring FILE.partial"
    )
    parser.add(
        "--shard",
        identity=None,
        metavar="I/N",
        help="translate the I-th of N equal parts of the lines, into FILE.I-of-N; cat FILE.*-of-N > FILE joins them "
        "(default: all lines; in a job of several processes, the part of this process)",
    )
    parser.add(
        "--batch-size",
        identity=None,
        metavar="N",
        type=int,
        default=0,
        help=f"sentences searched at once, at most {IN_FLIGHT} * decoding.rows for each device (default: that many); "
        "never changes a translation",
    )
    parser.add(
        "--chunk",
        identity=None,
        metavar="LINES",
        type=int,
        default=chunk,
        help=f"most lines read, translated and saved at a time (default: {chunk}); from a pipe or a terminal, those "
        "that have arrived; never changes a translation",
    )


def add_search_options(parser: TranslationParser) -> None:
    """Options for the model, the search, and required or banned words. `add_config_options` adds the search knobs."""
    parser.add(
        "--checkpoint",
        identity=None,
        metavar="STEP|average|PATH",
        default="best",
        help="default: best by validation score",
    )
    parser.add(
        "--ensemble",
        identity=None,
        metavar="RUN",
        nargs="+",
        default=[],
        help="runs or checkpoints with the same vocabulary whose probabilities are averaged with those of RUN",
    )
    parser.add("--beam", identity=None, metavar="N", type=int, help="hypotheses kept; 1: greedy (default: the run's)")
    parser.add(
        "--length-penalty",
        identity=None,
        metavar="X",
        type=float,
        help="exponent of the length penalty (--decoding.penalty); 0: none (default: the run's)",
    )
    parser.add(
        "--mbr",
        identity=by_value,
        action="store_true",
        help="minimum Bayes risk: choose the hypothesis or sample that agrees most with the others",
    )
    parser.add(
        "--prefix",
        identity=by_content,
        metavar="FILE",
        help="line n begins the translation of line n, perhaps within a word",
    )
    parser.add(
        "--terms",
        identity=by_content,
        metavar="FILE",
        help="lines `source term TAB target term`: if a line contains the first, its output must contain the second, "
        "as whole words; terms that were not met are reported",
    )
    parser.add(
        "--inflections",
        identity=by_value,
        action="store_true",
        help="further cells of a line of --terms are other forms of the target term: any of them will do",
    )
    parser.add(
        "--banned", identity=by_content, metavar="FILE", help="words or phrases that are never written, one per line"
    )


def add_output_options(parser: TranslationParser) -> None:
    """Options for the format of the output."""
    parser.add(
        "--n-best", identity=by_value, metavar="N", type=int, default=1, help="translations of each line (with --json)"
    )
    parser.add(
        "--json",
        identity=by_value,
        action="store_true",
        help="write a JSON object for each line: scores, pieces, words, alignment, flags",
    )
    parser.add(
        "--alignments",
        identity=by_value,
        action="store_true",
        help="write `translation ||| 0-0 1-2`: pairs of source word and target word, counted from 0",
    )
    parser.add(
        "--score",
        identity=by_content,
        metavar="FILE",
        help="do not translate; write the log-probability of the given translations, one per line (with --json, their "
        "scores too)",
    )
    parser.add(
        "--guard",
        identity=by_value,
        choices=["count", "again"],
        help="look for loops, copies and odd lengths: count them, or also search those lines again without repetition",
    )


def check(options: argparse.Namespace) -> None:
    """InputError for values out of range, and for options that contradict each other."""
    if options.batch_size < 0:
        raise InputError(f"--batch-size is {options.batch_size}: expected 1 or more")
    if options.chunk < 1:
        raise InputError(f"--chunk is {options.chunk}: expected 1 or more")
    if options.output:
        check_name("--output", options.output)
    if options.restart and not options.output:
        raise InputError("--restart needs --output FILE: output to stdout cannot be resumed")
    if options.shard and not options.input:
        raise InputError(f"--shard {options.shard} needs --input FILE: standard input can be read by one program only")
    if options.n_best > 1 and not options.json:
        raise InputError(f"--n-best {options.n_best} needs --json: plain output is one line for each input line")
    if options.alignments and options.json:
        raise InputError("--alignments with --json: the JSON already has the alignments")
    if options.inflections and not options.terms:
        raise InputError("--inflections needs --terms FILE: it says what the further cells of its lines are")
    if options.score:
        check_score(options)


def check_score(options: argparse.Namespace) -> None:
    """InputError for options that --score does not take, because it searches for nothing."""
    given = [name for name in OF_A_SEARCH if getattr(options, name)]
    given += ["n-best"] * (options.n_best > 1)
    given += [knob for knob in overrides(options) if knob not in OF_SCORES]
    if given:
        raise InputError(f"--score with --{given[0]}: nothing is searched when translations are given")

"""The command-line options of `dragoman evaluate`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dragoman.commands.evaluation_values import check, check_sweep
from dragoman.commands.options import ArgumentParser, add_config_options
from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.robustness import KINDS
from dragoman.evaluation.significance import SAMPLES, SEED, TRIALS

DESCRIPTION = """Compare systems on test sets: scores with sacreBLEU signatures and 95% intervals, and what differs
from chance.

    dragoman evaluate runs/mine
    dragoman evaluate runs/a runs/b --baseline runs/a --source test.en --reference test.de
    dragoman evaluate runs/a --checkpoints all --average best:5
    dragoman evaluate --system wide=runs/w1,runs/w2,runs/w3 --system narrow=runs/n1,runs/n2,runs/n3 --baseline narrow
    dragoman evaluate runs/a --hypotheses theirs=theirs.de --source test.en --reference test.de --baseline theirs"""


def parse_evaluation_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The parsed options. InputError if some contradict each other."""
    parser = ArgumentParser(description=DESCRIPTION)
    add_system_options(parser)
    add_text_options(parser)
    add_score_options(parser)
    add_check_options(parser)
    add_sweep_options(parser)
    add_output_options(parser)
    add_config_options(parser, ["decoding"], default="the run's")
    options = parser.parse_args(arguments)
    check(options)
    check_sweep(options)
    options.split = options.split or "test"
    return options


def add_system_options(parser: ArgumentParser) -> None:
    """Options for what is evaluated, and how it searches."""
    group: Any = parser.add_argument_group("systems")
    group.add_argument(
        "runs", metavar="RUN", nargs="*", help="run directory (its best checkpoint), or a checkpoint in one"
    )
    group.add_argument(
        "--checkpoints",
        metavar="LIST",
        help="which checkpoints of each run, with commas between them: best (by validation score), last, all, average "
        "(the one that training saved), or steps such as 1000,2000 (default: best)",
    )
    group.add_argument(
        "--checkpoint",
        metavar="STEP|average|PATH",
        help="one checkpoint of each run (default: best by validation score)",
    )
    group.add_argument(
        "--average",
        metavar="best:N|last:N|LIST",
        action="append",
        default=[],
        help="average the parameters of checkpoints of each run: the N best by validation score, the N last, or steps "
        "such as 1000,2000; nothing is saved; may be given several times",
    )
    group.add_argument(
        "--ensemble",
        metavar="NAME=RUN,RUN,...",
        action="append",
        default=[],
        help="runs or checkpoints with the same vocabulary, whose probabilities are averaged",
    )
    group.add_argument(
        "--system",
        metavar="NAME=RUN,RUN,...",
        action="append",
        default=[],
        help="runs that differ in their seed only: the table has their mean and spread, and a difference from the "
        "baseline is judged by that spread (Welch's t test)",
    )
    group.add_argument(
        "--hypotheses",
        metavar="NAME=FILE,...",
        action="append",
        default=[],
        help="translations by another program, line by line: a file for each test set, in their order",
    )
    group.add_argument(
        "--baselines",
        action="store_true",
        help="also score two baselines that need no model: the source copied, and a word-for-word translation by a "
        "dictionary learned from the run's training text",
    )
    group.add_argument("--beam", metavar="N", type=int, help="hypotheses kept; 1: greedy (default: the run's)")
    group.add_argument(
        "--length-penalty",
        metavar="X",
        type=float,
        help="exponent of the length penalty, gnmt or power as in the run; 0: none (default: the run's)",
    )
    group.add_argument(
        "--mbr",
        action="store_true",
        help="choose the hypothesis, or with --decoding.sampling the sample, that agrees most with the others by chrF; "
        "its chrF is then marked, because it was chosen for it",
    )
    group.add_argument(
        "--fresh", action="store_true", help="translate and score again, even if the cache has it; see dragoman cache"
    )


def add_text_options(parser: ArgumentParser) -> None:
    """Options for what is translated."""
    group = parser.add_argument_group("test sets", "By default, each run is evaluated on the test set of its recipe.")
    group.add_argument("--source", metavar="FILE", help="text to translate")
    group.add_argument(
        "--reference",
        metavar="FILE",
        action="append",
        default=[],
        help="its translation, line by line; give it several times for several references",
    )
    group.add_argument(
        "--test",
        metavar="NAME=SOURCE,REFERENCE,...",
        action="append",
        default=[],
        help="a test set by its files, with a name for the table; may be given several times",
    )
    group.add_argument(
        "--language",
        metavar="CODE",
        help="the language of the references, which decides how BLEU finds words: de, zh-CN, jpn_Jpan (default: the "
        "runs' target language, or for texts alone, what their script shows)",
    )
    group.add_argument(
        "--split",
        choices=["test", "validation"],
        help="which of the run's own sets (default: test); validation is scored exactly as training logged it",
    )


def add_check_options(parser: ArgumentParser) -> None:
    """Options for checking what scores are worth: disturbed text, and lines that occur in the training text."""
    group = parser.add_argument_group("what scores are worth")
    kinds = "; ".join(f"{name}: {about}" for name, about in KINDS.items())
    group.add_argument(
        "--perturb",
        metavar="LIST",
        default="",
        help=f"also translate disturbed copies of each test set, with commas between them: {kinds}",
    )
    group.add_argument(
        "--list-overlap",
        metavar="FILE",
        type=Path,
        help="write the test lines that occur in the training text, exactly or nearly: run, test set, line, kind, "
        "sides, source and reference, with tabs between them; the training text of a run that keeps no hashes of it is "
        "read, however large it is",
    )


def add_sweep_options(parser: ArgumentParser) -> None:
    """Options for trying settings of the search."""
    group = parser.add_argument_group("settings of the search, and confidence")
    group.add_argument(
        "--sweep",
        metavar="KNOB=VALUES",
        nargs="+",
        default=[],
        help="translate the validation set of one run under every combination of these knobs of the decoding section, "
        "as beam=1,2,4,8 length_penalty=0.6,1.0,1.4, and show which suits it best; --report FILE has a plot",
    )
    group.add_argument(
        "--calibrate",
        action="store_true",
        help="tell what the confidence of one run is worth on its validation set, and store thresholds in the run, "
        "with which dragoman translate --json marks translations good, check or redo; --report FILE has plots",
    )
    group.add_argument("--write-back", action="store_true", help="put the best knobs of --sweep into the run's config")
    group.add_argument(
        "--sweep-on-test",
        action="store_true",
        help="let --sweep use a test set; its scores are then too good to report, and the output says so",
    )


def add_score_options(parser: ArgumentParser) -> None:
    """Options for metrics, intervals and comparisons."""
    group = parser.add_argument_group("scores")
    group.add_argument(
        "--metrics", metavar="LIST", help=f"with commas between them (default: all): {', '.join(METRICS)}"
    )
    group.add_argument(
        "--metric",
        metavar="NAME=COMMAND",
        action="append",
        default=[],
        help="another metric: the command reads a JSON object a line (source, hypothesis, references) and writes one "
        "score a line; their mean is the score",
    )
    group.add_argument(
        "--lower-is-better", metavar="NAME", action="append", default=[], help="of a --metric that counts errors"
    )
    group.add_argument(
        "--baseline",
        metavar="RUN|NAME",
        help="the system that all others are compared with: p-values, and a verdict in words",
    )
    group.add_argument(
        "--samples",
        metavar="N",
        type=int,
        default=SAMPLES,
        help=f"samples of the bootstrap, for 95%% intervals and p-values; 0: none of them (default: {SAMPLES})",
    )
    group.add_argument(
        "--trials",
        metavar="N",
        type=int,
        default=TRIALS,
        help=f"trials of approximate randomisation, the second p-value; 0: without it (default: {TRIALS})",
    )
    group.add_argument(
        "--seed", metavar="N", type=int, default=SEED, help=f"of samples and trials (default: sacreBLEU's, {SEED})"
    )
    group.add_argument(
        "--no-perplexity",
        action="store_true",
        help="do not compute the probability that the model gives the references",
    )


def add_output_options(parser: ArgumentParser) -> None:
    """Options for files that are written."""
    group = parser.add_argument_group("files")
    for kind, text in (("json", "JSON"), ("jsonl", "JSON lines, one for each row of the table"), ("csv", "CSV")):
        group.add_argument(f"--{kind}", metavar="FILE", type=Path, help=f"write scores and signatures as {text}")
    group.add_argument(
        "--report",
        metavar="FILE",
        type=Path,
        help="write a page to look at in a browser: the verdict, scores with intervals, learning curves, where two "
        "systems differ most, the worst sentences; one file, without network and scripts",
    )
    group.add_argument(
        "--output",
        metavar="FILE|DIRECTORY",
        type=Path,
        help="write the translations: to a file if there is one system and one test set of files, else to a directory, "
        "in files named run.checkpoint.test-set.txt",
    )

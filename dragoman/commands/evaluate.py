"""Score runs on a test set: BLEU, chrF and TER of detokenised text against untouched references, with signatures.

dragoman evaluate runs/m30k [more runs or checkpoints] --source test.en --reference test.de
"""

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import InputError
from data.lines import read_lines
from data.sources import load_corpora
from dragoman.commands.options import ArgumentParser
from dragoman.evaluation.baselines import copy_source, learn_dictionary, word_for_word
from dragoman.evaluation.metrics import METRICS
from dragoman.files import write_json, write_text
from dragoman.messages import warn
from dragoman.runs.loading import find_checkpoint
from dragoman.signals import Interrupted, StopRequest
from dragoman.translation.translator import Translator
from transformer.config import Config
from transformer.devices.compilation import use_compilation_cache


class TestSet(NamedTuple):
    """Sources, and the references that their translations are compared with, line by line."""

    name: str
    sources: Sequence[str]
    references: Sequence[str]


def main(arguments: list[str]) -> int:
    """The exit status of the command: it translates with each run in turn, prints the scores, and writes the files."""
    options = parse(arguments)
    use_compilation_cache()
    for run in options.runs:  # fail before any translation; contents are verified when loaded
        find_checkpoint(Path(run), "best")
    files = read_test_set(options.source, options.reference) if options.source else None
    results: list[dict[str, Any]] = []
    with StopRequest() as stop:
        for run in options.runs:
            translator = Translator.load(run, beam=options.beam, length_penalty=options.length_penalty)
            test_sets = [files] if files else own_test_sets(translator.config, options.split)
            if options.baselines:
                results += baselines(translator.config, test_sets)
            for test_set in test_sets:
                try:
                    hypotheses, result = evaluate(translator, test_set, is_stopping=lambda: stop.requested)
                except Interrupted:
                    break
                results.append(result)
                if options.output:
                    save_hypotheses(
                        options.output, hypotheses, result, is_only=len(options.runs) == 1 and files is not None
                    )
            if stop.requested:
                break
    if results:
        print(table(results))
    if options.json and not stop.requested:
        write_json(options.json, {"results": results})
    return stop.exit_status


def parse(arguments: list[str]) -> argparse.Namespace:
    """The parsed options. InputError if only one of --source and --reference is given."""
    parser = ArgumentParser(description="Score runs on a test set, with sacreBLEU signatures.")
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="run directory (its best checkpoint), or a checkpoint in one"
    )
    parser.add_argument("--source", metavar="FILE", help="text to translate (default: the run's own test set)")
    parser.add_argument("--reference", metavar="FILE", help="its translation, line by line")
    parser.add_argument("--split", choices=["test", "validation"], default="test", help="which of the run's own sets")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write scores and signatures as JSON")
    parser.add_argument("--beam", metavar="N", type=int, help="hypotheses kept; 1: greedy (default: the run's)")
    parser.add_argument(
        "--length-penalty",
        metavar="X",
        type=float,
        help="exponent of the length penalty, gnmt or power as in the run; 0: none (default: the run's)",
    )
    parser.add_argument(
        "--output",
        metavar="FILE|DIRECTORY",
        type=Path,
        help="write the translations: to a file if there is one run and "
        "--source, else to a directory, in files named run.checkpoint.test-set.txt",
    )
    parser.add_argument(
        "--baselines",
        action="store_true",
        help="also score two baselines that need no model: the source copied, and a word-for-word translation by a "
        "dictionary learned from the run's training text",
    )
    options = parser.parse_args(arguments)
    if bool(options.source) != bool(options.reference):
        given, missing = ("--source", "--reference") if options.source else ("--reference", "--source")
        raise InputError(f"{given} without {missing}: give both, or neither for the run's own test set")
    return options


def read_test_set(source: str, reference: str) -> TestSet:
    """A test set from two files with the same number of lines."""
    sources, references = read_lines(source), read_lines(reference)
    if len(sources) != len(references):
        raise InputError(
            f"{source} has {len(sources)} lines and {reference} has {len(references)}: "
            "line n of one must translate line n of the other"
        )
    return TestSet(Path(source).name, sources, references)


def own_test_sets(config: Config, split: str) -> list[TestSet]:
    """The test or validation sets of a run's recipe, with a warning if the data source dropped pairs."""
    test_sets = []
    for corpus in load_corpora(config.data, "validation" if split == "validation" else "test"):
        for reason, count in corpus.dropped.items():
            if count:
                warn(f"{corpus.name}: {count} pairs left out: {reason}")
        pairs = list(corpus.pairs)
        test_sets.append(TestSet(corpus.name, [pair.source for pair in pairs], [pair.target for pair in pairs]))
    return test_sets


def evaluate(
    translator: Translator, test_set: TestSet, *, is_stopping: Callable[[], bool]
) -> tuple[list[str], dict[str, Any]]:
    """The translations of a test set, and its row of the table: the run, the checkpoint and each metric's score."""
    label = f"{Path(translator.run).name} {test_set.name}"
    hypotheses = translator.translate(test_set.sources, label=label, is_stopping=is_stopping)
    decoding = translator.config.decoding
    result: dict[str, Any] = {
        "run": translator.run,
        "step": translator.step,
        "checkpoint": translator.checkpoint,
        "test_set": test_set.name,
        "sentences": len(test_set.sources),
        "beam": decoding.beam,
        "length_penalty": decoding.length_penalty,
    }
    return hypotheses, result | scores(hypotheses, test_set, translator.config)


def scores(hypotheses: Sequence[str], test_set: TestSet, config: Config) -> dict[str, Any]:
    """Each metric's score and signature."""
    found = {
        name: metric.score(hypotheses, test_set.references, config.data.target_language)
        for name, metric in METRICS.items()
    }
    return {name: {"score": score.score, "signature": score.signature} for name, score in found.items()}


def baselines(config: Config, test_sets: Sequence[TestSet]) -> list[dict[str, Any]]:
    """The rows of the table that a model should beat: the source copied, and each word looked up in a dictionary."""
    dictionary = learn_dictionary([pair for corpus in load_corpora(config.data, "train") for pair in corpus.pairs])
    results = []
    for test_set in test_sets:
        about = {"step": None, "checkpoint": "-", "test_set": test_set.name, "sentences": len(test_set.sources)}
        copied, replaced = copy_source(test_set.sources), word_for_word(test_set.sources, dictionary)
        results.append({"run": "source copied", **about, **scores(copied, test_set, config)})
        results.append({"run": "word for word", **about, **scores(replaced, test_set, config)})
    return results


def table(results: Sequence[dict[str, Any]]) -> str:
    """The scores in columns, with two decimals, followed by the signature of each metric."""
    header = ["run", "checkpoint", "test set", "sentences", *METRICS]
    rows = [header]
    for result in results:
        about = [result["run"], result["checkpoint"], result["test_set"], str(result["sentences"])]
        rows.append([*about, *(f"{result[name]['score']:.2f}" for name in METRICS)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    signatures = {f"{name}: {result[name]['signature']}": None for name in METRICS for result in results}
    return "\n".join([*lines, "", *signatures])


def save_hypotheses(path: Path, hypotheses: Sequence[str], result: dict[str, Any], *, is_only: bool) -> None:
    """Write translations to `path`, or to a separate file in the directory `path` if there are others."""
    if path.is_dir() or not is_only:
        run = re.sub(r"[^\w.-]+", "-", f"{result['run'].strip('/')}.{result['checkpoint']}.{result['test_set']}")
        path = path / f"{run.strip('-.')}.txt"
    write_text(path, "".join(line + "\n" for line in hypotheses))

"""Score runs on a test set: BLEU, chrF and TER of detokenised text against untouched references, with signatures.

dragoman evaluate runs/m30k [more runs or checkpoints] --source test.en --reference test.de
"""

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.sources import load_corpora
from dragoman.commands.options import ArgumentParser
from dragoman.commands.paths import check_outputs
from dragoman.evaluation.baselines import copy_source, learn_dictionary, spread, word_for_word
from dragoman.evaluation.held_out import TestSet, own_test_sets, read_test_set, together
from dragoman.evaluation.metrics import METRICS
from dragoman.files import check_writable, write_json, write_text
from dragoman.runs.loading import find_checkpoint
from dragoman.signals import Interrupted, StopRequest
from dragoman.translation.translator import Translator
from transformer.config import Config
from transformer.devices.compilation import use_compilation_cache


def main(arguments: list[str]) -> int:
    """The exit status of the command: it translates with each run in turn, prints the scores, and writes the files."""
    options = parse(arguments)
    check_outputs(
        [("--json", options.json), ("--output", options.output)],
        [("--source", options.source), ("--reference", options.reference)],
        runs=options.runs,
    )
    check_can_be_written(options)
    use_compilation_cache()
    for run in options.runs:  # fail before any translation; contents are verified when loaded
        find_checkpoint(Path(run), options.checkpoint)
    files = read_test_set(options.source, options.reference) if options.source else None
    results: list[dict[str, Any]] = []
    with StopRequest() as stop:
        for run in options.runs:
            translator = Translator.load(
                run, checkpoint=options.checkpoint, beam=options.beam, length_penalty=options.length_penalty
            )
            test_sets = [files] if files else own_test_sets(translator.config, options.split)
            if options.baselines:
                results += baselines(translator.config, test_sets, options.split)
            for hypotheses, result in evaluate(translator, test_sets, options.split, lambda: stop.requested):
                results.append(result)
                if options.output:
                    save_hypotheses(options.output, hypotheses, result, is_only=is_single(options))
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
    parser.add_argument(
        "--checkpoint",
        metavar="STEP|average|PATH",
        default="best",
        help="which checkpoint of each run (default: best by validation score)",
    )
    parser.add_argument(
        "--split",
        choices=["test", "validation"],
        help="which of the run's own sets (default: test); validation is scored exactly as training logged it",
    )
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
    if options.source and options.split:
        raise InputError(
            f"--split {options.split} with --source: the first is for the run's own sets; give one of them"
        )
    options.split = options.split or "test"
    return options


def is_single(options: argparse.Namespace) -> bool:
    """Whether the command translates one text with one run, so that --output may be a file."""
    return len(options.runs) == 1 and bool(options.source)


def check_can_be_written(options: argparse.Namespace) -> None:
    """InputError if --json or --output could not be written after all the work."""
    if options.json:
        check_writable(options.json)
    if not options.output or options.output.is_dir():
        return
    if is_single(options):
        check_writable(options.output)
    elif options.output.exists():
        raise InputError(
            f"--output {options.output}: is not a directory, which several translations need: only those of one run, "
            "with --source, go to a file"
        )


def evaluate(
    translator: Translator, test_sets: Sequence[TestSet], split: str, is_stopping: Callable[[], bool]
) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """For each test set, its translations and its row of the table; several sets get one more row, for all together.

    That row is what training logs: it numbers the lines of all sets together, as this does. After a request to stop,
    the sets that were not finished are left out.
    """
    decoding = translator.config.decoding
    about = {"run": translator.run, "step": translator.step, "checkpoint": translator.checkpoint}
    about |= {"beam": decoding.beam, "length_penalty": decoding.length_penalty}
    done: list[str] = []
    for test_set in test_sets:
        label = f"{Path(translator.run).name} {test_set.name}"
        try:
            found = translator.search(test_set.sources, label=label, is_stopping=is_stopping, first=len(done) + 1)
        except Interrupted:
            return
        hypotheses = [ranks[0].text for ranks in found]
        done += hypotheses
        yield hypotheses, row(about, test_set, hypotheses, translator.config)
    if len(test_sets) > 1:
        yield done, row(about, together(test_sets, f"all of {split}"), done, translator.config)


def row(about: dict[str, Any], test_set: TestSet, hypotheses: Sequence[str], config: Config) -> dict[str, Any]:
    """A row of the table: what was translated, and each metric's score and signature."""
    what = {"test_set": test_set.name, "sentences": len(test_set.sources)}
    return about | what | scores(hypotheses, test_set, config)


def scores(hypotheses: Sequence[str], test_set: TestSet, config: Config) -> dict[str, Any]:
    """Each metric's score and signature."""
    found = {
        name: metric.score(hypotheses, test_set.reference, config.data.target_language)
        for name, metric in METRICS.items()
    }
    return {name: {"score": score.score, "signature": score.signature} for name, score in found.items()}


def baselines(config: Config, test_sets: Sequence[TestSet], split: str) -> list[dict[str, Any]]:
    """The rows of the table that a model should beat: the source copied, and each word looked up in a dictionary."""
    dictionary = learn_dictionary(spread([corpus.pairs for corpus in load_corpora(config.data, "train")]))
    language = config.data.target_language
    results = []
    for test_set in [*test_sets, *[together(test_sets, f"all of {split}")] * (len(test_sets) > 1)]:
        copied, replaced = copy_source(test_set.sources), word_for_word(test_set.sources, dictionary, language)
        for name, hypotheses in (("source copied", copied), ("word for word", replaced)):
            results.append(row({"run": name, "step": None, "checkpoint": "-"}, test_set, hypotheses, config))
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

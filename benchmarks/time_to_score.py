"""How soon runs translate well: a table of updates, minutes and scores, by optimiser and learning rate.

    python benchmarks/time_to_score.py runs/adamw-1 runs/adamw-2 runs/muon-1 ... --validation 39.5 [--target 39.0]

The script reads finished runs and trains nothing. A run counts as stopped at its first checkpoint with a validation
BLEU of `--validation` or more. Fix that number before you look at the test set. Among the runs of one optimiser, the
tuned one needs the fewest updates, and among equals has the better validation BLEU. Only its checkpoint is scored on
the run's own test set, so the test set chooses nothing. `--target` is compared with lower-cased, tokenised BLEU.

Train the runs with `--training.keep_last 1000`, which keeps every checkpoint. If the first validation that reached the
score no longer has a checkpoint, the next one that has counts, and is marked. Averages are left out, because they are
made after training.

- decay and of: the weight decay, and the number of updates that the run was planned for.
- minutes: from the start to the end of that validation, by the times in metrics.jsonl. This includes compilation, all
  validations, checkpoints, and any pause. The time before the log's first line is estimated from the usual pace and the
  compilation in that line. Reading the text and starting up are left out.
- training: the updates at the usual pace, which is the median over stretches of the log without a validation. It leaves
  out compilation, validation and pauses.
"""

import json
import statistics
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from data.errors import InputError
from dragoman.commands.options import ArgumentParser, run_main
from dragoman.evaluation.held_out import own_test_sets
from dragoman.evaluation.metrics import METRICS
from dragoman.runs.run import Run
from dragoman.runs.selection import steps
from dragoman.translation.translator import Translator
from transformer.devices.compilation import use_compilation_cache, use_cores

SCORES = ("bleu", "bleu_lowercased_tokenized")


def pace(records: Sequence[dict[str, Any]]) -> float:
    """Seconds of an update: the median over stretches that end in a line of training, and so hold no validation."""
    found = [
        (after["time"] - before["time"]) / (after["step"] - before["step"])
        for before, after in pairwise(records)
        if "learning_rate" in after and after["step"] > before["step"]
    ]
    return statistics.median(found)


def minutes(records: Sequence[dict[str, Any]], end: dict[str, Any]) -> dict[str, float]:
    """Minutes up to the line `end`, by the clock and by the pace."""
    usual, first = pace(records), records[0]
    unlogged = first["step"] * usual + first["compile_seconds"]
    return {
        "minutes": (unlogged + end["time"] - first["time"]) / 60,
        "training_minutes": end["step"] * usual / 60,
    }


def reached(directory: str, least: float) -> dict[str, Any]:
    """A run's line of the table: where it reached a validation BLEU, or how far it came."""
    run = Run(directory)
    training, records = run.load_config().training, run.read_metrics()
    names = ("optimizer", "learning_rate", "weight_decay", "steps")
    about = {"run": directory, **{name: getattr(training, name) for name in names}}
    validations = [record for record in records if "bleu" in record]
    if sum("learning_rate" in record for record in records) < 2 or "learning_rate" not in records[0]:
        raise InputError(f"{run.metrics_path}: does not begin with two lines of training: lower training.log_every")
    passed = [record for record in validations if record["bleu"] >= least]
    kept = [record for record in passed if record["step"] in steps(run.checkpoints)]
    if kept:
        note = "" if kept[0] == passed[0] else "*"
        found = {"step": kept[0]["step"], "validation": kept[0]["bleu"], "note": note}
        return {**about, **found, **minutes(records, kept[0])}
    best = max((record["bleu"] for record in validations), default=0.0)
    note = "reached, but no checkpoint is kept" if passed else f"not reached: best validation BLEU {best:.2f}"
    return {**about, "step": None, "note": note}


def test_scores(row: dict[str, Any]) -> dict[str, float]:
    """Scores of a run's checkpoint on its own test set."""
    translator = Translator.load(str(Path(row["run"], "checkpoints", str(row["step"]))))
    test_sets = own_test_sets(translator.config, "test")
    if len(test_sets) != 1:
        raise InputError(f"{row['run']}: has {len(test_sets)} test sets: expected one, see data.test")
    [test_set] = test_sets
    hypotheses, language = translator.translate(test_set.sources, label="test"), test_set.language
    return {name: METRICS[name].score(hypotheses, test_set.reference, language).score for name in SCORES}


def tuned(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each optimiser the run that needs the fewest updates, then the one of better validation BLEU."""
    ranked = sorted(
        (row for row in rows if row["step"] is not None),
        key=lambda row: (row["step"], -row["validation"]),
        reverse=True,
    )
    return list({row["optimizer"]: row for row in ranked}.values())


def line(row: dict[str, Any], target: float) -> str:
    """A run in columns."""
    about = f"{row['optimizer']:13} {row['learning_rate']:13g} {row['weight_decay']:5g} {row['steps']:6}"
    if row["step"] is None:
        return f"{about} {row['note']}  {row['run']}"
    scores = "  ".join(f"{row[name]:9.2f}" if name in row else " " * 9 for name in SCORES)
    verdict = ("yes" if row[SCORES[1]] >= target else "no") if SCORES[1] in row else ""
    return (
        f"{about} {row['step']:7}{row['note']:1} {row['minutes']:8.1f} {row['training_minutes']:8.1f} "
        f"{row['validation']:10.2f}  {scores} {verdict:>7}  {row['run']}"
    )


def main(arguments: list[str]) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks/time_to_score.py", description="How soon finished runs translate well.")
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run directory, its checkpoints kept")
    parser.add_argument("--validation", metavar="X", type=float, required=True, help="validation BLEU to reach")
    parser.add_argument(
        "--target", metavar="X", type=float, default=39.0, help="lower-cased tokenised test BLEU (default 39.0)"
    )
    options = parser.parse_args(arguments)
    use_compilation_cache()
    rows = [reached(run, options.validation) for run in options.runs]
    for row in tuned(rows):
        row |= test_scores(row)
    rows.sort(key=lambda row: (row["optimizer"], row["learning_rate"]))
    print(
        f"{'optimiser':13} {'learning rate':>13} {'decay':>5} {'of':>6} {'updates':>7}  {'minutes':>8} "
        f"{'training':>8} {'validation':>10}  "
        f"{'test':>9}  {'lowercase':>9} {'>=' + format(options.target, 'g'):>7}  run"
    )
    print(*(line(row, options.target) for row in rows), sep="\n")
    print("minutes: with compilation, validations and pauses; training: updates at the median pace, without these")
    if any(row["note"] == "*" for row in rows):
        print("*: an earlier validation reached it, but its checkpoint was not kept")
    print(json.dumps(rows))


if __name__ == "__main__":
    use_cores()
    run_main(main)

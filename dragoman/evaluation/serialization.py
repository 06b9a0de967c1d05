"""An evaluation as JSON, JSON lines and CSV."""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from dragoman.evaluation.results import Evaluation, MetricResult, Result


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """The results, and what the intervals and p-values depend on."""
    about: dict[str, Any] = {"results": [result_record(result) for result in evaluation.results]}
    about["resampling"] = {"samples": evaluation.samples, "seed": evaluation.seed}
    if evaluation.baseline:
        about["resampling"] |= {"trials": evaluation.trials}
        about["baseline"] = evaluation.baseline
        about["comparisons"] = [one._asdict() for one in evaluation.comparisons]
    about |= {key: [one.as_json() for one in records] for key, records in evaluation.supplements.items()}
    if evaluation.notes:
        about["notes"] = list(evaluation.notes)
    return about


def result_record(result: Result) -> dict[str, Any]:
    """A row as a JSON object. What is not known of it has no key, except the step."""
    system = result.system
    record: dict[str, Any] = {"run": system.run, "step": system.step, "checkpoint": system.checkpoint}
    record |= {"system": system.name, "kind": system.kind, "test_set": result.test_set, "sentences": result.sentences}
    record |= {name: value for name, value in result.search.items() if value is not None}
    record |= {name: metric_record(metric) for name, metric in result.metrics.items()}
    if result.checks:
        record |= result.checks._asdict()
    known = {
        "perplexity": result.perplexity,
        "perplexity_sentences": result.perplexity_sentences,
        "sentences_per_second": result.sentences_per_second,
        "parameters": system.parameters,
        "averaged": list(system.averaged) or None,
        "members": list(system.members) or None,
        "seed_of": system.seed_of or None,
    }
    return record | {name: value for name, value in known.items() if value is not None}


def metric_record(metric: MetricResult) -> dict[str, Any]:
    """The score of a metric as a JSON object, with what is known of it."""
    optional = ("low", "high", "spread", "p", "p_randomization", "verdict")
    known = {name: getattr(metric, name) for name in optional}
    record = {"score": metric.score, "signature": metric.signature}
    record |= {name: value for name, value in known.items() if value is not None}
    return record | ({"chosen_by_it": True} if metric.is_flattered else {})


def as_json_lines(evaluation: Evaluation) -> str:
    """One JSON object a line for each row: the `results` of the JSON."""
    return "".join(json.dumps(result_record(one), ensure_ascii=False) + "\n" for one in evaluation.results)


def as_csv(evaluation: Evaluation) -> str:
    """A line for each row, with the keys of the JSON as columns: `bleu.score`, `bleu.low`."""
    rows = [flat(result_record(one)) for one in evaluation.results]
    columns = dict.fromkeys(name for row in rows for name in row)
    written = io.StringIO()
    writer = csv.DictWriter(written, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """An object without objects in it: {"a": {"b": 1}, "c": [2, 3]} -> {"a.b": 1, "c": "2 3"}."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{key}": one for key, one in flat(value).items()}
        else:
            found[name] = " ".join(map(str, value)) if isinstance(value, list) else value
    return found

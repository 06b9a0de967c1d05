"""A run's translations of its validation set under every combination of some decoding knobs, and the best of them."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import InputError
from dragoman.evaluation.decoding import Admitted, Model
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.kept import Kept
from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.results import Outputs, Result
from dragoman.evaluation.scoring import Evaluator
from dragoman.evaluation.significance import LEVEL
from dragoman.evaluation.systems import Candidate
from dragoman.runs.loading import run_of_checkpoint, with_decoding
from dragoman.runs.run import Run
from dragoman.signals import never
from dragoman.translation.members import restore
from transformer.config import Config, DecodingConfig

SCORES = ("bleu", "chrf")  # those in the table, besides the metric that decides


class Setting(NamedTuple):
    """A combination of knobs, and its results."""

    knobs: dict[str, Any]  # of the decoding section; empty: as the run has them
    scores: dict[str, float]
    length_ratio: float  # characters of the outputs for one of the first reference
    sentences_per_second: float | None


class Sweep(NamedTuple):
    """The outcome of a sweep."""

    run: str
    checkpoint: str
    test_set: str
    sentences: int
    metric: str  # by which settings are compared: the run's training.metric
    settings: list[Setting]  # the run's own knobs first
    best: int  # its index among them
    p: float | None  # of its difference from the run's own knobs, by paired bootstrap; None if it is these
    is_on_test: bool  # the knobs were chosen on a test set, so its scores are too good

    def as_json(self) -> dict[str, Any]:
        """The record for JSON: see docs/json.md."""
        return {**self._asdict(), "settings": [one._asdict() for one in self.settings]}


def read_grid(texts: Sequence[str]) -> list[dict[str, str]]:
    """All combinations of knobs, with values as text: ["beam=1,4", "length_penalty=0.6,1"] -> 4 of them.

    InputError if a text has another form. The values are checked when they are put into a run's config.
    """
    values: dict[str, list[str]] = {}
    for text in texts:
        name, separator, given = text.partition("=")
        name = name.removeprefix("decoding.").replace("-", "_")
        if not separator or not all(given.split(",")):
            raise InputError(f"--sweep {text}: expected KNOB=VALUE,VALUE,... with a knob of the decoding section")
        if name in values:
            raise InputError(f"--sweep {name}: given twice: list all its values together")
        values[name] = list(dict.fromkeys(given.split(",")))
    return [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]


def sweep(
    candidate: Candidate,
    grid: Sequence[Mapping[str, str]],
    test_set: TestSet,
    cache: Kept,
    *,
    samples: int,
    seed: int,
    is_stopping: Callable[[], bool] = never,
) -> Sweep:
    """The scores of a run under its own knobs and under every combination of others. Raises Interrupted when stopped.

    Combinations share their programs where they can: one is compiled for each beam, whatever the length penalty.
    """
    member = candidate.members[0]
    changed = [member.config, *(with_decoding(member.config, knobs) for knobs in grid)]
    configs = list({config.decoding: config for config in changed}.values())  # each once
    metric = METRICS[member.config.training.metric]
    judged = [METRICS[name] for name in dict.fromkeys((metric.name, *SCORES))]
    evaluator = Evaluator(test_set, judged, cache, samples=0, trials=0, seed=seed)
    outputs = list(translations(candidate, configs, test_set, cache, is_stopping))
    settings = [setting(config, evaluator.result(one), grid[0]) for config, one in zip(configs, outputs, strict=True)]
    best = 0
    for number, one in enumerate(settings):
        if metric.is_better(one.scores[metric.name], than=settings[best].scores[metric.name]):
            best = number
    evaluator = Evaluator(test_set, [metric], cache, samples=samples, trials=0, seed=seed)
    texts = [one.hypotheses for one in outputs]
    difference = evaluator.difference(metric, texts[best], texts[0]) if best and samples else None
    return Sweep(
        member.run,
        member.checkpoint,
        test_set.name,
        len(test_set.sources),
        metric.name,
        settings,
        best,
        difference.bootstrap if difference else None,
        is_on_test=test_set.split != "validation",
    )


def translations(
    candidate: Candidate,
    configs: Sequence[Config],
    test_set: TestSet,
    cache: Kept,
    is_stopping: Callable[[], bool],
) -> Iterator[Outputs]:
    """The outputs under each config. Parameters are loaded once, and each program is compiled once.

    Greedy search ignores the length penalty, so that all its settings have the same outputs.
    """
    load = functools.cache(lambda directories: restore(candidate.members[0]))
    admitted: Admitted = {}
    known: dict[DecodingConfig, Outputs] = {}
    for config in configs:
        decoding = config.decoding
        if decoding.beam == 1 and not decoding.sampling:
            decoding = decoding.model_copy(update={"length_penalty": 0.0, "penalty": "gnmt"})
        if decoding not in known:
            members = tuple(one._replace(config=config) for one in candidate.members)
            one = candidate._replace(members=members, changed=())
            model = Model(one, cache, admitted, load=lambda member: load(member.directories))
            known[decoding] = model.outputs(test_set, is_stopping=is_stopping)
        yield known[decoding]


def setting(config: Config, result: Result, names: Iterable[str]) -> Setting:
    """The record of a setting, with the values of the knobs that are varied."""
    knobs = {name: getattr(config.decoding, name) for name in names}
    scores = {name: one.score for name, one in result.metrics.items()}
    ratio = result.checks.length_ratio if result.checks else 0.0
    return Setting(knobs, scores, ratio, result.sentences_per_second)


def write_back(found: Sweep) -> None:
    """Writes the best knobs into the config of their run. InputError if they were chosen on a test set.

    Training and translation then take them. They are no part of what the parameters mean, so that checkpoints stay
    valid; training that is resumed under them says that its scores are not comparable with the earlier ones.
    """
    if found.is_on_test:
        raise InputError("--write-back with --sweep-on-test: knobs that a test set has chosen are not for use")
    run = run_of_checkpoint(Path(found.run)) or Run(found.run)
    with run.lock():
        config = run.load_config()
        run.save_config(with_decoding(config, found.settings[found.best].knobs))


def sweep_table(found: Sweep) -> list[list[str]]:
    """Rows for a table, the first its header. The run's own knobs come first, and the best ones have a star."""
    names, scores = (list(of) for of in (found.settings[0].knobs, found.settings[0].scores))
    rows = [["", *names, *scores, "length", "sentences/s"]]
    for number, one in enumerate(found.settings):
        speed = f"{one.sentences_per_second:.1f}" if one.sentences_per_second else "-"
        marks = "now" * (number == 0) + " *" * (number == found.best)
        numbers = [*(f"{one.scores[name]:.2f}" for name in scores), f"{one.length_ratio:.3f}", speed]
        rows.append([marks.strip(), *(str(one.knobs[name]) for name in names), *numbers])
    return rows


def conclusion(found: Sweep) -> str:
    """The outcome in a sentence."""
    label = METRICS[found.metric].label
    best, now = found.settings[found.best], found.settings[0]
    on = f"on {found.test_set} ({found.sentences} sentences)"
    if found.best == 0:
        text = f"No setting has a better {label} than the run's own {on}."
    else:
        knobs = ", ".join(f"{name} {value}" for name, value in best.knobs.items())
        gain = best.scores[found.metric] - now.scores[found.metric]
        chance = ", which may be chance" if found.p is not None and found.p >= LEVEL else ""
        how = f" (p = {found.p:.3f}, by paired bootstrap)" if found.p is not None else ""
        text = f"The best {label} {on} has {knobs}: {gain:+.2f} over the run's own{chance}{how}."
    warning = " The knobs were chosen on a test set: report no score on it as a result." if found.is_on_test else ""
    return text + warning

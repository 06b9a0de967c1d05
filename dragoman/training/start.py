"""Starts training from a vocabulary and initial parameters, or resumes from the last good checkpoint of the run.

To add another way to start, such as from another run's parameters, write another function that returns a `Start`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx

from data.batching.description import describe
from data.errors import InputError
from data.sources import Corpus
from data.sources.statistics import source_statistics
from data.vocabulary.given import given_tokenizer
from data.vocabulary.prepared import prepared_tokenizer
from data.vocabulary.tokenizer import Tokenizer
from data.vocabulary.vectors import read_vectors
from dragoman.evaluation.training_text import FILE, prepared_training_text
from dragoman.files import copy_atomically, file_hash, writing
from dragoman.messages import progress, say, warn
from dragoman.runs.checkpoint import restore_optimizer, restore_parameters
from dragoman.runs.identity import check_hashes, check_knobs, check_planned_steps
from dragoman.runs.manifest import Manifest, read_manifest, verify
from dragoman.runs.run import Run
from dragoman.runs.selection import latest, steps
from dragoman.training.loop import Trainer
from dragoman.training.progress import Progress
from dragoman.training.start_from import started
from transformer.config import Config
from transformer.devices.processes import on_first
from transformer.model import Parameters, build, split
from transformer.training.step import TrainState


class Start(NamedTuple):
    """The vocabulary and the parameters that the first update starts from."""

    tokenizer: Tokenizer
    parameters: Callable[[], Parameters]  # called later: the plan, which is made first, needs only the vocabulary


def from_scratch(config: Config, run: Run, train: Sequence[Corpus], *, is_new: bool) -> Start:
    """Random parameters, and a vocabulary: learned on the training text for a new run, else loaded from the run."""
    if is_new:
        on_first(lambda: learn_vocabulary(config, run, train))
    else:
        on_first(lambda: check_own_tokenizer(config, run))
    tokenizer = Tokenizer.load(run.path)
    check_tokenizer(config, tokenizer)
    return Start(tokenizer, partial(initial_parameters, config, tokenizer))


def check_own_tokenizer(config: Config, run: Run) -> None:
    """InputError if the run's vocabulary is not that of its checkpoints: a damaged one may fail as soon as it is used.

    The newest manifest that can be read is compared; damage to checkpoints is reported when they are loaded.
    """
    found = {"tokenizer": file_hash(run.tokenizer_paths(config))}
    for step in reversed(steps(run.checkpoints)):
        directory = run.checkpoints / str(step)
        try:
            manifest = read_manifest(directory)
        except InputError:
            continue
        check_hashes(manifest, found, where=directory)
        return


def check_tokenizer(config: Config, tokenizer: Tokenizer) -> None:
    """InputError if `data.tokenizer` names another vocabulary than the run's own. Its file may be gone by now."""
    named = config.data.tokenizer
    if not all(Path(path).is_file() for path in ([named] if isinstance(named, str) else named)):
        return
    given = given_tokenizer(config.data)
    if given is not None and given.sha256 != tokenizer.sha256:
        raise InputError(
            f"data.tokenizer {named}: another vocabulary than the run's own, which it keeps: resume with "
            "--data.tokenizer '', or start a new run"
        )


def learn_vocabulary(config: Config, run: Run, train: Sequence[Corpus]) -> None:
    """Learns the vocabulary, or takes the given one, saves it in the run, and prints the training text's size in it."""
    tokenizer = prepared_tokenizer(config.data, train, note=say)
    with writing(run.path):
        tokenizer.save(run.path)
    run.save_statistics(source_statistics(config.data, train))
    keep_training_text(config, run, train)
    with progress("tokenize", total=sum(len(corpus.pairs) for corpus in train)) as report:
        description = describe(train, tokenizer, config.data, report=report)
    for line in description.lines():
        say(line)


def keep_training_text(config: Config, run: Run, train: Sequence[Corpus]) -> None:
    """Saves hashes of the training text in the run, so that evaluation can find test lines in it."""
    with progress("hash", total=sum(len(corpus.pairs) for corpus in train)) as report:
        path = prepared_training_text(config.data, train, report=report)
    with writing(run.path / FILE):
        copy_atomically(path, run.path / FILE)


def initial_parameters(config: Config, tokenizer: Tokenizer) -> Parameters:
    """Parameters drawn from the seed, with pre-trained word vectors for the pieces that have one."""
    model = build(
        config.model,
        source_vocabulary=tokenizer.source_size,
        target_vocabulary=tokenizer.target_size,
        rngs=nnx.Rngs(config.training.seed),
    )
    source, target = model.embeddings()
    for path, table, pieces in (
        (config.model.source_vectors, source.table, tokenizer.source_vocabulary()),
        (config.model.target_vectors, target.table, tokenizer.target_vocabulary()),
    ):
        if path:
            ids, vectors = read_vectors(path, pieces, width=config.model.width)
            # Embeddings are multiplied by sqrt(D), so this gives the layers inputs of unit variance.
            table[...] = table[...].at[ids].set(vectors / (np.std(vectors) * config.model.width**0.5))
            say(f"word vectors: {len(ids)} of {len(pieces)} pieces found in {path}")
    return started(split(model)[1], config, tokenizer)


def first_state(trainer: Trainer, start: Start) -> tuple[TrainState, Progress]:
    """The state before the next update: from the last good checkpoint, or if there is none, from `start`.

    The trainer's data is set to the same position, and later lines of metrics.jsonl are removed.
    """
    run, strategy = trainer.run, trainer.plan.strategy
    name = on_first(lambda: find_checkpoint(run))
    if name is None:
        if on_first(lambda: run.cut_metrics(0)):
            say("the run has no checkpoint: training begins again at step 1, and earlier lines of its log are removed")
        return strategy.init_state(start.parameters()), Progress()
    directory = run.checkpoints / name
    # Process 0 has just verified every file, in `find_checkpoint`.
    manifest = verify(directory) if jax.process_index() else read_manifest(directory)
    check_planned_steps(manifest, trainer.plan.config, where=directory)
    check_knobs(manifest, trainer.plan.config, where=directory)
    check_hashes(manifest, trainer.checkpointer.hashes, where=directory)
    template = strategy.template(trainer.plan.abstract_parameters)
    parameters = restore_parameters(directory, template.parameters, verified=manifest)
    optimizer = restore_optimizer(directory, template.optimizer, verified=manifest)
    trainer.batches.set_state(manifest.progress["data"])
    progress = progress_of(manifest, trainer)
    on_first(lambda: run.cut_metrics(progress.step))
    say(f"resuming at step {progress.step}")
    return strategy.restore(parameters, optimizer, progress.step), progress


def progress_of(manifest: Manifest, trainer: Trainer) -> Progress:
    """The progress that a checkpoint records. Its scores are dropped, with a line, if validation has changed since."""
    names = ("best", "stale", "best_step", "lowest_loss", "lowest_step")
    recorded = {name: manifest.progress[name] for name in names if name in manifest.progress}
    progress = Progress(manifest.step, is_validated=manifest.validation is not None, **recorded)
    metric = trainer.plan.config.training.metric
    if manifest.validation_set not in (None, trainer.validation.identity):
        say("the validation set or its search has changed: scores from here on are not compared with earlier ones")
    elif manifest.progress.get("metric", metric) != metric:
        say(f"scores are compared by training.metric {metric} from here on")
    else:
        return progress
    return progress.without_scores()


def find_checkpoint(run: Run) -> str | None:
    """The name of the last good checkpoint, or None if nothing was saved yet. InputError if all are damaged."""
    directory = latest(run.checkpoints, warn=warn)
    if directory is None and steps(run.checkpoints):
        raise InputError(f"{run.checkpoints}: no checkpoint verifies: restore one, or start another run")
    return None if directory is None else directory.name

"""A run in the course of training: updates, log, validation, checkpoints, and the average of the best."""

import contextlib
import time
from math import ceil
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from tensorboardX import SummaryWriter
from tqdm import tqdm

from data.batch import Batch, Pair
from data.batching.pipeline import Share, batch_shapes, empty_share, evaluation_batches, training_batches
from data.errors import InputError
from data.sources import Corpus
from data.vocabulary.tokenizer import Tokenizer
from data.vocabulary.vectors import read_vectors
from dragoman.evaluation.metrics import METRICS
from dragoman.messages import say, warn
from dragoman.runs.checkpoint import Checkpointer, average, latest, restore_optimizer, restore_parameters, steps, verify
from dragoman.runs.manifest import read_manifest
from dragoman.runs.run import Run, check_hashes, check_planned_steps
from dragoman.runs.selection import best_steps
from dragoman.runs.storage import whole
from dragoman.signals import Interrupted, SharedStop
from dragoman.training.memory import refuse, watch
from dragoman.training.meter import Meter
from dragoman.translation.translator import Translator
from transformer.config import Config
from transformer.devices import STRATEGIES
from transformer.devices.processes import on_first
from transformer.model import Parameters, abstract, build, split
from transformer.training.step import TrainState


class Text(NamedTuple):
    """The text of a run: what is trained, validated and tested on, and the vocabulary."""

    train: list[Corpus]
    validation: list[Pair]
    test: list[Pair]
    tokenizer: Tokenizer


def initial_parameters(config: Config, tokenizer: Tokenizer) -> Parameters:
    """Parameters drawn from the seed, with pre-trained word vectors in the rows that have one."""
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
            # Embeddings are scaled by sqrt(D) on the way in; the vectors arrive at the layers with unit variance.
            table[...] = table[...].at[ids].set(vectors / (np.std(vectors) * config.model.width**0.5))
            say(f"word vectors: {len(ids)} of {len(pieces)} pieces found in {path}")
    return split(model)[1]


def logged_metrics(config: Config) -> list[str]:
    """The metrics of validation and of the report at the end: BLEU, chrF, and the one that chooses if it is another."""
    return list(dict.fromkeys(("bleu", "chrf", config.training.metric)))


def show_scores(scores: dict[str, float]) -> str:
    """Scores as they are printed: "BLEU 26.44, chrF 49.73"; the loss is left out."""
    return ", ".join(f"{METRICS[name].label} {score:.2f}" for name, score in scores.items() if name in METRICS)


class Trainer:
    """A run in the course of training."""

    def __init__(self, config: Config, run: Run, text: Text, checkpointer: Checkpointer, stop: SharedStop):
        self.config, self.run, self.text, self.checkpointer, self.stop = config, run, text, checkpointer, stop
        self.graph, self.shapes = abstract(config.model, text.tokenizer.source_size, text.tokenizer.target_size)
        self.strategy = STRATEGIES[config.devices.strategy](self.graph, config)
        batch_tokens = config.training.batch_tokens
        assert isinstance(batch_tokens, int), "train.py has put a number in place of auto"
        shapes = batch_shapes(config.data, batch_tokens=batch_tokens)
        self.shape_count = len(shapes)
        self.longest_rows = ceil(min(rows for rows, *_ in shapes) / self.strategy.row_devices)  # on a device
        share = self.share_of_rows(shapes)
        limit = min(config.data.row_length, config.model.maximum_length)
        held_out, dropped = evaluation_batches(
            text.validation,
            text.tokenizer,
            config.data.model_copy(update={"row_length": limit}),
            batch_tokens=max(batch_tokens // config.training.accumulation, limit),  # no more memory than a part takes
            share=share,
        )
        for reason, count in dropped.items():
            warn(f"validation loss leaves out {count} of {len(text.validation)} pairs: {reason}")
        if not held_out:
            raise InputError(f"no validation pair fits a row of {limit} tokens: see data.row_length")
        self.held_out = held_out
        stream = training_batches(
            text.train,
            text.tokenizer,
            config.data,
            batch_tokens=batch_tokens,
            seed=config.training.seed,
            share=share,
        )
        self.batches = iter(stream)
        self.step, self.stale, self.is_validated = 0, 0, True
        self.best: float | None = None  # validation score, by training.metric

    def share_of_rows(self, shapes: list[tuple[int, int, int]]) -> Share:
        """What this process takes of each batch; says so where empty rows fill up 1% of an update or more."""
        (part, count), devices = self.strategy.row_share, self.strategy.row_devices
        accumulation = self.config.training.accumulation
        if (empty := empty_share(shapes, devices * accumulation)) >= 0.01:
            say(
                f"rows that do not divide by devices {devices} x training.accumulation {accumulation} are filled up "
                f"with empty ones, at most {empty:.0%} of a batch: it learns the same, and a larger batch wastes less"
            )
        return Share(part, count, devices * accumulation)

    def find_start(self) -> str | None:
        """The name of the last good checkpoint, if there is any."""
        directory = latest(self.run.checkpoints, warn=warn)
        if directory is None and steps(self.run.checkpoints):
            raise InputError(f"{self.run.checkpoints}: no checkpoint verifies: restore one, or start another run")
        return None if directory is None else directory.name

    def start(self, hashes: dict[str, str]) -> TrainState:
        """The state of the last good checkpoint, with the data at the same place; or that before the first step."""
        name = on_first(self.find_start)
        if name is None:
            on_first(lambda: self.run.cut_metrics(0))
            return self.strategy.init_state(initial_parameters(self.config, self.text.tokenizer))
        directory = self.run.checkpoints / name
        # The first process has just verified every file, in `find_start`.
        manifest = verify(directory) if jax.process_index() else read_manifest(directory)
        check_hashes(manifest, hashes, where=directory)
        check_planned_steps(manifest, self.config, where=directory)
        template = self.strategy.template(self.shapes)
        parameters = restore_parameters(directory, template.parameters, verified=manifest)
        optimizer = restore_optimizer(directory, template.optimizer, verified=manifest)
        self.batches.set_state(manifest.progress["data"])
        self.step, self.best, self.stale = manifest.step, manifest.progress["best"], manifest.progress["stale"]
        self.is_validated = manifest.validation is not None
        on_first(lambda: self.run.cut_metrics(self.step))
        say(f"resuming at step {self.step}")
        return self.strategy.restore(parameters, optimizer, self.step)

    def is_done(self) -> bool:
        """True after the last step, or when validation has stopped improving."""
        patience = self.config.training.patience
        return self.step >= self.config.training.steps or (patience > 0 and self.stale >= patience)

    def fit(self, state: TrainState) -> None:
        """Updates until done, or until a signal asks to stop: then the state is saved first.

        OutOfMemory where an update does not fit: what was not saved is lost then, as updates write over their state.
        """
        training, key = self.config.training, jax.random.key(self.config.training.seed)
        is_first = jax.process_index() == 0
        writer = SummaryWriter(str(self.run.path / "tensorboard"), purge_step=self.step + 1, write_to_disk=is_first)
        bar = tqdm(
            desc="train",
            total=training.steps,
            initial=self.step,
            unit="step",
            dynamic_ncols=True,
            disable=not is_first,
        )
        meter = Meter(
            self.config,
            self.text.tokenizer.target_size,
            shapes=self.shape_count,
            devices=self.strategy.device_count,
            warn=warn,
        )
        with contextlib.closing(self.batches), bar, writer, meter.listening(), watch():
            if not self.is_validated and self.is_validation_due():  # the last session ended in the middle of it
                self.validate_and_save(state, writer, bar)
            meter.go_on()
            while not self.is_done() and not self.stop.number:
                batch: Batch = next(self.batches)
                with meter.update(batch):
                    state, metrics = self.strategy.train_step(state, batch, key)
                meter.add(metrics, batch)
                self.step += 1
                self.stop.look()
                bar.update()
                if self.step % training.log_every == 0 or self.step == training.steps:
                    self.log(meter.record(self.step), writer, bar)
                if self.is_validation_due():
                    meter.pause()
                    self.validate_and_save(state, writer, bar)
                    meter.go_on()
                elif self.step % training.save_every == 0 or self.stop.number:
                    self.save(state, None)
        say(meter.summary())

    def is_validation_due(self) -> bool:
        """True at the steps after which the model is validated."""
        return self.step > 0 and (self.step % self.config.training.validate_every == 0 or self.is_done())

    def validate_and_save(self, state: TrainState, writer: SummaryWriter, bar: tqdm) -> None:
        """A checkpoint with its validation scores, or, if asked to stop meanwhile, one to validate on resuming."""
        try:
            with refuse("validation", "lower decoding.rows or decoding.beam"):
                scores = self.validate(state, writer, bar)
        except Interrupted:
            scores = None
        self.save(state, scores)

    def log(self, record: dict[str, Any], writer: SummaryWriter, bar: tqdm) -> None:
        """One line of metrics.jsonl, the same to TensorBoard, and the essence to the progress bar."""
        self.append_metrics(record)
        for name, value in record.items():
            if name not in ("step", "time"):
                writer.add_scalar(name, value, record["step"])
        share = f" ({record['utilisation']:.0%} of peak)" if "utilisation" in record else ""
        bar.set_postfix_str(
            f"loss {record['loss']:.3f}, {record['target_tokens_per_second']:,.0f} tokens/s, "
            f"{record['device_teraflops']:.3g} TFLOP/s{share}, padding {record['padding']:.0%}"
        )

    def append_metrics(self, record: dict[str, Any]) -> None:
        """One line of metrics.jsonl, by process 0."""
        if jax.process_index() == 0:
            self.run.append_metrics(record)

    def validate(self, state: TrainState, writer: SummaryWriter, bar: tqdm) -> dict[str, float]:
        """Loss and scores on the validation set, by the search that translate.py uses."""
        parameters = whole(self.strategy.saved(state).parameters)
        scores = {"loss": self.validation_loss(state), **self.validation_scores(parameters)}
        self.append_metrics({"step": self.step, "time": time.time(), **scores})
        for name, value in scores.items():
            writer.add_scalar(f"validation/{name}", value, self.step)
        score = scores[self.config.training.metric]
        is_best = self.best is None or METRICS[self.config.training.metric].is_better(score, self.best)
        self.best, self.stale = (score, 0) if is_best else (self.best, self.stale + 1)
        say(f"step {self.step}: validation loss {scores['loss']:.3f}, {show_scores(scores)}" + "  (best)" * is_best)
        bar.unpause()
        return scores

    def validation_loss(self, state: TrainState) -> float:
        """Cross-entropy of the validation set in nats for each real target token, EOS counted."""
        sums = [self.strategy.eval_step(state, batch) for batch in self.held_out]
        return float(sum(s.loss for s in sums) / sum(s.tokens for s in sums))

    def validation_scores(self, parameters: Parameters) -> dict[str, float]:
        """BLEU, chrF and training.metric of the validation set's translations."""
        sources = [pair.source for pair in self.text.validation]
        translator = Translator(self.graph, parameters, self.config, self.text.tokenizer)
        hypotheses = translator.translate_together(sources, self.stop, label="validate")
        references, language = [pair.target for pair in self.text.validation], self.config.data.target_language
        names = logged_metrics(self.config)
        return {name: METRICS[name].score(hypotheses, references, language).score for name in names}

    def save(self, state: TrainState, validation: dict[str, float] | None) -> None:
        """Hands the state to the checkpointer, with the place in the data that goes with it."""
        saved = self.strategy.saved(state)
        progress = {"data": self.batches.get_state(), "best": self.best, "stale": self.stale}
        progress["planned_steps"] = self.config.training.steps
        self.checkpointer.save(self.step, saved.parameters, saved.optimizer, progress=progress, validation=validation)

    def find_best(self) -> list[str]:
        """The names of the checkpoints to average, when the last one is on the disk."""
        self.checkpointer.wait()
        training = self.config.training
        found = best_steps(self.run.checkpoints, training.keep_best, metric=training.metric, warn=warn)
        return [path.name for path in found]

    def average_best(self) -> None:
        """Averages the best checkpoints (Vaswani et al. 2017, section 6.1) and scores the average on validation."""
        kept = [self.run.checkpoints / name for name in on_first(self.find_best)]
        if len(kept) < 2:
            return
        parameters = average(kept)
        scores = self.validation_scores(parameters)
        self.checkpointer.save_average(parameters, steps=[int(path.name) for path in kept], validation=scores)
        names = ", ".join(path.name for path in kept)
        say(f"average of steps {names}: validation {show_scores(scores)}")

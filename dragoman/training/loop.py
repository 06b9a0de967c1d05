"""The training loop: updates, log, validation and checkpoints, and finally the average of the best checkpoints."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax

from data.batch import Batch
from dragoman.messages import say, warn
from dragoman.reports.training import update_report
from dragoman.runs.checkpoint import Checkpointer, average
from dragoman.runs.identity import fixed_knobs
from dragoman.runs.run import Run
from dragoman.runs.selection import best_steps
from dragoman.signals import Interrupted, SharedStop
from dragoman.training.ahead import Compile, compiling
from dragoman.training.log import Log, open_log
from dragoman.training.memory import raising_out_of_memory, rejecting_out_of_memory
from dragoman.training.meter import Meter
from dragoman.training.plan import Plan
from dragoman.training.progress import Progress
from dragoman.training.validation import Validation, show_scores
from transformer.devices.processes import on_first
from transformer.training.step import Metrics, TrainState


@dataclass(frozen=True)
class Trainer:
    """The training loop and everything it uses. What changes is passed as arguments: the state and the progress."""

    plan: Plan
    run: Run
    batches: Any  # a grain iterator, which knows its position in the data
    validation: Validation
    checkpointer: Checkpointer
    stop: SharedStop
    ahead: Sequence[Compile] = ()  # programs of validation, to compile in a thread from the first update on

    def fit(self, state: TrainState, progress: Progress) -> Progress:
        """The progress after training until done, or until a signal; then the state is saved first.

        Raises OutOfMemory if an update does not fit. Unsaved updates are then lost, because each update overwrites the
        state before it.
        """
        training, key = self.plan.config.training, jax.random.key(self.plan.config.training.seed)
        meter = self.new_meter()
        log_to = open_log(self.run, step=progress.step, steps=training.steps)
        with (
            contextlib.closing(self.batches),
            log_to as log,
            meter.listening(),
            raising_out_of_memory(),
            compiling(self.ahead) as compile_ahead,
            contextlib.ExitStack() as nothing_unsaved,  # until the end of the first update, which may take long
        ):
            if progress.is_validation_due(training):  # interrupted during this validation
                progress = self.validate_and_save(state, progress, log)
            meter.resume()
            nothing_unsaved.enter_context(self.stop.request.ending_at_once())
            while not progress.is_done(training) and not self.stop.number:
                batch = self.next_batch(meter, log)
                state, metrics = self.update(state, batch, key, meter, log)
                nothing_unsaved.close()
                compile_ahead()
                meter.add(metrics, batch)
                progress = progress.after_update()
                self.stop.look()
                log.bar.update()
                if progress.step % training.log_every == 0 or progress.step == training.steps:
                    log.training(meter.record(progress.step), seconds_per_update=meter.seconds_per_update)
                if progress.is_validation_due(training):
                    meter.pause()
                    progress = self.validate_and_save(state, progress, log)
                    meter.resume()
                elif progress.step % training.save_every == 0 or self.stop.number:
                    self.save(state, progress, None)
        say(meter.summary())
        if why := progress.why_ended(training):
            say(why)
        return progress

    def next_batch(self, meter: Meter, log: Log) -> Batch:
        """The next batch. The first one may take long: a block of text is tokenised and packed for it."""
        is_first = not meter.compilations.seen
        with log.naming("preparing the first batch") if is_first else contextlib.nullcontext():
            return meter.next_batch(self.batches)

    def update(
        self, state: TrainState, batch: Batch, key: jax.Array, meter: Meter, log: Log
    ) -> tuple[TrainState, Metrics]:
        """The state and the metrics after an update. Waits for the first update of each shape, which compiles."""
        if not meter.is_new(batch):
            with meter.update(batch):
                return self.plan.strategy.train_step(state, batch, key)
        number, (rows, length) = len(meter.compilations.seen) + 1, batch.target_inputs.shape
        shape = f"shape {number} of {meter.compilations.shapes}, {rows} rows of {length} tokens"
        with log.naming(f"compiling the update for {shape}"):
            with meter.update(batch):
                state, metrics = self.plan.strategy.train_step(state, batch, key)
            jax.block_until_ready(metrics)
        return state, metrics

    def new_meter(self) -> Meter:
        """A meter for the plan's updates."""
        return Meter(
            self.plan.config,
            self.plan.target_vocabulary,
            shapes=len(self.plan.batch_shapes),
            devices=self.plan.strategy.device_count,
            warn=warn,
        )

    def validate_and_save(self, state: TrainState, progress: Progress, log: Log) -> Progress:
        """Validates and saves a checkpoint. After a request to stop it has no scores, and is validated on resuming."""
        scores = None
        with (
            contextlib.suppress(Interrupted),
            rejecting_out_of_memory("validation", "lower decoding.rows or decoding.beam"),
        ):
            scores = self.validation.scores(state)
        if scores is not None:
            training = self.plan.config.training
            progress = progress.after_validation(scores, training)
            log.validation(progress, scores)
            self.update_report()
        self.save(state, progress, scores)
        return progress

    def update_report(self, average: dict[str, float] | None = None) -> None:
        """Writes the run's learning curves for people to look at. In a job, only process 0 does."""
        if jax.process_index() == 0:
            update_report(self.run, self.plan.config, average=average)

    def save(self, state: TrainState, progress: Progress, validation: dict[str, float] | None) -> None:
        """Saves the state, with the matching position in the data."""
        saved, config = self.plan.strategy.saved(state), self.plan.config
        remembered = {name: value for name, value in progress._asdict().items() if name not in ("step", "is_validated")}
        remembered |= {"data": self.batches.get_state(), "metric": config.training.metric}
        remembered |= {"planned_steps": config.training.steps, "knobs": fixed_knobs(config)}
        self.checkpointer.save(
            progress.step,
            saved.parameters,
            saved.optimizer,
            progress=remembered,
            validation=validation,
            validation_set=self.validation.identity,
        )

    def average_best(self) -> None:
        """Averages the best checkpoints (Vaswani et al. 2017, section 6.1) and scores the average on validation."""
        self.checkpointer.wait()
        kept = [self.run.checkpoints / name for name in on_first(self.best_names)]
        if len(kept) < 2:
            return
        parameters = average(kept)
        scores = self.validation.translation_scores(parameters)
        self.checkpointer.save_average(
            parameters,
            steps=[int(path.name) for path in kept],
            validation=scores,
            validation_set=self.validation.identity,
        )
        names = ", ".join(path.name for path in kept)
        say(f"average of steps {names}: validation {show_scores(scores)}")
        self.update_report(scores)

    def best_names(self) -> list[str]:
        """The names of the checkpoints to average."""
        training = self.plan.config.training
        found = best_steps(self.run.checkpoints, training.keep_best, metric=training.metric, warn=warn)
        return [path.name for path in found]

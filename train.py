"""Train a translation model on parallel text: `python train.py RECIPE --run DIRECTORY`.

Reads the text, learns a vocabulary, trains, validates by translating, keeps and averages the best checkpoints, and
scores the result on the test set. The run directory is the model. A run that exists is resumed where it stopped.
"""

from transformer.huge_pages import use_huge_pages

if __name__ == "__main__":
    use_huge_pages()

import contextlib
import sys
import time
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from flax import nnx
from tensorboardX import SummaryWriter
from tqdm import tqdm

from data.batch import Batch, Pair
from data.errors import InputError
from data.metrics import METRICS
from data.pipeline import describe, evaluation_batches, training_batches
from data.sources import Corpus, load_corpora
from data.tokenizer import Tokenizer, learn_tokenizer
from data.vectors import read_vectors
from transformer.checkpoint import Checkpointer, average, latest, restore_optimizer, restore_parameters, steps, verify
from transformer.command_line import ArgumentParser, add_config_options, overrides, run_main
from transformer.config import Config
from transformer.dense import resolve_precision
from transformer.devices import STRATEGIES, use_compilation_cache
from transformer.meter import Meter
from transformer.model import Parameters, Transformer, abstract, split
from transformer.recipe import read_recipe
from transformer.run import Run, check_config, check_hashes, config_hash, file_hash
from transformer.selection import best_steps
from transformer.signals import Interrupted, StopRequest
from transformer.training import TrainState
from translator import Translator

EXAMPLES = 5


def say(text: str) -> None:
    """Prints one line of the report without breaking a progress bar."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def warn(text: str) -> None:
    """Prints one line on standard error."""
    tqdm.write(f"warning: {text}", file=sys.stderr)


# --- text ------------------------------------------------------------------------------------------------


class Text(NamedTuple):
    """The text of a run: what is trained, validated and tested on, and the vocabulary."""

    train: list[Corpus]
    validation: list[Pair]
    test: list[Pair]
    tokenizer: Tokenizer


def read_pairs(config: Config, split: Literal["validation", "test"]) -> list[Pair]:
    """All pairs of a held-out split. InputError when there are none."""
    corpora = load_corpora(config.data, split)
    for corpus in corpora:
        for reason, count in corpus.dropped.items():
            if count:
                warn(f"{split} set {corpus.name}: {count} pairs left out: {reason}")
    pairs = [pair for corpus in corpora for pair in corpus.pairs]
    if not pairs:
        raise InputError(f"the {split} set has no pairs: see data.{split} and data.directory")
    return pairs


def prepare_text(config: Config, run: Run, *, is_new: bool) -> Text:
    """Reads the corpora, those needed last too; learns the vocabulary on the training text, or takes the run's own."""
    train = load_corpora(config.data, "train")
    validation, test = read_pairs(config, "validation"), read_pairs(config, "test")
    validation = validation[: config.training.validation_sentences or len(validation)]
    tokenizer = learn_tokenizer(config.data, train) if is_new else Tokenizer.load(run.path)
    if is_new:
        tokenizer.save(run.path)
        for line in describe(train, tokenizer, config.data).lines():
            say(line)
    return Text(train, validation, test, tokenizer)


# --- model -----------------------------------------------------------------------------------------------


def initial_parameters(config: Config, tokenizer: Tokenizer) -> Parameters:
    """Parameters drawn from the seed, with pre-trained word vectors in the rows that have one."""
    model = Transformer(
        config.model,
        source_vocabulary=tokenizer.source_size,
        target_vocabulary=tokenizer.target_size,
        rngs=nnx.Rngs(config.training.seed),
    )
    source_table = model.target_embedding if config.model.tied == "all" else model.source_embedding
    for path, table, pieces in (
        (config.model.source_vectors, source_table.table, tokenizer.source_vocabulary()),
        (config.model.target_vectors, model.target_embedding.table, tokenizer.target_vocabulary()),
    ):
        if path:
            ids, vectors = read_vectors(path, pieces, width=config.model.width)
            # Embeddings are scaled by sqrt(D) on the way in; the vectors arrive at the layers with unit variance.
            table[...] = table[...].at[ids].set(vectors / (np.std(vectors) * config.model.width**0.5))
            say(f"word vectors: {len(ids)} of {len(pieces)} pieces found in {path}")
    return split(model)[1]


# --- training --------------------------------------------------------------------------------------------


class Trainer:
    """A run in the course of training."""

    def __init__(self, config: Config, run: Run, text: Text, checkpointer: Checkpointer, stop: StopRequest):
        self.config, self.run, self.text, self.checkpointer, self.stop = config, run, text, checkpointer, stop
        self.graph, self.shapes = abstract(config.model, text.tokenizer.source_size, text.tokenizer.target_size)
        self.strategy = STRATEGIES[config.devices.strategy](self.graph, config)
        sizes = {
            "batch_tokens": config.training.batch_tokens,
            "row_multiple": self.strategy.row_devices * config.training.accumulation,
        }
        limit = min(config.data.row_length, config.model.maximum_length)
        held_out, dropped = evaluation_batches(
            text.validation, text.tokenizer, config.data.model_copy(update={"row_length": limit}), **sizes
        )
        for reason, count in dropped.items():
            warn(f"validation loss leaves out {count} of {len(text.validation)} pairs: {reason}")
        if not held_out:
            raise InputError(f"no validation pair fits a row of {limit} tokens: see data.row_length")
        self.held_out = held_out
        seed = config.training.seed
        self.batches = iter(training_batches(text.train, text.tokenizer, config.data, **sizes, seed=seed))
        self.step, self.stale, self.is_validated = 0, 0, True
        self.best: float | None = None  # validation BLEU

    def start(self, hashes: dict[str, str]) -> TrainState:
        """The state of the last good checkpoint, with the data at the same place; or that before the first step."""
        directory = latest(self.run.checkpoints, warn=warn)
        if directory is None and steps(self.run.checkpoints):
            raise InputError(f"{self.run.checkpoints}: no checkpoint verifies: restore one, or start another run")
        if directory is None:
            self.run.cut_metrics(0)
            return self.strategy.init_state(initial_parameters(self.config, self.text.tokenizer))
        manifest = verify(directory)
        check_hashes(manifest, hashes, where=directory)
        template = self.strategy.template(self.shapes)
        parameters = restore_parameters(directory, template.parameters)
        optimizer = restore_optimizer(directory, template.optimizer)
        self.batches.set_state(manifest.progress["data"])
        self.step, self.best, self.stale = manifest.step, manifest.progress["best"], manifest.progress["stale"]
        self.is_validated = manifest.validation is not None
        self.run.cut_metrics(self.step)
        say(f"resuming at step {self.step}")
        return self.strategy.restore(parameters, optimizer, self.step)

    def is_done(self) -> bool:
        """True after the last step, or when validation has stopped improving."""
        patience = self.config.training.patience
        return self.step >= self.config.training.steps or (patience > 0 and self.stale >= patience)

    def fit(self, state: TrainState) -> None:
        """Updates until done, or until a signal asks to stop: then the state is saved first."""
        training, key = self.config.training, jax.random.key(self.config.training.seed)
        writer = SummaryWriter(str(self.run.path / "tensorboard"), purge_step=self.step + 1)
        bar = tqdm(desc="train", total=training.steps, initial=self.step, unit="step", dynamic_ncols=True)
        with bar, writer:
            if not self.is_validated and self.is_validation_due():  # the last session ended in the middle of it
                self.validate_and_save(state, writer, bar)
            meter = Meter()
            while not self.is_done() and not self.stop.requested:
                batch: Batch = next(self.batches)
                state, metrics = self.strategy.train_step(state, batch, key)
                meter.add(metrics)
                self.step += 1
                bar.update()
                if self.step % training.log_every == 0 or self.step == training.steps:
                    self.log(meter.record(self.step), writer, bar)
                if self.is_validation_due():
                    meter.pause()
                    self.validate_and_save(state, writer, bar)
                    meter.go_on()
                elif self.step % training.save_every == 0 or self.stop.requested:
                    self.save(state, None)
        self.batches.close()

    def is_validation_due(self) -> bool:
        """True at the steps after which the model is validated."""
        return self.step > 0 and (self.step % self.config.training.validate_every == 0 or self.is_done())

    def validate_and_save(self, state: TrainState, writer: SummaryWriter, bar: tqdm) -> None:
        """A checkpoint with its validation scores, or, if asked to stop meanwhile, one to validate on resuming."""
        try:
            self.save(state, self.validate(state, writer, bar))
        except Interrupted:
            self.save(state, None)

    def log(self, record: dict[str, Any], writer: SummaryWriter, bar: tqdm) -> None:
        """One line of metrics.jsonl, the same to TensorBoard, and the essence to the progress bar."""
        self.run.append_metrics(record)
        for name, value in record.items():
            if name not in ("step", "time"):
                writer.add_scalar(name, value, record["step"])
        bar.set_postfix_str(
            f"loss {record['loss']:.3f}, {record['target_tokens_per_second']:,.0f} tokens/s, "
            f"padding {record['padding']:.0%}"
        )

    def validate(self, state: TrainState, writer: SummaryWriter, bar: tqdm) -> dict[str, float]:
        """Loss, BLEU and chrF on the validation set, by the search that translate.py uses."""
        scores = {"loss": self.validation_loss(state), **self.validation_scores(self.strategy.saved(state).parameters)}
        self.run.append_metrics({"step": self.step, "time": time.time(), **scores})
        for name, value in scores.items():
            writer.add_scalar(f"validation/{name}", value, self.step)
        self.stale = 0 if self.best is None or scores["bleu"] > self.best else self.stale + 1
        self.best = scores["bleu"] if self.best is None else max(self.best, scores["bleu"])
        marker = "" if self.stale else "  (best)"
        say(
            f"step {self.step}: validation loss {scores['loss']:.3f}, BLEU {scores['bleu']:.2f}, "
            f"chrF {scores['chrf']:.2f}{marker}"
        )
        bar.unpause()
        return scores

    def validation_loss(self, state: TrainState) -> float:
        """Cross-entropy of the validation set in nats for each real target token, EOS counted."""
        sums = [self.strategy.eval_step(state, batch) for batch in self.held_out]
        return float(sum(s.loss for s in sums) / sum(s.tokens for s in sums))

    def validation_scores(self, parameters: Parameters) -> dict[str, float]:
        """BLEU and chrF of the validation set's translations."""
        sources = [pair.source for pair in self.text.validation]
        translator = Translator(self.graph, parameters, self.config, self.text.tokenizer)
        hypotheses = translator.translate(sources, label="validate", is_stopping=lambda: self.stop.requested)
        references, language = [pair.target for pair in self.text.validation], self.config.data.target_language
        return {name: METRICS[name](hypotheses, references, language).score for name in ("bleu", "chrf")}

    def save(self, state: TrainState, validation: dict[str, float] | None) -> None:
        """Hands the state to the checkpointer, with the place in the data that goes with it."""
        saved = self.strategy.saved(state)
        progress = {"data": self.batches.get_state(), "best": self.best, "stale": self.stale}
        self.checkpointer.save(self.step, saved.parameters, saved.optimizer, progress=progress, validation=validation)

    def average_best(self) -> None:
        """Averages the best checkpoints (Vaswani et al. 2017, section 6.1) and scores the average on validation."""
        self.checkpointer.wait()
        kept = best_steps(self.run.checkpoints, self.config.training.keep_best, warn=warn)
        if len(kept) < 2:
            return
        parameters = average(kept)
        scores = self.validation_scores(parameters)
        self.checkpointer.save_average(parameters, steps=[int(path.name) for path in kept], validation=scores)
        names = ", ".join(path.name for path in kept)
        say(f"average of steps {names}: validation BLEU {scores['bleu']:.2f}, chrF {scores['chrf']:.2f}")


# --- the report at the end -------------------------------------------------------------------------------


def report(run: Run, pairs: list[Pair], stop: StopRequest) -> None:
    """Scores the chosen checkpoint on the test set, shows translations, and says how to go on."""
    translator = Translator.load(run.path)
    language, references = translator.config.data.target_language, [pair.target for pair in pairs]
    sources = [pair.source for pair in pairs]
    hypotheses = translator.translate(sources, label="test", is_stopping=lambda: stop.requested)
    say(f"\ntest set, {len(pairs)} pairs, checkpoint {translator.checkpoint} (chosen by validation BLEU):")
    for name, label in (("bleu", "BLEU"), ("chrf", "chrF")):
        score = METRICS[name](hypotheses, references, language)
        say(f"  {label} {score.score:.2f}  {score.signature}")
    for number in np.linspace(0, len(pairs) - 1, min(EXAMPLES, len(pairs))).astype(int):
        say(f"\n  source      {pairs[number].source}")
        say(f"  translation {hypotheses[number]}")
        say(f"  reference   {references[number]}")
    say(f"\ntranslate:  python translate.py {run.path} < input.txt > output.txt")
    say(f"evaluate:   python evaluate.py {run.path}")


def train(config: Config, run: Run) -> int:
    """Trains a run to its end, from the start or from where it stopped. Returns the exit status."""
    use_compilation_cache()
    if jax.process_count() > 1:
        raise InputError(f"found {jax.process_count()} processes: training runs in one process, on all of its devices")
    with run.lock(), contextlib.ExitStack() as stack:
        is_new = not (run.checkpoints.is_dir() and any(run.checkpoints.iterdir()))
        if not is_new:
            check_config(run.load_config(), config, where=run.config_path)
        text = prepare_text(config, run, is_new=is_new)
        run.save_config(config)
        stop = stack.enter_context(StopRequest())
        hashes = {
            "config": config_hash(config),
            "tokenizer": file_hash(run.tokenizer_paths(config)),
            "data": " ".join(corpus.fingerprint for corpus in text.train),
        }
        training = config.training
        with Checkpointer(
            run.checkpoints, keep_last=training.keep_last, keep_best=training.keep_best, hashes=hashes
        ) as checkpointer:
            trainer = Trainer(config, run, text, checkpointer, stop)
            state = trainer.start(hashes)
            size = sum(x.size for x in jax.tree.leaves(trainer.shapes))
            devices = f"{trainer.strategy.device_count} x {jax.devices()[0].device_kind}"
            say(f"model: {size:,} parameters, products in {resolve_precision(config.model.precision)}, on {devices}")
            with contextlib.suppress(Interrupted):
                trainer.fit(state)
                if not stop.requested:
                    trainer.average_best()
                    checkpointer.wait()
                    report(run, text.test, stop)
                    return 0
            checkpointer.wait()
            say(f"stopped at step {trainer.step}; run the same command to go on")
            return stop.exit_status


def main(argv: list[str]) -> int:
    """The command line."""
    parser = ArgumentParser(prog="train.py", description=__doc__)
    parser.add_argument("recipe", nargs="?", help="a recipe such as configs/toy.toml; may be left out to resume a run")
    parser.add_argument("--run", required=True, metavar="DIRECTORY", help="where the run lives; resumed if it exists")
    add_config_options(parser)
    arguments = parser.parse_args(argv)
    run = Run(arguments.run)
    recipe = arguments.recipe or run.config_path
    if arguments.recipe is None and not run.config_path.exists():
        raise InputError(f"{arguments.run} is not a run yet: give a recipe, such as configs/toy.toml, to start it")
    return train(read_recipe(recipe, overrides(arguments)), run)


if __name__ == "__main__":
    run_main(main)

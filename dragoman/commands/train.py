"""Train a translation model on parallel text: `python train.py RECIPE --run DIRECTORY`.

Reads the text, learns a vocabulary, trains, validates by translating, keeps and averages the best checkpoints, and
scores the result on the test set. The run directory is the model. A run that exists is resumed where it stopped.
"""

import contextlib
from functools import partial
from typing import Literal

import jax
import numpy as np

from data.batch import Pair
from data.batching.pipeline import batch_shapes, describe
from data.errors import InputError
from data.sources import Corpus, load_corpora
from data.vocabulary.tokenizer import Tokenizer, learn_tokenizer
from dragoman.commands.options import ArgumentParser, add_config_options, add_process_options, overrides
from dragoman.evaluation.metrics import METRICS
from dragoman.messages import say, warn
from dragoman.runs.checkpoint import Checkpointer
from dragoman.runs.recipe import read_recipe
from dragoman.runs.run import Run, check_config, config_hash, file_hash
from dragoman.signals import Interrupted, SharedStop, StopRequest
from dragoman.training.loop import Text, Trainer, logged_metrics
from dragoman.training.memory import GIB, OutOfMemory, device_kind, in_more_parts, largest_update, smallest_memory
from dragoman.translation.translator import Translator
from transformer.config import Config
from transformer.devices.compilation import use_compilation_cache
from transformer.devices.kernels import can_be_cudnn, choose
from transformer.devices.processes import check_same, connect, on_first
from transformer.model.dense import resolve_precision

EXAMPLES = 5


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


def learn_vocabulary(config: Config, run: Run, train: list[Corpus]) -> None:
    """Learns the vocabulary on the training text, saves it, and describes the text with it."""
    tokenizer = learn_tokenizer(config.data, train)
    tokenizer.save(run.path)
    for line in describe(train, tokenizer, config.data).lines():
        say(line)


def prepare_text(config: Config, run: Run, *, is_new: bool) -> Text:
    """Reads the corpora, those needed last too; learns the vocabulary on the training text, or takes the run's own."""
    train = load_corpora(config.data, "train")
    validation, test = read_pairs(config, "validation"), read_pairs(config, "test")
    validation = validation[: config.training.validation_sentences or len(validation)]
    if is_new:
        on_first(lambda: learn_vocabulary(config, run, train))
    return Text(train, validation, test, Tokenizer.load(run.path))


def found_before(config: Config, run: Run) -> tuple[int | str, str]:
    """The tokens of an update and the attention's kernel of a run that exists, whatever "auto" would find today.

    InputError names another knob that differs.
    """
    stored = run.load_config()
    if config.training.batch_tokens == "auto":
        config = config.with_training({"batch_tokens": stored.training.batch_tokens})
    if config.model.attention_kernel == "auto" and can_be_cudnn(config):
        config = config.with_model({"attention_kernel": stored.model.attention_kernel})
    check_config(stored, config, where=run.config_path)
    return config.training.batch_tokens, config.model.attention_kernel


def find_batch_tokens(config: Config, tokenizer: Tokenizer) -> int:
    """The tokens of the largest update that fits the devices, told in a line."""
    tokens, needed, available = largest_update(
        config,
        source_vocabulary=tokenizer.source_size,
        target_vocabulary=tokenizer.target_size,
        available=smallest_memory(),
    )
    is_cut = 2 * tokens > config.training.batch_tokens_limit
    say(
        f'training.batch_tokens = "auto": {tokens} tokens an update ({needed / GIB:.2f} GiB of the '
        f"{available / GIB:.2f} GiB of {device_kind()})" + (", as training.batch_tokens_limit has it" if is_cut else "")
    )
    return tokens


def find_attention_kernel(config: Config) -> str:
    """The kernel for the run's batches, told in a line where it was chosen."""
    assert isinstance(config.training.batch_tokens, int), "found before"
    choice = choose(config, batch_shapes(config.data, batch_tokens=config.training.batch_tokens))
    if choice is None:
        return config.model.attention_kernel
    say(f'model.attention_kernel = "auto": {choice.kernel} ({choice.reason})')
    return choice.kernel


def report(run: Run, pairs: list[Pair], stop: SharedStop) -> None:
    """Scores the chosen checkpoint on the test set, shows translations, and says how to go on."""
    translator = Translator.load(run.path)
    language, references = translator.config.data.target_language, [pair.target for pair in pairs]
    sources = [pair.source for pair in pairs]
    hypotheses = translator.translate_together(sources, stop, label="test")
    chosen_by = METRICS[translator.config.training.metric].label
    say(f"\ntest set, {len(pairs)} pairs, checkpoint {translator.checkpoint} (chosen by validation {chosen_by}):")
    for name in logged_metrics(translator.config):
        score = METRICS[name].score(hypotheses, references, language)
        say(f"  {METRICS[name].label} {score.score:.2f}  {score.signature}")
    for number in np.linspace(0, len(pairs) - 1, min(EXAMPLES, len(pairs))).astype(int):
        say(f"\n  source      {pairs[number].source}")
        say(f"  translation {hypotheses[number]}")
        say(f"  reference   {references[number]}")
    say(f"\ntranslate:  python translate.py {run.path} < input.txt > output.txt")
    say(f"evaluate:   python evaluate.py {run.path}")


def fit(
    config: Config, run: Run, text: Text, checkpointer: Checkpointer, stop: SharedStop, hashes: dict[str, str]
) -> Trainer:
    """Updates until done or stopped. After one that runs out of memory, each is computed in twice as many parts."""
    while True:
        trainer = Trainer(config, run, text, checkpointer, stop)
        size = sum(x.size for x in jax.tree.leaves(trainer.shapes))
        devices = f"{trainer.strategy.device_count} x {device_kind()}"
        if jax.process_count() > 1:
            devices += f" of {jax.process_count()} processes"
        say(f"model: {size:,} parameters, products in {resolve_precision(config.model.precision)}, on {devices}")
        try:
            trainer.fit(trainer.start(hashes))
            return trainer
        except OutOfMemory:
            config = in_more_parts(config, rows=trainer.longest_rows, processes=jax.process_count())
        say(
            f"out of memory on {device_kind()}: going on from the last checkpoint with training.accumulation "
            f"{config.training.accumulation}, the same update in more parts"
        )
        checkpointer.wait()
        run.save_config(config)


def train(config: Config, run: Run) -> int:
    """Trains a run to its end, from the start or from where it stopped. Returns the exit status."""
    use_compilation_cache()
    check_same([str(run.path), config.model_dump()], "recipe, option or run directory")
    with contextlib.ExitStack() as stack:
        on_first(lambda: stack.enter_context(run.lock()))
        is_new = on_first(lambda: not (run.checkpoints.is_dir() and any(run.checkpoints.iterdir())))
        if not is_new:
            tokens, kernel = on_first(lambda: found_before(config, run))
            config = config.with_training({"batch_tokens": tokens}).with_model({"attention_kernel": kernel})
        text = prepare_text(config, run, is_new=is_new)
        if config.training.batch_tokens == "auto":
            config = config.with_training({"batch_tokens": find_batch_tokens(config, text.tokenizer)})
        config = config.with_model({"attention_kernel": on_first(partial(find_attention_kernel, config))})
        on_first(lambda: run.save_config(config))
        stop = SharedStop(stack.enter_context(StopRequest()))
        hashes = {
            "config": config_hash(config),
            "tokenizer": file_hash(run.tokenizer_paths(config)),
            "data": " ".join(corpus.fingerprint for corpus in text.train),
        }
        training = config.training
        with Checkpointer(
            run.checkpoints,
            keep_last=training.keep_last,
            keep_best=training.keep_best,
            metric=training.metric,
            hashes=hashes,
        ) as checkpointer:
            trainer = fit(config, run, text, checkpointer, stop, hashes)
            with contextlib.suppress(Interrupted):
                if not stop.number:
                    trainer.average_best()
                    on_first(checkpointer.wait)
                    report(run, text.test, stop)
                    return 0
            on_first(checkpointer.wait)
            say(f"stopped at step {trainer.step}; run the same command to go on")
            return stop.exit_status


def main(argv: list[str]) -> int:
    """The command line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("recipe", nargs="?", help="a recipe such as configs/toy.toml; may be left out to resume a run")
    parser.add_argument("--run", required=True, metavar="DIRECTORY", help="where the run lives; resumed if it exists")
    add_process_options(parser)
    add_config_options(parser)
    arguments = parser.parse_args(argv)
    connect(arguments.coordinator, arguments.processes, arguments.process)
    run = Run(arguments.run)
    if arguments.recipe is not None:
        return train(read_recipe(arguments.recipe, overrides(arguments), note=warn), run)
    if not run.config_path.exists():
        raise InputError(f"{arguments.run} is not a run yet: give a recipe, such as configs/toy.toml, to start it")
    return train(run.load_config(overrides(arguments)), run)

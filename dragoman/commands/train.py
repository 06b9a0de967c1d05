"""Train a translation model on parallel text: `dragoman train RECIPE --run DIRECTORY`.

Reads the text, learns a vocabulary, trains, validates by translating, keeps and averages the best checkpoints, and
scores the result on the test set. The run directory is the model. An existing run resumes where it stopped.
"""

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data.batch import Pair
from data.batching.denoising import CorruptedBatches, Denoising
from data.batching.pipeline import training_batches
from data.errors import InputError
from data.languages import check_codes
from data.sources import Corpus, load_corpora
from data.sources.corpus import draw_shares
from dragoman.commands.options import ArgumentParser, add_config_options, add_process_options, overrides
from dragoman.commands.paths import check_directory_name, check_recipe
from dragoman.evaluation.held_out import held_out_pairs
from dragoman.evaluation.metrics import METRICS
from dragoman.files import file_hash
from dragoman.messages import say, warn
from dragoman.runs.checkpoint import Checkpointer
from dragoman.runs.identity import config_hash
from dragoman.runs.recipe import read_recipe
from dragoman.runs.run import Run
from dragoman.signals import Interrupted, SharedStop, StopRequest
from dragoman.training.ahead import is_wanted, programs_of_validation
from dragoman.training.loop import Trainer
from dragoman.training.memory import OutOfMemory, device_kind
from dragoman.training.plan import Plan, keep_resolved, make_plan
from dragoman.training.progress import Progress
from dragoman.training.start import Start, first_state, from_scratch
from dragoman.training.validation import Validation, score_translations, validation_batches
from dragoman.translation.filling import load_filler, restored
from dragoman.translation.translator import Translator
from transformer.config import Config
from transformer.devices.compilation import use_compilation_cache
from transformer.devices.processes import check_same, connect, on_first

EXAMPLES = 5


class TextData(NamedTuple):
    """The text of a run: training corpora, validation pairs and test pairs."""

    train: list[Corpus]
    validation: list[Pair]
    test: list[Pair]


def check_languages(config: Config, *, is_new: bool) -> None:
    """InputError for a code that names no language, which older runs may have: for them it is a warning."""
    try:
        check_codes(config.data)
    except InputError as error:
        if is_new:
            raise
        warn(str(error))


def read_text(config: Config) -> TextData:
    """All the text of a recipe: validation and test sets too, so that a missing file is reported now."""
    train = load_corpora(config.data, "train")
    validation, test = (
        [pair for _, pairs in held_out_pairs(config, split) for pair in pairs] for split in ("validation", "test")
    )
    return TextData(train, validation, test)


def tell_shares(corpora: Sequence[Corpus]) -> None:
    """Prints the share of each of several corpora in what is drawn for training."""
    if len(corpora) > 1:
        for corpus, share in zip(corpora, draw_shares(corpora), strict=True):
            say(f"corpus {corpus.name}: {len(corpus.pairs)} pairs, {share:.1%} of those drawn")


def warn_of_repetition(plan: Plan, corpora: Sequence[Corpus]) -> None:
    """Warns if an update has more rows than there are pairs, so that it draws pairs several times."""
    pairs, rows = sum(len(corpus.pairs) for corpus in corpora), min(rows for rows, *_ in plan.batch_shapes)
    if rows > pairs:
        warn(
            f"training.batch_tokens {plan.batch_tokens} is more than the training text: an update has {rows} rows, and "
            f"there are {pairs} pairs, which it draws several times"
        )


def stored_config(run: Run) -> Config | None:
    """The config of a run that has checkpoints, read by process 0 for all processes; None for a new run."""
    has_checkpoints = on_first(run.has_checkpoints)
    return Config.model_validate(on_first(lambda: run.load_config().model_dump())) if has_checkpoints else None


def hashes_of(run: Run, config: Config, train: Sequence[Corpus]) -> dict[str, str]:
    """The hashes that a checkpoint must carry for training to resume from it."""
    return {
        "config": config_hash(config),
        "tokenizer": file_hash(run.tokenizer_paths(config)),
        "data": " ".join(corpus.fingerprint for corpus in train),
    }


def new_trainer(
    plan: Plan, run: Run, text: TextData, start: Start, checkpointer: Checkpointer, stop: SharedStop
) -> Trainer:
    """A trainer for a plan, at the beginning of its data."""
    held_out = validation_batches(plan, start.tokenizer, text.validation)
    config = plan.config
    stream = training_batches(
        text.train,
        start.tokenizer,
        config.data,
        batch_tokens=plan.batch_tokens,
        seed=config.training.seed,
        share=plan.share,
    )
    batches = iter(stream)
    if config.model.assembly == "denoising_encoder":
        denoising = Denoising.of(config.data, start.tokenizer, seed=config.training.seed)
        batches = CorruptedBatches(batches, denoising)
    statistics = run.load_statistics()
    validation = Validation(plan, start.tokenizer, text.validation, held_out, stop, statistics)
    sources = [pair.source for pair in text.validation]
    ahead = programs_of_validation(plan, start.tokenizer, sources, held_out, statistics) if is_wanted(plan) else []
    return Trainer(plan, run, batches, validation, checkpointer, stop, ahead)


def fit_with_retries(
    plan: Plan, run: Run, text: TextData, start: Start, checkpointer: Checkpointer, stop: SharedStop
) -> tuple[Trainer, Progress]:
    """Trains until done or stopped. If an update runs out of memory, updates are computed in twice as many parts."""
    while True:
        for line in plan.notes:
            say(line)
        with stop.request.ending_at_once():
            trainer = new_trainer(plan, run, text, start, checkpointer, stop)
            state, progress = first_state(trainer, start)
        try:
            return trainer, trainer.fit(state, progress)
        except OutOfMemory:
            plan = plan.in_more_parts()
        say(
            f"out of memory on {device_kind()}: continuing from the last checkpoint with training.accumulation "
            f"{plan.config.training.accumulation}, the same update in more parts"
        )
        checkpointer.wait()
        run.save_config(plan.config)


def report_restored(run: Run, pairs: list[Pair]) -> None:
    """Prints how well the chosen checkpoint of a denoising encoder restores the test set, and the command to use."""
    filler = load_filler(run.path)
    hypotheses, texts = restored(filler, pairs)
    say(f"\ntest set, {len(texts)} texts restored after {filler.config.data.denoise_share:.0%} of them was masked:")
    for name, score in score_translations(filler.config, hypotheses, texts).items():
        say(f"  {METRICS[name].label} {score.score:.2f}  {score.signature}")
    say(f'\nfill:  dragoman fill {run.path} "A text with [MASK]."')


def report(run: Run, pairs: list[Pair], stop: SharedStop) -> None:
    """Prints the chosen checkpoint's test scores, some of its translations, and the commands to use next."""
    translator = Translator.load(run.path)
    config, references = translator.config, [pair.target for pair in pairs]
    hypotheses = translator.translate_together([pair.source for pair in pairs], stop, label="test")
    chosen_by = METRICS[config.training.metric].label
    say(f"\ntest set, {len(pairs)} pairs, checkpoint {translator.checkpoint} (chosen by validation {chosen_by}):")
    for name, score in score_translations(config, hypotheses, references).items():
        say(f"  {METRICS[name].label} {score.score:.2f}  {score.signature}")
    for number in np.linspace(0, len(pairs) - 1, min(EXAMPLES, len(pairs))).astype(int):
        say(f"\n  source      {pairs[number].source}")
        say(f"  translation {hypotheses[number]}")
        say(f"  reference   {references[number]}")
    say(f"\ntranslate:  dragoman translate {run.path} < input.txt > output.txt")
    say(f"evaluate:   dragoman evaluate {run.path}")


def train(config: Config, run: Run) -> int:
    """The exit status after training a run to its end, from the beginning or from where it stopped."""
    use_compilation_cache()
    check_same([str(run.path), config.model_dump()], "recipe, option or run directory")
    with contextlib.ExitStack() as stack:
        on_first(lambda: stack.enter_context(run.lock()))
        stop = SharedStop(stack.enter_context(StopRequest()))
        with stop.request.ending_at_once():
            if (stored := stored_config(run)) is not None:
                config = keep_resolved(config, stored, where=run.config_path, note=say)
            check_languages(config, is_new=stored is None)
            text = read_text(config)
            tell_shares(text.train)
            start = from_scratch(config, run, text.train, is_new=stored is None)
            plan = make_plan(config, start.tokenizer.source_size, start.tokenizer.target_size)
            warn_of_repetition(plan, text.train)
            on_first(lambda: run.save_config(plan.config))
        training = plan.config.training
        with Checkpointer(
            run.checkpoints,
            keep_last=training.keep_last,
            keep_best=training.keep_best,
            metric=training.metric,
            hashes=hashes_of(run, plan.config, text.train),
        ) as checkpointer:
            trainer, progress = fit_with_retries(plan, run, text, start, checkpointer, stop)
            with contextlib.suppress(Interrupted):
                if not stop.number:
                    trainer.average_best()
                    checkpointer.wait()
                    if plan.config.model.assembly == "denoising_encoder":
                        report_restored(run, text.test)
                    else:
                        report(run, text.test, stop)
                    return 0
            checkpointer.wait()
            say(f"stopped at step {progress.step}; run the same command to resume")
            return stop.exit_status


def main(argv: list[str]) -> int:
    """The exit status of the command."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("recipe", nargs="?", help="a recipe such as configs/toy.toml; may be omitted to resume a run")
    parser.add_argument("--run", required=True, metavar="DIRECTORY", help="run directory; an existing run is resumed")
    add_process_options(parser)
    add_config_options(parser)
    arguments = parser.parse_args(argv)
    check_directory_name("--run", arguments.run)
    connect(arguments.coordinator, arguments.processes, arguments.process)
    run = Run(arguments.run)
    if arguments.recipe is not None:
        check_recipe(arguments.recipe, run)
        return train(read_recipe(arguments.recipe, overrides(arguments), note=warn), run)
    if not run.config_path.exists():
        raise InputError(f"{arguments.run} is not a run yet: give a recipe, such as configs/toy.toml, to start it")
    return train(run.load_config(overrides(arguments)), run)

"""Compiles the programs of validation in a thread, so that the devices need not wait for them later.

Training begins the thread after its first update, whose own program the thread would otherwise delay.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import jax

from data.batch import Batch
from data.text.preparation import prepare
from data.text.statistics import SourceStatistics
from data.vocabulary.tokenizer import Tokenizer
from dragoman.messages import warn
from dragoman.training.plan import Plan
from dragoman.translation.line_search import source_parts
from dragoman.translation.loaded import NO_STATISTICS
from dragoman.translation.translator import Translator
from transformer.decoding.batches import bucket_of
from transformer.decoding.ensemble import Ensemble
from transformer.decoding.searcher import compile_search
from transformer.devices.mesh import MeshStrategy

Compile = Callable[[], object]
THREAD = "compile ahead"


def is_wanted(plan: Plan) -> bool:
    """Whether the recipe asks for it; "auto" does on accelerators."""
    choice = plan.config.devices.compile_ahead
    return choice == "on" or (choice == "auto" and jax.default_backend() != "cpu")


def programs_of_validation(
    plan: Plan,
    tokenizer: Tokenizer,
    sources: Sequence[str],
    batches: Sequence[Batch],
    statistics: SourceStatistics = NO_STATISTICS,
) -> list[Compile]:
    """A function for each program that validation needs, which compiles it: those of the loss, then of the search.

    Under pmap those of the loss are left out, because pmap does not find what was compiled ahead.
    """
    strategy, shapes = plan.strategy, plan.abstract_parameters
    programs: list[Compile] = []
    if isinstance(strategy, MeshStrategy):
        programs += [
            partial(strategy.compile_eval, shapes, rows * strategy.row_share[1], length)
            for rows, length in dict.fromkeys(batch.source.shape for batch in batches)
        ]
    if plan.config.model.assembly == "denoising_encoder":  # which does not search
        return programs
    ensemble = Ensemble.of_shapes((plan.graph, shapes), devices=jax.local_devices())
    translator = Translator(ensemble, plan.config, tokenizer, statistics)
    parts = source_parts(translator, [prepare(line, translator.rules) for line in sources])
    lengths = {len(row) for rows in parts for row in rows}
    buckets = sorted({bucket_of(length, translator.plan.maximum_length) for length in lengths})
    return programs + [partial(compile_search, ensemble, translator.plan, bucket) for bucket in buckets]


@contextlib.contextmanager
def compiling(programs: Sequence[Compile]) -> Iterator[Callable[[], None]]:
    """A context whose value begins a thread that compiles programs one after the other; a second call does nothing.

    On leaving the context, programs whose turn has not come are left out. A failure is a warning: whoever needs the
    program compiles it then, and reports its own error.
    """
    stop = threading.Event()

    def work() -> None:
        for compile_ in programs:
            if stop.is_set():
                return
            try:
                compile_()
            except Exception as error:
                warn(f"a program of validation could not be compiled ahead: {' '.join(str(error).split())[:200]}")
                return

    thread = threading.Thread(target=work, name=THREAD)

    def begin() -> None:
        if thread.ident is None:
            thread.start()

    try:
        yield begin
    finally:
        stop.set()
        if thread.ident is not None:
            thread.join()

"""Programs that were compiled ahead are the ones that validation uses, and a failure to compile them costs nothing."""

import contextlib
import threading

import jax
import numpy as np
import pytest

from data.batch import Pair
from data.sources import load_corpora
from data.vocabulary.tokenizer import learn_tokenizer
from dragoman.signals import SharedStop, StopRequest
from dragoman.training.ahead import THREAD, compiling, is_wanted, programs_of_validation
from dragoman.training.compilations import COMPILED, Compilations, listener
from dragoman.training.plan import make_plan
from dragoman.training.start import initial_parameters
from dragoman.training.validation import Validation, validation_batches
from tests.support.tiny_run import CONFIG
from transformer.config import Config, DevicesConfig, TrainingConfig

DECODING = CONFIG.decoding.model_copy(update={"maximum_extra": 13})
"""No other test has this value, so no other test in the same process has compiled this search before."""


def wait() -> None:
    """Waits for the thread that compiles."""
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join()


def recipe(devices: DevicesConfig) -> Config:
    return CONFIG.model_copy(
        update={"decoding": DECODING, "training": TrainingConfig(batch_tokens=256), "devices": devices}
    )


@contextlib.contextmanager
def names_of_compiled():
    """The names of the programs that are compiled in the context, in any thread."""
    names = []

    def listen(event, duration_secs, *, fun_name="", **about):
        names.extend([fun_name] * (event == COMPILED))

    with listener(listen):
        yield names


def test_validation_compiles_none_of_its_programs_again():
    plan = make_plan(recipe(DevicesConfig(data=2)), 310, 310)
    tokenizer = learn_tokenizer(CONFIG.data, load_corpora(CONFIG.data, "train"))
    pairs = [Pair("a b c", "c b a"), Pair(" ".join("abcdefghijklmnopqrst"), "a")]
    batches = validation_batches(plan, tokenizer, pairs)
    programs = programs_of_validation(plan, tokenizer, [pair.source for pair in pairs], batches)
    jax.clear_caches()  # another test may have compiled the same programs
    with names_of_compiled() as ahead, compiling(programs) as begin:
        begin()
        wait()
    assert {"jit(eval_step)", "jit(search_rows)"} <= set(ahead)
    state = plan.strategy.init_state(initial_parameters(plan.config, tokenizer))
    with StopRequest() as stop, names_of_compiled() as later:
        Validation(plan, tokenizer, pairs, batches, SharedStop(stop)).scores(state)
    assert set(ahead).isdisjoint(later)


def test_a_program_that_does_not_compile_is_a_warning_and_the_rest_is_left_to_validation(capsys):
    compiled = []

    def fails():
        raise RuntimeError("no room\nin memory")

    with compiling([lambda: compiled.append(1), fails, lambda: compiled.append(2)]) as begin:
        begin()
        wait()
    assert compiled == [1]
    assert "a program of validation could not be compiled ahead: no room in memory" in capsys.readouterr().err


def test_leaving_the_context_waits_for_the_program_being_compiled_and_begins_no_other():
    begun, go_on, done = threading.Event(), threading.Event(), []

    def slow():
        begun.set()
        go_on.wait(10)
        done.append("slow")

    with compiling([slow, lambda: done.append("next")]) as begin:
        assert not begun.wait(0.1), "training has not begun it"
        begin()
        begin()
        begun.wait(10)
        threading.Timer(0.2, go_on.set).start()
    assert done == ["slow"]


@pytest.mark.parametrize(("choice", "wanted"), [("auto", False), ("off", False), ("on", True)])
def test_cpus_compile_ahead_only_if_told_to(choice, wanted):
    assert is_wanted(make_plan(recipe(DevicesConfig(data=1, compile_ahead=choice)), 310, 310)) is wanted


def test_the_compilations_of_another_thread_do_not_count_as_those_of_updates():
    compilations = Compilations("train_step", 1, warn=pytest.fail)
    with compilations.listening():
        thread = threading.Thread(target=lambda: jax.jit(lambda x: x * 2.5)(np.ones(3)))
        thread.start()
        thread.join()
        assert compilations.count == 0
        jax.jit(lambda x: x * 3.5)(np.ones(3))
        assert compilations.count > 0

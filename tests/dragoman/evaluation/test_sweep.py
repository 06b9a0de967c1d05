"""Settings of the search are compared on the validation set, with few programs, and the best is written back."""

import shutil
from contextlib import contextmanager

import jax
import pytest

from data.errors import InputError
from dragoman.evaluation.held_out import own_test_sets
from dragoman.evaluation.kept import Kept
from dragoman.evaluation.sweep import Setting, Sweep, conclusion, read_grid, sweep, sweep_table, write_back
from dragoman.evaluation.systems import Selection, find_systems
from dragoman.runs.identity import config_hash
from dragoman.runs.run import Run
from dragoman.translation.translator import Translator
from tests.support.paths import ROOT

GOLDEN = ROOT / "tests/golden/run"


@pytest.fixture
def run(tmp_path):
    return Run(shutil.copytree(GOLDEN, tmp_path / "run"))


def swept(run, *texts, split="validation", samples=0):
    [candidate] = find_systems([str(run.path)], Selection(), {}, ensembles={}, groups={})
    [test_set] = own_test_sets(candidate.members[0].config, split)
    part = test_set._replace(sources=test_set.sources[:12], references=[test_set.reference[:12]])
    return sweep(candidate, read_grid(texts), part, Kept(run.path.parent / "kept"), samples=samples, seed=1)


@contextmanager
def searches_compiled():
    """A list of the programs of searches that are compiled in the context."""
    found = []

    def listen(event, seconds, **about):
        if event == "/jax/core/compile/backend_compile_duration" and "search_rows" in str(about.get("fun_name", "")):
            found.append(about)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_every_setting_scores_as_a_translator_with_these_knobs(run):
    found = swept(run, "beam=1,2", "length_penalty=0,2")
    assert [tuple(one.knobs.values()) for one in found.settings] == [(1, 1.0), (1, 0.0), (1, 2.0), (2, 0.0), (2, 2.0)]
    assert found.settings[0].scores == found.settings[1].scores == found.settings[2].scores  # greedy has no penalty
    test_set = own_test_sets(run.load_config(), "validation")[0]
    for one in found.settings:
        outputs = Translator.load(run.path, **one.knobs).translate(test_set.sources[:12])
        ratio = sum(map(len, "".join(outputs).split())) / sum(map(len, "".join(test_set.reference[:12]).split()))
        assert one.length_ratio == pytest.approx(ratio)
    best = max(range(5), key=lambda number: (found.settings[number].scores["bleu"], -number))
    assert (found.best, found.metric, found.is_on_test) == (best, "bleu", False)
    header, *rows = sweep_table(found)
    assert len(rows) == 5
    assert [row[0] for row in rows].count("*") + rows[0][0].count("*") == 1
    assert header[1:3] == ["beam", "length_penalty"]


def test_a_program_is_compiled_once_for_all_length_penalties(run):
    jax.clear_caches()
    with searches_compiled() as one:
        swept(run, "beam=3", "length_penalty=1.0")
    with searches_compiled() as more:
        swept(run, "beam=3", "length_penalty=0,0.5,1.0,1.5", "penalty=gnmt,power")
    assert len(one) > 0
    assert more == []


def test_the_best_knobs_are_written_into_the_config_and_checkpoints_stay_valid(run):
    before = run.load_config()
    settings = [Setting({"beam": beam}, {"bleu": score, "chrf": 1.0}, 1.0, None) for beam, score in ((1, 5), (3, 9))]
    found = Sweep(str(run.path), "600", "validation", 12, "bleu", settings, 1, 0.2, is_on_test=False)
    assert "beam 3: +4.00 over the run's own, which may be chance (p = 0.200" in conclusion(found)
    write_back(found)
    after = run.load_config()
    assert (before.decoding.beam, after.decoding.beam) == (1, 3)
    assert config_hash(before) == config_hash(after)
    assert after.model_copy(update={"decoding": before.decoding}) == before
    assert Translator.load(run.path).config.decoding.beam == 3


def test_a_choice_on_a_test_set_says_so_and_is_not_written_back(run):
    found = swept(run, "beam=1,2", split="test")
    assert "The knobs were chosen on a test set: report no score on it as a result." in conclusion(found)
    with pytest.raises(InputError, match="knobs that a test set has chosen are not for use"):
        write_back(found)


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (["beam"], "--sweep beam: expected KNOB=VALUE,VALUE"),
        (["beam=1,"], "--sweep beam=1,: expected KNOB=VALUE,VALUE"),
        (["beam=1", "decoding.beam=2"], "--sweep beam: given twice"),
        (["beem=1"], "decoding.beem: unknown option; did you mean beam?"),
        (["beam=none"], "decoding.beam must be a whole number, at least 1 and at most 10000, found 'none'"),
    ],
)
def test_what_cannot_be_swept_is_told_in_one_line(run, texts, problem):
    with pytest.raises(InputError) as error:
        swept(run, *texts)
    assert problem in str(error.value)

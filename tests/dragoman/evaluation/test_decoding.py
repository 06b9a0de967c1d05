"""Translations are cached, programs are compiled once for all checkpoints, and nothing is loaded that is not needed."""

import contextlib
import shutil
from pathlib import Path

import jax
import pytest

from dragoman.evaluation.decoding import Model, covered, timed, together
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.held_out import together as joined
from dragoman.evaluation.kept import Kept
from dragoman.evaluation.systems import Selection, find_systems
from dragoman.training.compilations import COMPILED
from dragoman.translation.loaded import Demands
from dragoman.translation.translator import Translator
from tests.support.paths import ROOT

GOLDEN = ROOT / "tests" / "golden"
SOURCES = (GOLDEN / "expected" / "source.txt").read_text(encoding="utf-8").split("\n")[:-1]
REFERENCES = [" ".join(line.split(" ")[::-1]) for line in SOURCES]
TEST_SET = TestSet("reverse", SOURCES, [REFERENCES], "de", "en")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A copy of the golden run, whose checkpoints are 600 and the average of 300 and 600."""
    return Path(shutil.copytree(GOLDEN / "run", tmp_path_factory.mktemp("decoding") / "run"))


@contextlib.contextmanager
def compiled_names():
    names: list[str] = []

    def listen(event, duration_secs, *, fun_name="", **about):
        names.extend([fun_name] * (event == COMPILED))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def models(run, cache, *, checkpoints=("all",), admitted=None, **options) -> list[Model]:
    knobs = {"beam": 2}
    candidates = find_systems([str(run)], Selection(checkpoints), knobs, ensembles={}, groups={})
    admitted = {} if admitted is None else admitted
    return [Model(one, cache, admitted, **options) for one in candidates]


def test_all_checkpoints_of_a_run_share_the_compiled_search(run, tmp_path):
    first, second = models(run, Kept(tmp_path))
    jax.clear_caches()  # the test of another file may have compiled this search already
    with compiled_names() as names:
        ours = first.with_references(first.outputs(TEST_SET))
    assert [name for name in names if "search" in name]
    with compiled_names() as names:
        theirs = second.with_references(second.outputs(TEST_SET))
    assert not [name for name in names if "search" in name or "score" in name]
    assert ours.hypotheses != theirs.hypotheses
    for found, checkpoint in ((ours, 600), (theirs, "average")):
        translator = Translator.load(run, checkpoint=checkpoint, beam=2)
        assert found.hypotheses == translator.translate(SOURCES)
        scored = [ranks[0] for ranks in translator.score(SOURCES, REFERENCES)]
        assert found.references.log_probability == pytest.approx(sum(one.log_probability for one in scored))
        assert found.references.tokens == sum(one.tokens + 1 for one in scored)


def test_what_was_translated_before_is_read_without_loading_the_model(run, tmp_path):
    cache, lost = Kept(tmp_path / "cache"), Path(shutil.copytree(run, tmp_path / "lost"))
    [model] = models(run, cache, checkpoints=("600",))
    before = model.with_details(model.with_references(model.outputs(TEST_SET)))
    assert not before.is_cached
    assert before.seconds > 0
    assert [one.words for one in before.details] == [line.split() for line in before.hypotheses]
    shutil.rmtree(lost / "checkpoints" / "600" / "parameters")
    [model] = models(lost, cache, checkpoints=("600",))
    after = model.with_details(model.with_references(model.outputs(TEST_SET)))
    assert after.is_cached
    assert after == before._replace(is_cached=True, system=after.system)


def test_other_text_another_search_and_other_parameters_are_translated_anew(run, tmp_path):
    cache = Kept(tmp_path)
    one, other = models(run, cache)
    assert not one.outputs(TEST_SET).is_cached
    assert one.outputs(TEST_SET).is_cached
    assert not other.outputs(TEST_SET).is_cached
    assert not one.outputs(TEST_SET._replace(sources=SOURCES[:-1])).is_cached
    [chosen, _] = models(run, cache, demands=Demands(mbr=True))
    found = chosen.outputs(TEST_SET)
    assert (found.is_cached, found.chosen_by) == (False, "chrf")
    [again, _] = models(run, Kept(tmp_path, is_fresh=True))
    assert not again.outputs(TEST_SET).is_cached
    assert one.outputs(TEST_SET).is_cached


def test_parts_joined_are_the_whole(run, tmp_path):
    [model, _] = models(run, Kept(tmp_path))
    sets = [
        TEST_SET._replace(name=f"{a}", sources=SOURCES[a:b], references=[REFERENCES[a:b]]) for a, b in ((0, 9), (9, 24))
    ]
    parts = [model.with_references(model.outputs(one, first=first)) for one, first in zip(sets, (1, 10), strict=True)]
    whole = together(parts, joined(sets, "whole"))
    alone = model.with_references(model.outputs(TEST_SET))
    assert whole.hypotheses == alone.hypotheses
    assert whole.scores == pytest.approx(alone.scores)
    assert whole.references == pytest.approx(alone.references)
    assert whole.seconds == pytest.approx(sum(part.seconds for part in parts))


def test_the_time_of_compiling_is_counted_once_where_events_overlap():
    assert covered([(0.0, 3.0), (1.0, 2.0), (5.0, 6.0), (5.5, 7.0)]) == 5
    assert covered([]) == 0
    with timed() as seconds:
        jax.jit(lambda x: jax.numpy.sin(x) * 3.25)(1.0).block_until_ready()
        assert 0 <= seconds() < 5

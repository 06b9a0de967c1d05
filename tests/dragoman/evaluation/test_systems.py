import subprocess
import sys

import jax
import numpy as np
import pytest

from data.errors import InputError
from dragoman.evaluation.results import System
from dragoman.evaluation.systems import Selection, find_baseline, find_systems
from dragoman.translation.members import find_average, find_member, load_member, restore
from tests.support.paths import ROOT
from tests.support.tiny_run import make_run

STEPS = {10: 1.0, 20: 3.0, 30: 2.0}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[str]:
    """Two runs; the second has checkpoints of other steps."""
    directory = tmp_path_factory.mktemp("systems")
    return [str(make_run(directory / "a", bleu=STEPS)), str(make_run(directory / "b", bleu={40: 1.0}))]


def found(*runs, checkpoints=(), averages=(), ensembles=None, groups=None) -> list[System]:
    selection = Selection(tuple(checkpoints), tuple(averages))
    candidates = find_systems(runs, selection, {}, ensembles=ensembles or {}, groups=groups or {})
    return [one.system for one in candidates]


@pytest.mark.parametrize(
    ("checkpoints", "averages", "expected"),
    [
        ([], [], {"20": [20]}),
        (["last"], [], {"30": [30]}),
        (["all"], [], {"10": [10], "20": [20], "30": [30]}),
        (["10", "best", "20"], [], {"10": [10], "20": [20]}),
        ([], ["best:2"], {"best:2": [20, 30]}),
        (["best"], ["last:3", "10,30"], {"20": [20], "last:3": [10, 20, 30], "10,30": [10, 30]}),
    ],
)
def test_checkpoints_and_averages_are_selected_by_name(runs, checkpoints, averages, expected):
    systems = found(runs[0], checkpoints=checkpoints, averages=averages)
    assert {one.checkpoint: list(one.averaged) or [one.step] for one in systems} == expected
    assert [one.step for one in systems] == [max(steps) for steps in expected.values()]
    names = [runs[0]] if len(expected) == 1 else [f"{runs[0]} {name}" for name in expected]
    assert [one.name for one in systems] == names


def test_an_average_is_the_mean_of_the_parameters_and_is_known_before_they_are_read(runs):
    members = [load_member(runs[0], step) for step in (10, 30)]
    average = find_average(runs[0], [one.directories[0] for one in members], "10,30")
    for mean, *parts in zip(*(jax.tree.leaves(tree) for tree in (
        restore(average), *(one.parameters for one in members)
    )), strict=True):  # fmt: skip
        np.testing.assert_allclose(mean, sum(np.asarray(part, np.float64) for part in parts) / 2, rtol=1e-6)
    assert average.parameters_sha256 not in [one.parameters_sha256 for one in members]
    again = find_average(runs[0], [one.directories[0] for one in members[::-1]], "10,30")
    assert (again.parameters_sha256, again.step, again.averaged) == (average.parameters_sha256, 30, (10, 30))


def test_an_ensemble_and_the_seeds_of_a_system_have_its_name(runs):
    systems = found(ensembles={"both": runs}, groups={"tiny": [f"{runs[0]}/checkpoints/10", runs[1]]})
    assert [(one.name, one.kind, one.seed_of) for one in systems] == [
        ("both", "ensemble", ""),
        (f"{runs[0]}/checkpoints/10", "run", "tiny"),
        (runs[1], "run", "tiny"),
    ]
    single = find_member(runs[0]).parameters
    assert systems[0].parameters == 2 * sum(leaf.size for leaf in jax.tree.leaves(single))


def test_the_model_of_a_run_is_built_once_for_all_its_checkpoints(runs):
    graphs = [one.members[0].graph for one in find_systems([runs[0]], Selection(("all",), ("best:2",)))]
    assert len(graphs) == 4
    assert {id(graph) for graph in graphs} == {id(graphs[0])}


@pytest.mark.slow
def test_what_only_reads_parameters_is_not_imported_before_they_are_read():
    program = "import dragoman.commands.evaluate, sys; sys.exit('orbax.checkpoint' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"averages": ["best:4"]},
            "--average best:4: it keeps 3 steps with a validation score",
        ),
        ({"averages": ["last:1"]}, "--average last:1: expected best:N, last:N, or two steps or more: 1000,2000"),
        ({"averages": ["10,10"]}, "--average 10,10: expected best:N, last:N, or two steps or more: 1000,2000"),
        ({"averages": ["10,40"]}, "--average 10,40: no checkpoint 40: it keeps 10, 20, 30"),
        ({"checkpoints": ["40"]}, "no checkpoint '40': expected best, 10, 20, 30, or a path"),
        ({"ensembles": {"one": ["x"]}}, "--ensemble one=x: expected two runs or more, with commas between them"),
        ({"groups": {"one": ["x"]}}, "--system one=x: expected two runs or more, with commas between them"),
    ],
)
def test_a_selection_that_cannot_be_made_is_told_in_one_line(runs, options, problem):
    with pytest.raises(InputError) as error:
        found(runs[0], **options)
    assert problem in str(error.value)


def test_seeds_are_different_models_of_one_checkpoint_each_and_names_are_unique(runs):
    first, second = runs
    with pytest.raises(InputError, match=r"has 3 selected checkpoints \(10, 20, 30\): seeds are"):
        found(checkpoints=["all"], groups={"tiny": runs})
    with pytest.raises(InputError, match="are the same model: seeds must differ"):
        found(groups={"tiny": [first, f"{first}/checkpoints/20"]})
    with pytest.raises(InputError, match=r"b: named twice: give each system once"):
        found(second, second)
    with pytest.raises(InputError, match=r"10 is a checkpoint, and --checkpoints all is requested too"):
        found(f"{first}/checkpoints/10", checkpoints=["all"])


SYSTEMS = [
    System("runs/a 10", "run", run="runs/a", checkpoint="10"),
    System("runs/a 20", "run", run="runs/a", checkpoint="20"),
    System("runs/b", "run", run="runs/b", checkpoint="40"),
    System("theirs", "text", run="theirs"),
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("runs/a 10", "runs/a 10"),
        ("runs/a/checkpoints/20", "runs/a 20"),
        ("runs/b/", "runs/b"),
        ("theirs", "theirs"),
    ],
)
def test_a_baseline_is_named_by_system_run_or_path(name, expected):
    assert find_baseline(name, SYSTEMS) == expected


def test_a_baseline_that_is_unknown_or_ambiguous_is_told_with_the_names_that_will_do():
    with pytest.raises(InputError, match="--baseline runs/a: could be any of runs/a 10, runs/a 20"):
        find_baseline("runs/a", SYSTEMS)
    with pytest.raises(InputError, match="--baseline ours: no such system: expected one of runs/a 10"):
        find_baseline("ours", SYSTEMS)

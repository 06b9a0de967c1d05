"""The experiments of docs/questions.md compare equal sizes, run from end to end, and give the tables of the page."""

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.questions import depth, feed_forward, heads, identity_path, multi30k, residual, toy, trained_runs
from benchmarks.questions.__main__ import main
from benchmarks.questions.figures import by_category
from benchmarks.questions.measuring import evaluate
from benchmarks.questions.neurons import describe_neurons, explained_share
from benchmarks.questions.results import Measured, tables_of
from benchmarks.questions.sizes import TOLERANCE
from benchmarks.questions.training import Variant, count, train
from data.reporting import ignore
from dragoman.commands.options import run_main
from tests.support.hops import SMALL
from tests.support.paths import ROOT
from tests.support.tiny_run import make_run

PAGE = ROOT / "docs" / "questions.md"


@pytest.mark.parametrize("shapes", [depth.shapes, lambda task: [feed_forward.own(task), *feed_forward.depths(task)]])
@pytest.mark.parametrize("name", ["hops", "facts", "as large as Multi30k's"])
def test_compared_models_have_equally_many_parameters(shapes, name):
    task = toy.facts(1) if name == "facts" else toy.hops(1)
    if name not in ("hops", "facts"):
        task = replace(task, vocabulary=5000).with_model(width=128, feed_forward=256)
    sizes = [count(variant, task.vocabulary) for variant in shapes(task)]
    assert max(sizes) / min(sizes) < 1 + 2 * TOLERANCE
    assert all(abs(size / sizes[0] - 1) <= TOLERANCE for size in sizes)


def test_the_interval_of_a_mean_is_by_students_t():
    measured = Measured([1.0, 2.0, 3.0])
    low, high = measured.interval
    assert high - 2.0 == pytest.approx(4.303 / 3**0.5, abs=1e-3)  # t of 2 degrees of freedom, from a printed table
    assert low + high == pytest.approx(4.0)
    assert str(measured.minus(Measured([0.0, 1.0, 2.0]))) == "1.000 ± 0.000"
    assert Measured([1.0]).interval is None


def test_a_feature_explains_the_variance_that_it_decides_and_none_if_it_says_nothing():
    assert explained_share(np.array([[0.0], [0.0], [4.0], [4.0]]), np.array([1, 1, 2, 2])).tolist() == [1.0]
    noise = np.random.default_rng(0).normal(size=(4000, 3))
    assert np.abs(explained_share(noise, np.arange(4000) % 1000)).max() < 0.1
    assert explained_share(np.ones((4, 1)), np.array([1, 1, 2, 2])).tolist() == [0.0]


def test_a_figure_stands_alone_and_names_its_lines():
    svg = by_category("A <title>", ["one", "two"], {"a & b": [Measured([0.1, 0.2]), Measured([0.3, 0.3])]})
    assert svg.startswith("<svg xmlns=")
    assert "prefers-color-scheme: dark" in svg
    assert "A &lt;title&gt;" in svg
    assert "a &amp; b" in svg
    assert not re.search(r"(href|src)=|url\(|<script", svg)


@pytest.mark.slow
@pytest.mark.parametrize("question", [depth, residual, identity_path, feed_forward, heads])
def test_each_question_runs_and_its_tables_can_be_read_back(question, task, tmp_path, monkeypatch):
    monkeypatch.setattr(depth, "DEPTHS", (1, 2))
    monkeypatch.setattr(residual, "DEPTHS", (1, 2))
    monkeypatch.setattr(identity_path, "LAYERS", 2)
    monkeypatch.setattr(feed_forward, "TIMES", (1, 4))
    monkeypatch.setattr(feed_forward, "HIDDEN", (2,))
    monkeypatch.setattr(heads, "HEADS", (1, 2))
    asked = toy.facts(2).with_model(**SMALL) if question is feed_forward else task
    findings = question.ask(asked, (1, 2), note=ignore)
    findings.save(tmp_path, "found")
    numbers = json.loads((tmp_path / "found.json").read_text())
    text = (tmp_path / "found.md").read_text()
    for table in tables_of(numbers):
        assert table.markdown() in text
        assert len({len(row) for row in [table.columns, *table.rows]}) == 1
        assert all(np.isfinite(cell.values).all() for row in table.rows for cell in row if isinstance(cell, Measured))
    assert all((tmp_path / f"found-{name}.svg").read_text().startswith("<svg") for name in findings.figures)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["depths"], "invalid choice: 'depths'"),
        (["depth", "--runs", "runs/a"], "--runs is for heads, not for depth"),
        (["depth", "--task", "multi30k"], "--task multi30k needs --directory"),
        (["depth", "--seeds", "0"], "--seeds is 0: expected at least 1"),
        (["heads", "--runs", "gone"], "gone: no such run directory"),
    ],
)
def test_bad_arguments_are_rejected_in_one_line(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["questions", *arguments])
    with pytest.raises(SystemExit) as end:
        run_main(main)
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert message in error
    assert error.count("\n") == 1


def test_the_tables_of_the_page_are_those_of_the_saved_results():
    page, results = PAGE.read_text(encoding="utf-8"), sorted((ROOT / "docs" / "questions").glob("*.json"))
    assert results
    for path in results:
        for table in tables_of(json.loads(path.read_text(encoding="utf-8"))):
            assert table.markdown() in page, f"{path.name}: {table.title}"


RECIPE = """[data]
train = [["train.en", "train.de"]]
validation = [["val.en", "val.de"]]
vocabulary_size = 290
maximum_tokens = 32
row_length = 32
[model]
decoder_layers = 1
width = 16
heads = 2
feed_forward = 16
maximum_length = 32
"""


@pytest.mark.slow
def test_a_question_can_be_asked_of_text(tmp_path, monkeypatch):
    """The files and the recipe stand in for Multi30k's."""
    for split, lines in (("train", 300), ("val", 8)):
        for language, words in (("en", ("one", "two", "red")), ("de", ("ein", "zwei", "rot"))):
            text = "".join(" ".join(words[n * k % 3] for k in range(1, 4 + n % 4)) + "\n" for n in range(lines))
            (tmp_path / f"{split}.{language}").write_text(text)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    monkeypatch.setattr(multi30k, "RECIPE", tmp_path / "recipe.toml")
    monkeypatch.setattr(multi30k, "BATCH_TOKENS", 64)
    asked = multi30k.captions(str(tmp_path), updates=3)
    [one] = train(asked, Variant("own", asked.model), [1])
    scores = evaluate(asked, one.graph, one.parameters)
    assert 0 < scores.loss < 2 * np.log(asked.vocabulary)
    [layer] = describe_neurons(asked, one.graph, one.parameters)
    assert set(layer.explained) == {"token read", "token before it", "token to predict", "position"}


@pytest.mark.slow
def test_trained_runs_are_pruned_on_their_validation_set_and_other_models_are_rejected(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run")
    findings = trained_runs.ask([run, run], directory="", sentences=20, note=ignore)
    heads_, layers = findings.tables
    assert [row[0] for row in heads_.rows][:3] == [
        "encoder 1, self-attention",
        "decoder 1, self-attention",
        "decoder 1, cross-attention",
    ]
    assert [row[0] for row in layers.rows] == ["encoder 1", "decoder 1", "decoder 2"]
    assert all(
        cell.interval[0] == cell.interval[1] for row in layers.rows for cell in row if isinstance(cell, Measured)
    )

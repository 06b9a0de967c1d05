"""The experiments of docs/questions.md: models without a part lack exactly that part, and each question runs."""

import json
import re
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.questions import depth, feed_forward, heads, identity_path, multi30k, residual, toy, trained_runs
from benchmarks.questions.__main__ import main
from benchmarks.questions.figures import by_category
from benchmarks.questions.measuring import compiled_scores, evaluate, scores_without_future
from benchmarks.questions.neurons import describe_neurons, explained_share
from benchmarks.questions.parts import without_feed_forward, without_mask, without_residual
from benchmarks.questions.pruning import Head, heads_of, without_head, without_sublayers
from benchmarks.questions.results import Measured, tables_of
from benchmarks.questions.sizes import TOLERANCE
from benchmarks.questions.training import Variant, count, initial, train
from data.batch import EOS
from dragoman.commands.options import run_main
from tests.support.paths import ROOT
from tests.support.tiny_run import make_run
from transformer.model import merge
from transformer.model.tap import tap

SMALL = {"decoder_layers": 2, "width": 16, "heads": 2, "feed_forward": 16}
PAGE = ROOT / "docs" / "questions.md"


@pytest.fixture(scope="module")
def task():
    """Hops, with a model that compiles quickly, and two updates."""
    return toy.hops(2).with_model(**SMALL)


@pytest.fixture
def batch(task):
    return jax.tree.map(lambda x: x[:8], task.held_out[0].batch)


def model_of(task, change=None, **sizes):
    """The graph and parameters of the task's model, perhaps changed."""
    variant = Variant("", task.model.model_copy(update=sizes))
    return initial(variant if change is None else variant._replace(change=change), task.vocabulary, seed=1)


def features(graph, parameters, batch):
    return np.asarray(merge(graph, parameters).features(batch))


# --- tasks -------------------------------------------------------------------------------------------------


def test_hops_follow_the_table_from_each_place():
    assert [list(places) for places in toy.follow(np.array([2, 0, 0, 3]), 2)] == [
        [0, 1, 2, 3],
        [2, 0, 0, 3],
        [0, 2, 2, 3],
    ]
    pair, hops = toy.hops_line(np.random.default_rng(1))
    first = toy.SPECIAL + toy.HOPS
    table, found = np.array(pair.source[1:-1]) - first, np.array(pair.target) - first
    assert pair.source[0] == toy.SPECIAL + hops - 1
    assert pair.source[-1] == EOS
    for place, letter in enumerate(found):
        for _ in range(hops):
            place = table[place]
        assert letter == place


def test_a_fact_follows_from_the_letter_before_it_and_the_source_letter_at_its_place():
    table = np.arange(9).reshape(3, 3)[:, ::-1] % 3
    pair = toy.facts_line(np.random.default_rng(1), table)
    before = 0
    for source, target in zip(pair.source[:-1], pair.target, strict=True):
        before = table[before, source - toy.SPECIAL]
        assert target == toy.SPECIAL + before


def test_a_seed_has_the_same_batches_whatever_the_model_and_another_seed_has_others(task):
    again, other = task.with_model(width=32), task
    assert np.array_equal(task.train(1)[0].source, again.train(1)[0].source)
    assert not np.array_equal(task.train(1)[0].source, other.train(2)[0].source)


def test_no_table_of_the_held_out_lines_is_trained_on():
    task = toy.hops(400)
    held_out = {tuple(table) for table in np.asarray(task.held_out[0].batch.source)[:, 1:].tolist()}
    trained = np.concatenate([batch.source for batch in task.train(1)])[:, 1:].tolist()
    assert len(trained) == 400 * toy.ROWS
    assert not held_out & {tuple(table) for table in trained}


def test_held_out_tokens_are_grouped_by_the_number_of_hops(task):
    [one] = task.held_out
    source, groups = np.asarray(one.batch.source), one.groups
    assert np.array_equal(source[:, 0] - toy.SPECIAL, groups[:, 0])
    assert (groups[:, -1] == -1).all()  # EOS is always right


def test_the_keys_of_a_hop_hold_the_letter_that_the_hop_finds(task):
    [one] = task.held_out
    kinds = task.kinds(one)
    labels, source = np.asarray(one.batch.target_labels), np.asarray(one.batch.source)
    for row in range(16):
        hops = int(one.groups[row, 0]) + 1
        for place in range(toy.LETTERS):
            [key] = np.flatnonzero(kinds[f"hop {hops}"][row, place])
            assert source[row, key - 1] == labels[row, place]  # causal reading shifts the source by BOS
        [key] = np.flatnonzero(kinds["number of hops"][row, 0])
        assert source[row, key - 1] == source[row, 0]


# --- models without a part ---------------------------------------------------------------------------------


@pytest.mark.parametrize("position", ["pre", "post"])
def test_without_its_residual_connection_an_attention_that_adds_nothing_leaves_nothing_of_its_input(
    task, batch, position
):
    other = batch._replace(target_inputs=batch.target_inputs[:, ::-1], source=batch.source[:, ::-1])
    for change, is_kept in ((None, True), (without_residual("self_attention"), False)):
        graph, parameters = model_of(task, change, norm_position=position)
        silent = without_sublayers(parameters, "decoder", 1, "self_attention")
        same = np.allclose(features(graph, silent, batch), features(graph, silent, other), atol=1e-6)
        assert same is not is_kept


def test_a_residual_connection_is_taken_out_only_where_asked(task):
    graph, parameters = model_of(task, without_residual("feed_forward"))
    for layer in merge(graph, parameters).decoder:
        assert type(layer.self_attention_residual).__name__ == "Residual"
        assert type(layer.feed_forward_residual).__name__ == "NoResidual"


def test_only_a_model_without_the_mask_sees_the_future(task, batch):
    later = batch._replace(target_inputs=batch.target_inputs.at[:, 4:].set(toy.SPECIAL))
    for change, sees in ((None, False), (without_mask, True)):
        graph, parameters = model_of(task, change)
        now, then = features(graph, parameters, batch)[:, :4], features(graph, parameters, later)[:, :4]
        assert np.allclose(now, then, atol=1e-5) is not sees


def test_hiding_the_future_changes_nothing_under_the_mask_and_blinds_a_model_without_it(task, batch):
    later = batch._replace(target_inputs=batch.target_inputs.at[:, 4:].set(toy.SPECIAL))
    for change, sees in ((None, False), (without_mask, True)):
        graph, parameters = model_of(task, change)
        whole, _ = compiled_scores(graph, parameters, batch)
        hidden, _ = scores_without_future(graph, parameters, batch)
        assert np.allclose(whole, hidden, atol=1e-4) is not sees
        assert np.allclose(scores_without_future(graph, parameters, later)[0][:, :4], hidden[:, :4], atol=1e-5)


def test_a_linear_map_in_the_place_of_the_feed_forward_network_is_linear(task):
    graph, parameters = model_of(task, feed_forward.with_feed_forward(0, 0))
    network = merge(graph, parameters).decoder[0].feed_forward
    x, y = jax.random.normal(jax.random.key(0), (2, 1, 3, 16))
    assert jnp.allclose(network(x + y), network(x) + network(y), atol=1e-5)


def test_changed_models_begin_with_the_same_weights_in_the_parts_they_keep(task):
    _, usual = model_of(task)
    for change in (without_feed_forward, without_mask, without_residual("self_attention")):
        _, changed = model_of(task, change)
        attention = changed["decoder"]["1"]["self_attention"]
        jax.tree.map(np.testing.assert_array_equal, attention, usual["decoder"]["1"]["self_attention"])


# --- taking parts out of a trained model -------------------------------------------------------------------


def test_pruning_a_head_takes_exactly_its_own_share_from_what_the_attention_adds(task, batch):
    graph, parameters = model_of(task)

    def added(parameters):
        with tap() as shown:
            merge(graph, parameters).features(batch)
        return np.asarray(shown["decoder/0/self_attention/added"])

    whole, nothing = added(parameters), added(without_sublayers(parameters, "decoder", 0, "self_attention"))
    shares = [whole - added(without_head(parameters, Head("decoder", 0, "self_attention", n), 2)) for n in range(2)]
    assert not nothing.any()
    assert all(np.abs(share).max() > 0.01 for share in shares)
    assert np.allclose(sum(shares), whole, atol=1e-5)  # a new output bias is 0


def test_pruning_a_head_changes_its_rows_of_one_matrix_and_nothing_else(task):
    _, parameters = model_of(task)
    pruned = without_head(parameters, Head("decoder", 1, "self_attention", 1), 2)
    kernel, before = (one["decoder"]["1"]["self_attention"]["output"].pop("kernel") for one in (pruned, parameters))
    assert not kernel[8:].any()
    np.testing.assert_array_equal(kernel[:8], before[:8])
    jax.tree.map(np.testing.assert_array_equal, pruned, parameters)


def test_every_head_is_pruned_once(task):
    _, parameters = model_of(task)
    assert [(head.layer, head.head) for head in heads_of(parameters, 2)] == [(0, 0), (0, 1), (1, 0), (1, 1)]


# --- equal sizes, and what is measured ---------------------------------------------------------------------


@pytest.mark.parametrize("shapes", [depth.shapes, lambda task: [feed_forward.own(task), *feed_forward.depths(task)]])
@pytest.mark.parametrize("name", ["hops", "facts", "as large as Multi30k's"])
def test_compared_models_have_equally_many_parameters(shapes, name):
    task = toy.facts(1) if name == "facts" else toy.hops(1)
    if name not in ("hops", "facts"):
        task = replace(task, vocabulary=5000).with_model(width=128, feed_forward=256)
    sizes = [count(variant, task.vocabulary) for variant in shapes(task)]
    assert max(sizes) / min(sizes) < 1 + 2 * TOLERANCE
    assert all(abs(size / sizes[0] - 1) <= TOLERANCE for size in sizes)


def test_an_interval_is_students():
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


# --- from end to end ---------------------------------------------------------------------------------------


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
    findings = question.ask(asked, (1, 2), note=lambda line: None)
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
    findings = trained_runs.ask([run, run], directory="", sentences=20, note=lambda line: None)
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

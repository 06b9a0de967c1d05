"""Models without a part lack exactly that part."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.questions import feed_forward, toy
from benchmarks.questions.measuring import compiled_scores, scores_without_future
from benchmarks.questions.parts import without_feed_forward, without_mask, without_residual
from benchmarks.questions.pruning import without_sublayers
from tests.support.hops import features, model_of
from transformer.model import merge


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

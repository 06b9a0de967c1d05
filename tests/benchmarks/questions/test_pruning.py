"""Pruning takes out of a trained model what it says, and nothing else."""

import jax
import numpy as np

from benchmarks.questions.pruning import Head, heads_of, without_head, without_sublayers
from tests.support.hops import model_of
from transformer.model import merge
from transformer.model.tap import tap


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

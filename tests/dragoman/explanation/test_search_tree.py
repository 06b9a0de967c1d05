"""The tree holds what the search compared."""

from collections import Counter

import numpy as np
import pytest

from data.batch import EOS
from dragoman.explanation.search_tree import ROOT, search_tree
from transformer.decoding.scoring import forced_pair, score_pairs


def test_each_step_keeps_as_many_hypotheses_as_the_beam_and_prunes_the_rest(found):
    nodes = found.tree.nodes
    for step in range(1, found.tree.steps + 1):
        fates = Counter(node.fate for node in nodes if node.step == step)
        assert fates["live"] == 4
        assert sum(fates.values()) <= 8
    for node in nodes:
        assert (node.parent == ROOT) == (node.step == 1)
        if node.parent != ROOT:
            assert nodes[node.parent].step == node.step - 1
            assert nodes[node.parent].fate == "live"
            assert node.log_probability <= nodes[node.parent].log_probability
        if node.fate == "finished":
            assert node.token == EOS


def test_the_scores_of_finished_hypotheses_are_those_of_forced_decoding(translator, found):
    tree = found.tree
    finished = [index for index, node in enumerate(tree.nodes) if node.fate == "finished"]
    pairs = [forced_pair(found.reading.source, tree.tokens(index)[:-1]) for index in finished]
    for places, batch in score_pairs(translator.graph, translator.parameters, pairs, rows=8, maximum_length=64):
        for place, scores in zip(places, batch, strict=True):
            assert tree.nodes[finished[place]].log_probability == pytest.approx(float(np.sum(scores)), rel=1e-3)
    assert max(finished, key=lambda index: tree.nodes[index].score) == tree.best


def test_a_beam_of_one_is_greedy_search(translator, found):
    greedy = translator.with_(decoding={"beam": 1})
    tree = search_tree(greedy, found.reading.request)
    assert translator.tokenizer.decode([tree.tokens(tree.best)]) == greedy.translate(["e e a b c"])

"""The toy tasks ask what they say, and held-out lines are labelled by what they need."""

import numpy as np

from benchmarks.questions import toy
from data.batch import EOS


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

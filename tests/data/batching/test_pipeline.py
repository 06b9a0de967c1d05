"""Training and evaluation batches have the announced shapes, and hold each pair once."""

from collections import Counter

import numpy as np
import pytest

from data.batching.packing import Share, batch_shapes
from data.batching.pipeline import evaluation_batches
from data.errors import InputError
from tests.support.toy_batches import config_of, digest, expected_pairs, pairs_of, setup, stream, take


def test_batches_have_the_announced_shapes_and_order_follows_the_seed():
    corpora, tokenizer, config = setup(config_of())
    dataset = stream(corpora, tokenizer, config)
    shapes = {(rows, length) for rows, length, _ in batch_shapes(config, batch_tokens=192)}
    batches = take(dataset, 20)
    assert {batch.source.shape for batch in batches} <= shapes
    assert {batch.target_inputs.shape for batch in batches} <= shapes
    assert list(map(digest, batches)) == list(map(digest, take(dataset, 20)))
    other = take(stream(corpora, tokenizer, config, seed=2), 20)
    assert list(map(digest, batches)) != list(map(digest, other))


@pytest.mark.parametrize("batching", ["bucketed", "packed"])
def test_shares_are_the_rows_of_the_batch_and_continue_from_its_saved_position(batching):
    corpora, tokenizer, config = setup(config_of(batching=batching))
    whole = take(stream(corpora, tokenizer, config), 12)
    parts = [take(stream(corpora, tokenizer, config, share=Share(n, 2, 10)), 12) for n in range(2)]
    for batch, first, second in zip(whole, *parts, strict=True):
        for rows, *halves in zip(batch, first, second, strict=True):
            joined = np.concatenate(halves)
            assert len(joined) % 10 == 0
            np.testing.assert_array_equal(joined[: len(rows)], rows)
            assert not joined[len(rows) :].any()
    iterator = iter(stream(corpora, tokenizer, config, share=Share(1, 2, 10)))
    next(iterator)
    (resumed,) = take(stream(corpora, tokenizer, config), 1, iterator.get_state())
    iterator.close()
    assert digest(resumed) == digest(whole[1])


def test_a_training_set_with_nothing_to_draw_is_refused():
    corpora, tokenizer, config = setup(config_of(maximum_tokens=2))
    long = [corpora[0]._replace(pairs=[pair for pair in corpora[0].pairs if len(pair.source) > 1])]
    with pytest.raises(InputError, match="no training pair passes the filters"):
        take(stream(long, tokenizer, config), 1)
    with pytest.raises(InputError, match="no training data: toy reverse train: no pairs, or only duplicates"):
        stream([corpora[0]._replace(pairs=[])], tokenizer, config)


@pytest.mark.parametrize("knobs", [{"batching": "bucketed"}, {"batching": "packed", "subword_sampling": 0.5}])
def test_evaluation_holds_every_pair_once_in_the_training_shapes(knobs):
    corpora, tokenizer, config = setup(config_of(**knobs))
    batches, dropped = evaluation_batches(corpora[0].pairs, tokenizer, config, batch_tokens=192)
    assert Counter(pair for batch in batches for pair in pairs_of(batch)) == expected_pairs(corpora, tokenizer)
    assert not dropped
    shapes = {(rows, length) for rows, length, _ in batch_shapes(config, batch_tokens=192)}
    assert {batch.source.shape for batch in batches} <= shapes
    parts = [
        evaluation_batches(corpora[0].pairs, tokenizer, config, batch_tokens=192, share=Share(n, 2, 10)).batches
        for n in range(2)
    ]
    shared = Counter(pair for part in parts for batch in part for pair in pairs_of(batch))
    assert shared == expected_pairs(corpora, tokenizer)
    assert len(parts[0]) == len(parts[1]) == len(batches)
    short = config.model_copy(update={"row_length": 8, "maximum_tokens": 8})
    held = evaluation_batches(corpora[0].pairs, tokenizer, short, batch_tokens=192)
    assert held.dropped["too long"] + sum(len(pairs_of(batch)) for batch in held.batches) == 150

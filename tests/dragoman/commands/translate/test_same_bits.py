"""A translation has the same bits in any batch, and the same score as under forced decoding."""

import jax
import numpy as np
import pytest

from data.errors import InputError
from data.sources import load_corpora
from data.vocabulary.tokenizer import Tokenizer
from dragoman.runs.loading import with_decoding
from dragoman.signals import Interrupted
from dragoman.translation.translator import Translator
from tests.support.forced_decoder import forced_log_probability
from tests.support.tiny_run import CONFIG, tiny_parameters
from transformer.decoding import SearchPlan, slots
from transformer.decoding.batches import bucket_of, in_order, make_batches
from transformer.decoding.ensemble import Ensemble
from transformer.decoding.request import make_request
from transformer.decoding.searcher import search_program, search_sentences


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_batch_size_and_order_change_no_bit_of_text_or_score(run, lines, beam, precision):
    config = with_decoding(CONFIG, {"beam": beam})
    config = config.model_copy(update={"model": config.model.model_copy(update={"precision": precision})})
    tokenizer = Tokenizer.load(run)
    translator = Translator.of(*tiny_parameters(config, tokenizer, seed=20), config, tokenizer, n_best=beam)
    expected = translator.search(lines)
    assert len({found[0].text for found in expected}) > 10
    for batch_size, seed in [(1, 1), (2, 2), (7, 3), (32, 4)]:
        order = np.random.default_rng(seed).permutation(len(lines))
        found = translator.search([lines[place] for place in order], batch_size=batch_size)
        assert found == [expected[place] for place in order]


@pytest.mark.exhaustive
@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_300_lines_in_any_batch_and_order_have_the_same_bits(run, beam, precision):
    lines = [pair.source for pair in load_corpora(CONFIG.data, "train")[0].pairs][:300]
    config = with_decoding(CONFIG, {"beam": beam})
    config = config.model_copy(update={"model": config.model.model_copy(update={"precision": precision})})
    tokenizer = Tokenizer.load(run)
    translator = Translator.of(*tiny_parameters(config, tokenizer, seed=20), config, tokenizer, n_best=beam)
    expected = translator.search(lines)
    orders = [np.arange(300), np.arange(300)[::-1], *(np.random.default_rng(n).permutation(300) for n in (1, 2))]
    for batch_size in (1, 2, 7, 32, 64, 300):
        for order in orders if batch_size > 2 else orders[2:3]:
            found = translator.search([lines[place] for place in order], batch_size=batch_size)
            assert found == [expected[place] for place in order]


def test_rows_that_are_exchanged_at_once_have_the_same_bits(translator, lines, monkeypatch):
    """As on a GPU."""
    expected = translator.search(lines)
    assert len(lines) > translator.plan.slots
    search_program().clear_cache()
    monkeypatch.setattr(slots, "exchange_one_by_one", slots.exchange_at_once)
    assert translator.search(lines) == expected
    search_program().clear_cache()


def test_batches_on_several_devices_have_the_bits_of_one(translator, lines):
    requests = [make_request(translator.plan, source) for source in translator.tokenizer.encode_source(lines)]

    def search(devices):
        ensemble = Ensemble.of((translator.graph, translator.parameters), devices=devices)
        return in_order(search_sentences(ensemble, requests, translator.plan, batch_size=8), len(requests))

    assert search(jax.devices()[1:3]) == search(())


def test_a_line_alone_is_translated_as_among_others(translator, lines):
    together = translator.search(lines)
    assert [translator.search([line])[0] for line in lines[::7]] == together[::7]


@pytest.mark.parametrize("beam", [1, 4])
def test_the_score_of_a_search_is_the_score_of_the_forced_decoder(run, lines, beam):
    config = with_decoding(CONFIG, {"beam": beam, "length_penalty": 0.7})
    tokenizer = Tokenizer.load(run)
    graph, parameters = tiny_parameters(config, tokenizer, seed=20)
    sources = tokenizer.encode_source(lines)
    checked = 0
    plan = SearchPlan(config.decoding, maximum_length=48, keep=beam)
    requests = [make_request(plan, source) for source in sources]
    for indices, rows in search_sentences(Ensemble.of((graph, parameters)), requests, plan):
        for index, hypotheses in list(zip(indices, rows, strict=True))[:12]:
            for hypothesis in hypotheses:
                forced = forced_log_probability(graph, parameters, sources[index], hypothesis)
                length = len(hypothesis.tokens) + hypothesis.is_finished
                assert hypothesis.log_probability == pytest.approx(forced, rel=1e-5, abs=1e-5)
                assert hypothesis.score == pytest.approx(forced / ((5 + length) / 6) ** 0.7, rel=1e-5, abs=1e-5)
                checked += 1
    assert checked > 10


def test_batches_hold_sentences_of_one_bucket_and_like_length():
    batches = make_batches([20, 3, 30, 5], maximum_length=256, batch_size=2)
    assert [tuple(batch) for batch in batches] == [([1, 3], 16), ([0, 2], 32)]
    assert [bucket_of(length, 48) for length in (1, 16, 17, 33, 48)] == [16, 16, 32, 48, 48]


def test_accelerators_have_fewer_buckets(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert [bucket_of(length, 100) for length in (1, 64, 65)] == [64, 64, 100]


def test_a_beam_with_damaged_parameters_is_refused(run):
    tokenizer = Tokenizer.load(run)
    graph, parameters = tiny_parameters(CONFIG, tokenizer, seed=1)
    parameters = jax.tree.map(lambda x: x * np.nan, parameters)
    for beam in (1, 4):
        translator = Translator.of(graph, parameters, with_decoding(CONFIG, {"beam": beam}), tokenizer)
        with pytest.raises(InputError, match="the model gives no finite score: its parameters are damaged"):
            translator.translate(["abc"])


def test_translation_stops_when_asked(translator, lines):
    with pytest.raises(Interrupted):
        translator.search(lines, is_stopping=lambda: True)

"""Text without a source: it begins as told, has the probability that training gives it, and depends on its seed."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.batch import EOS, TokenPair
from data.batching.layout import make_batch
from data.errors import InputError
from dragoman.translation.translator import Translator
from tests.support.tiny_run import CONFIG, make_run, tiny_parameters
from transformer.model import merge

CAUSAL = {"assembly": "decoder_only", "source_attention": "causal"}


@pytest.fixture(scope="module")
def translator(tmp_path_factory) -> Iterator[Translator]:
    config = CONFIG.with_model(CAUSAL).with_training({"objective": "both_sides"})
    decoding = {"sampling": True, "beam": 6}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "local_devices", lambda: jax.devices()[:2])
        run = make_run(tmp_path_factory.mktemp("generation") / "run", config, ends=1.5, bytes_=0.0)
        yield Translator.load(run, n_best=6, decoding=decoding)


def source_log_probability(translator: Translator, pieces: list[str]) -> float:
    """The log-probability of a source text, as the objective both_sides counts it."""
    vocabulary = translator.tokenizer.target_vocabulary()
    labels = [vocabulary.index(piece) for piece in pieces]
    model = merge(translator.graph, translator.parameters)
    batch = make_batch([[TokenPair([*labels, EOS], [])]], source_length=16, target_length=2, rows_count=1)
    features = model.features_of_both(jax.tree.map(jnp.asarray, batch))[:, :16]
    log_probabilities = np.asarray(jax.nn.log_softmax(model.output().logits(features)))[0]
    return float(log_probabilities[np.arange(len(labels)), labels].sum())


@pytest.mark.parametrize("is_sampled", [True, False])
def test_a_text_has_the_probability_of_a_source_in_training(translator, is_sampled):
    texts = translator.with_(decoding={"sampling": is_sampled}).generate("a b", length=14)
    assert len(texts) == 6
    for one in texts:
        assert one.log_probability == pytest.approx(source_log_probability(translator, one.pieces), rel=1e-4)


def test_samples_begin_as_told_and_are_those_of_their_seed(translator):
    first, again = (translator.generate("a b c", length=14) for _ in range(2))
    assert first == again
    assert len(first) == 6
    assert all(one.text.startswith("a b c") for one in first)
    assert len({one.text for one in first}) > 1
    assert translator.with_(decoding={"seed": 2}).generate("a b c", length=14) != first


def test_a_text_ends_or_has_the_length_asked_for_or_else_that_of_the_longest_in_training(translator):
    assert translator.limit == 32
    for length, limit in ((14, 14), (0, 32)):
        found = translator.generate("a b c", length=length)
        assert all(one.is_finished == (one.pieces[-1] == "</s>") for one in found)
        assert all(len(one.pieces) == limit if not one.is_finished else len(one.pieces) <= limit for one in found)


def test_an_encoder_decoder_is_refused(tmp_path):
    config = CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update={"toy_pairs": 40})})
    translator = Translator.load(run := make_run(tmp_path / "run", config))
    with pytest.raises(InputError, match='"encoder_decoder", which writes nothing without a source: only a') as refused:
        translator.generate("a")
    assert str(run) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "length", "message"),
    [
        ("a b c d e f", 6, r"the text has \d+ tokens, and --length allows 6 with its end: shorten it, or raise"),
        ("a", 49, r"--length is 49: expected 2 to 48 tokens \(model.maximum_length\)"),
        ("a", 1, "--length is 1: expected 2 to 48"),
    ],
)
def test_what_does_not_fit_is_rejected(translator, text, length, message):
    with pytest.raises(InputError, match=message):
        translator.generate(text, length=length)


def test_a_character_that_the_vocabulary_lacks_is_named():
    from data.sources import load_corpora
    from data.vocabulary.tokenizer import learn_tokenizer

    data = CONFIG.data.model_copy(update={"byte_fallback": False, "vocabulary_size": 57})
    config = CONFIG.model_copy(update={"data": data}).with_model(CAUSAL)
    tokenizer = learn_tokenizer(data, load_corpora(data, "train"))
    translator = Translator.of(*tiny_parameters(config, tokenizer, seed=1), config, tokenizer)
    with pytest.raises(InputError, match="the text has 'ö', which is not in the vocabulary: leave this character out"):
        translator.generate("a ö")

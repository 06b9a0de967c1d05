import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.batch import Pair
from data.config import DataConfig
from data.errors import InputError
from data.random_numbers import keys_of
from data.sources.corpus import Corpus
from data.tokens.ragged import Ragged
from data.vocabulary.symbols import check_symbols
from data.vocabulary.tokenizer import learn_tokenizer

SYMBOLS = ["<ph1>", "{{a,b}}", "｟x｠", 'q"u', "2de"]
CORPORA = [Corpus("tiny", [Pair("a dog sees <ph1> here", "ein Hund sieht <ph1> hier")] * 4, None, {}, "")]


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def tokenizer(request):
    config = DataConfig(vocabulary_size=280, subword_model=request.param, symbols=SYMBOLS)
    return learn_tokenizer(config, CORPORA)


@given(parts=st.lists(st.one_of(st.sampled_from([*SYMBOLS, " ", "\u2581"]), st.text(st.characters(codec="utf-8")))))
def test_a_symbol_is_one_piece_and_every_text_comes_back(tokenizer, parts):
    text = "".join(parts)
    (ids,) = tokenizer.encode_target([text])
    assert tokenizer.decode([ids]) == [text]
    pieces = tokenizer.target_pieces(ids)
    for symbol in SYMBOLS[:3]:  # the others may also arise where a symbol and a text meet
        assert pieces.count(symbol) == text.count(symbol)


def test_subword_sampling_never_cuts_a_symbol(tokenizer):
    texts = ["sees <ph1> and {{a,b}}here"] * 50
    rows = tokenizer.resample("target", Ragged.of(tokenizer.encode_target(texts)), 0.5, keys_of(np.arange(50))).lists()
    assert len({tuple(row) for row in rows}) > 1
    for row in rows:
        assert [piece for piece in tokenizer.target_pieces(row) if piece in SYMBOLS] == ["<ph1>", "{{a,b}}"]
    assert tokenizer.decode(rows) == texts


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        (["</s>"], "'</s>' is a piece of every vocabulary already"),
        (["<0x41>"], "'<0x41>' is a piece of every vocabulary already"),
        (["<ph 1>"], "'<ph 1>' must be a text without white space"),
        ([""], "'' must be a text without"),
        (["\u2581a"], "must be a text without white space, U\\+2581"),
        (["a", "b", "a"], "'a' is listed twice"),
    ],
)
def test_a_symbol_that_cannot_be_a_piece_is_refused(symbols, message):
    with pytest.raises(InputError, match=f"data.symbols: .*{message}"):
        check_symbols(symbols)

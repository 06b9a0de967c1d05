import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.batch import BOS, EOS, PAD, Pair
from data.config import DataConfig
from data.errors import InputError
from data.random_numbers import keys_of
from data.sources.corpus import Corpus
from data.tokens.ragged import Ragged
from data.vocabulary.pieces import escape, unescape
from data.vocabulary.tokenizer import FEW_LINES, Tokenizer, learn_tokenizer
from tests.support.paths import ROOT

ENGLISH = ["A man in an orange hat is standing.", "Two young men are outside near many bushes.", "The dog runs."]
GERMAN = ["Ein Mann mit einem orangen Hut steht da.", "Zwei junge Männer sind im Freien.", "Der Hund läuft."]
CORPORA = [Corpus("tiny", [Pair(*pair) for pair in zip(ENGLISH, GERMAN, strict=True)] * 4, None, {}, "")]
ODD = [
    "\u2581",
    "\ufdd0",
    "\ufdd00",
    "\ufdd01",
    "\0",
    " ",
    "  ",
    "\t",
    "\r",
    "\u2028",
    "\x85",
    "<s>",
    "</s>",
    "<unk>",
    "<0x41>",
]


def learn(**knobs):
    return learn_tokenizer(DataConfig(**{"vocabulary_size": 310, **knobs}), CORPORA)


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def tokenizer(request):
    return learn(subword_model=request.param)


@pytest.fixture(scope="module")
def separate():
    return learn(vocabulary="separate", vocabulary_size=300)


@given(text=st.lists(st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=["Cs"])))).map("".join))
def test_any_text_comes_back_to_the_character(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode_target([text])) == [text]
    assert tokenizer.decode([row[:-1] for row in tokenizer.encode_source([text])]) == [text]
    ids = Ragged.of(tokenizer.encode_target([text]))
    assert tokenizer.decode(tokenizer.resample("target", ids, 0.2, keys_of(7)).lists()) == [text]


@given(text=st.lists(st.one_of(st.sampled_from(ODD), st.text(max_size=3))).map("".join))
def test_escaping_is_undone(text):
    assert unescape(escape(text)) == text
    assert "\u2581" not in escape(text)
    assert escape("a\u2581") == "a\ufdd01"


@pytest.mark.parametrize("normalization", ["nfkc", "nmt_nfkc"])
def test_normalised_text_comes_back_and_stays_as_it_is(normalization):
    tokenizer = learn(normalization=normalization)
    (once,) = tokenizer.decode(tokenizer.encode_target(["  The ﬁrst  dog\u3000runs. "]))
    assert once == "The first dog runs."
    assert tokenizer.decode(tokenizer.encode_target([once])) == [once]


def test_any_ids_can_be_decoded(tokenizer):
    rows = [[id_] for id_ in range(tokenizer.target_size)]
    assert len(tokenizer.decode(rows)) == len(rows)
    assert tokenizer.decode([[]]) == [""]
    assert tokenizer.decode([]) == []


def test_special_ids_decode_to_nothing(tokenizer):
    (ids,) = tokenizer.encode_target(["The dog"])
    assert tokenizer.decode([[BOS, *ids[:1], PAD, *ids[1:], EOS, PAD]]) == ["The dog"]
    assert not {PAD, BOS, EOS} & set(ids)


def test_a_line_has_the_same_ids_and_text_alone_and_among_many(tokenizer):
    """Few lines are converted one by one, many by SentencePiece's own threads."""
    lines = ["", *(f"a b {number}" for number in range(FEW_LINES))]
    together = tokenizer.encode_target(lines)
    assert together == [ids for line in lines for ids in tokenizer.encode_target([line])]
    assert tokenizer.decode(together) == [text for ids in together for text in tokenizer.decode([ids])] == lines


def test_sources_end_and_targets_do_not(tokenizer):
    (source,), (target,) = tokenizer.encode_source(["The dog"]), tokenizer.encode_target(["The dog"])
    assert source == [*target, EOS]
    assert tokenizer.source_pieces("The dog") == [*tokenizer.target_pieces(target), "</s>"]
    assert "".join(tokenizer.target_pieces(target)) == "▁The▁dog"


def test_the_pieces_of_a_line_depend_on_its_key_alone(tokenizer):
    lines = tokenizer.encode_plain("source", ENGLISH * 10)
    keys = keys_of(np.arange(len(lines)))
    drawn = tokenizer.resample("source", Ragged.of(lines), 0.3, keys).lists()
    backwards = tokenizer.resample("source", Ragged.of(lines[::-1]), 0.3, keys[::-1]).lists()
    assert drawn == backwards[::-1]
    assert len({tuple(row) for row in drawn[::3]}) > 1


def test_learning_twice_gives_the_same_bytes():
    assert learn(subword_model="unigram").sha256 == learn(subword_model="unigram").sha256
    assert learn().sha256 != learn(subword_model="unigram").sha256


def test_a_saved_tokenizer_is_the_same(tokenizer, separate, tmp_path):
    for kind, original in {"joint": tokenizer, "separate": separate}.items():
        (tmp_path / kind).mkdir()
        original.save(tmp_path / kind)
        loaded = Tokenizer.load(tmp_path / kind)
        assert (loaded.sha256, loaded.is_joint) == (original.sha256, kind == "joint")
        assert loaded.encode_source(ENGLISH) == original.encode_source(ENGLISH)
        assert loaded.decode(original.encode_target(GERMAN)) == GERMAN


def test_separate_vocabularies_each_know_their_side(separate):
    (target,) = separate.encode_target(["The dog"])
    assert separate.source_pieces("The dog")[:-1] != separate.target_pieces(target)
    assert (separate.source_size, separate.target_size) == (300, 300)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        (
            {"vocabulary_size": 8000},
            r"vocabulary_size is 8000, and the training text gives at most (\d+) pieces: set \1 or less",
        ),
        (
            {"vocabulary_size": 100},
            r"vocabulary_size is 100, and the characters and bytes alone need (\d+): set \1 or more",
        ),
        ({"vocabulary_size": 9, "byte_fallback": False}, r"9, and the characters alone need (\d+)"),
    ],
)
@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_an_impossible_vocabulary_size_is_rejected_with_the_possible_sizes(model, knobs, message):
    with pytest.raises(InputError, match=message) as raised:
        learn(subword_model=model, **knobs)
    possible = int(str(raised.value).split("set ")[1].split(" or ")[0])
    assert learn(**knobs | {"subword_model": model, "vocabulary_size": possible}).source_size == possible


def test_a_text_without_lines_does_not_crash():
    with pytest.raises(InputError, match=r"no line of the training text can be used to learn a vocabulary$"):
        learn_tokenizer(DataConfig(), [Corpus("empty", [], None, {}, "")])
    with pytest.raises(InputError, match=r"a vocabulary; vocabulary: 2 lines left out, with the character U\+2585$"):
        learn_tokenizer(DataConfig(), [Corpus("odd", [Pair("a \u2585", "\u2585")], None, {}, "")])


@pytest.mark.parametrize("content", [b"no model", b"", b"\n"])
def test_a_missing_or_foreign_or_empty_model_is_rejected(separate, tmp_path, content):
    with pytest.raises(InputError, match=r"tokenizer\.model: no tokenizer: No such file"):
        Tokenizer.load(tmp_path)
    separate.save(tmp_path)
    (tmp_path / "tokenizer.target.model").write_bytes(content)
    with pytest.raises(InputError, match=r"tokenizer\.target\.model: not a SentencePiece model: restore the file"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(InputError, match=r"tokenizer\.model: not a SentencePiece model: restore the file"):
        Tokenizer.load(tmp_path)


def test_sentencepiece_prints_nothing():
    program = (
        "from data.config import DataConfig\nfrom data.vocabulary.tokenizer import learn_tokenizer\n"
        "from data.batch import Pair\n"
        "from data.sources.corpus import Corpus\npairs = [Pair('a b\\0c', 'd\\u2581e')] * 9\n"
        "corpora = [Corpus('', pairs, None, {}, '')]\n"
        "learn_tokenizer(DataConfig(vocabulary_size=270), corpora).encode_source(['zz'])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=ROOT)
    assert run.stdout + run.stderr == b""

import io

import pytest
import sentencepiece

from data.batch import Pair
from data.config import DataConfig
from data.errors import InputError
from data.sources.corpus import Corpus
from data.vocabulary.given import given_tokenizer
from data.vocabulary.tokenizer import learn_tokenizer

LINES = ["a man in an orange hat is standing", "two young men are outside", "ein Mann steht da"] * 3


def train(path, vocab_size=40, **options):
    """A model as others train it, with SentencePiece's own options."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES),
        model_writer=model,
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        minloglevel=10,
        **options,
    )
    path.write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def test_our_own_model_is_taken_as_it_is(tmp_path):
    config = DataConfig(vocabulary_size=290)
    learned = learn_tokenizer(config, [Corpus("", [Pair(line, line) for line in LINES], None, {}, "")])
    learned.save(tmp_path)
    notes = []
    given = given_tokenizer(DataConfig(tokenizer=str(tmp_path / "tokenizer.model")), note=notes.append)
    assert given.sha256 == learned.sha256
    assert notes == []
    assert given_tokenizer(config) is None


@pytest.mark.parametrize(
    "options",
    [
        {},  # unk 0, bos 1, eos 2, no padding
        {"model_type": "bpe", "byte_fallback": True, "vocab_size": 300},
        {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1},  # as T5 has them
        {"bos_id": -1, "eos_id": -1},
        {"user_defined_symbols": ["<ph>", "<pad>"]},
    ],
)
def test_a_model_with_other_special_ids_is_renumbered_and_splits_as_before(tmp_path, options):
    path, notes = tmp_path / "spm.model", []
    original = train(path, **options)
    given = given_tokenizer(DataConfig(tokenizer=str(path)), note=notes.append)
    padding = "<dragoman:pad>" if options.get("user_defined_symbols") else "<pad>"
    assert given.target_vocabulary()[:4] == [padding, "<unk>", "<s>", "</s>"]
    for line in [*LINES[:3], "zebra", "", "a <ph> and <pad>"]:
        (ids,) = given.encode_target([line])
        assert given.target_pieces(ids) == [original.id_to_piece(id_) for id_ in original.encode(line)]
        assert given.decode([ids]) == [original.decode(original.encode(line))]
    (note,) = notes
    assert "its pieces are renumbered" in note


def test_separate_vocabularies_are_two_files(tmp_path):
    source, target = tmp_path / "source.model", tmp_path / "target.model"
    train(source), train(target, model_type="char")
    both = given_tokenizer(DataConfig(vocabulary="separate", tokenizer=[str(source), str(target)]))
    assert not both.is_joint
    assert both.source_vocabulary() != both.target_vocabulary()


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"tokenizer": "none.model"}, "data.tokenizer: none.model: cannot be read: No such file"),
        ({"tokenizer": ["a", "b"]}, 'found 2 of 1 files that data.vocabulary = "joint" needs'),
        ({"tokenizer": "a", "vocabulary": "separate"}, 'found 1 of 2 files that data.vocabulary = "separate" needs'),
        ({"tokenizer": "TEXT"}, "text: not a SentencePiece model"),
        ({"tokenizer": "MODEL", "symbols": ["<ph>"]}, "data.symbols: '<ph>' is not a piece of .*spm.model"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(tmp_path, knobs, message):
    train(tmp_path / "spm.model")
    (tmp_path / "text").write_text("not a model\n")
    places = {"TEXT": str(tmp_path / "text"), "MODEL": str(tmp_path / "spm.model")}
    named = knobs["tokenizer"]
    knobs = {**knobs, "tokenizer": places.get(named, named) if isinstance(named, str) else named}
    with pytest.raises(InputError, match=message):
        given_tokenizer(DataConfig(**knobs))

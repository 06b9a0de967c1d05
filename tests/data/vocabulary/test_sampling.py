import functools
import io
import json
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import sentencepiece

from data.batch import Pair
from data.config import DataConfig
from data.errors import InputError
from data.random_numbers import keys_of
from data.sources.corpus import Corpus
from data.tokens.ragged import Ragged
from data.vocabulary.model_file import KIND, TRAINER, ModelProto, model_of
from data.vocabulary.sampling import SubwordSampler
from data.vocabulary.tokenizer import Tokenizer, learn_tokenizer
from tests.support.paths import ROOT
from tests.support.plain_sampling import PlainSampler

ENGLISH = ["the dog sees the other dogs", "a small cat sleeps", "unhappiness is not happiness", "she was seeing cats"]
GERMAN = ["der Hund sieht die anderen Hunde", "eine kleine Katze schläft", "Unglück ist kein Glück", "sie sah Katzen"]
PAIRS = [Pair(*pair) for pair in zip(ENGLISH * 3, GERMAN * 3, strict=True)]
TEXTS = [
    *ENGLISH,
    *GERMAN,
    "",
    "dogs <ph> dogs<ph>dogs",
    "中文 und dog中文dog 😀",
    "thedogseestheotherdogs" * 20,
    "é x",
]
KINDS = ["bpe", "unigram"]
PROGRAM = """
import json
from tests.data.vocabulary.test_sampling import drawn
print(json.dumps([drawn("bpe"), drawn("unigram")]))
"""


@functools.cache
def learned(kind):
    config = DataConfig(vocabulary_size=310, subword_model=kind, symbols=["<ph>"])
    return learn_tokenizer(config, [Corpus("tiny", PAIRS, None, {}, "")])


def hand_made(kind, scores):
    """A model of these pieces, then a byte, then the unknown piece."""
    model = ModelProto()
    model.trainer_spec.model_type = kind
    for piece, score in scores.items():
        model.pieces.add(piece=piece, score=score)
    model.pieces.add(piece="<0x41>", type=KIND.BYTE)
    model.pieces.add(piece="<unk>", type=KIND.UNKNOWN)
    return model


def draw(sampler, rows, keys):
    return sampler.draw(Ragged.of(rows), np.array(keys, np.uint64)).lists()


def drawn(kind):
    tokenizer = learned(kind)
    rows = Ragged.of(tokenizer.encode_target(TEXTS))
    return tokenizer.resample("target", rows, 0.3, keys_of(5, np.arange(len(TEXTS)))).lists()


def shares(rows):
    return {row: count / len(rows) for row, count in Counter(map(tuple, rows)).items()}


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_drawn_pieces_are_those_of_plain_sampling(kind, rate):
    tokenizer = learned(kind)
    model = model_of(tokenizer._target)
    plain = PlainSampler(model, rate)
    rows = tokenizer.encode_target(TEXTS) * 12
    keys = keys_of(1, np.arange(len(rows)))
    assert draw(SubwordSampler(model, rate), rows, keys) == [
        plain.draw(row, key) for row, key in zip(rows, keys.tolist(), strict=True)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_pieces_spell_the_same_text_whatever_lines_are_drawn_with_it(kind):
    tokenizer = learned(kind)
    rows = drawn(kind)
    assert tokenizer.decode(rows) == TEXTS
    assert rows != tokenizer.encode_target(TEXTS)
    keys = keys_of(5, np.arange(len(TEXTS)))
    for place, (text, row) in enumerate(zip(TEXTS, rows, strict=True)):
        alone = Ragged.of(tokenizer.encode_target([text]))
        assert tokenizer.resample("target", alone, 0.3, keys[place : place + 1]).lists() == [row]
    empty = Ragged.of([], np.uint16)
    assert tokenizer.resample("target", empty, 0.3, keys[:0]).lists() == []


def test_bpe_skips_each_merge_at_its_rate_and_tries_it_again_after_the_next():
    model = hand_made(TRAINER.BPE, {"ab": 0.0, "cd": -1.0, "abcd": -2.0, "a": -3.0, "b": -4.0, "c": -5.0, "d": -6.0})
    found = shares(draw(SubwordSampler(model, 0.3), [[2]] * 20000, keys_of(1, np.arange(20000))))
    both = 0.7 * 0.7 + 0.3 * 0.7 * 0.7  # "ab" first, or "cd" first
    expected = {(2,): 0.7 * both, (0, 1): 0.3 * both, (0, 5, 6): 0.21, (3, 4, 1): 0.21 * 0.3, (3, 4, 5, 6): 0.09}
    assert found == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("rate", [0.2, 0.99])
def test_unigram_samples_have_their_smoothed_probability(rate):
    model = hand_made(TRAINER.UNIGRAM, dict(zip(["ab", "a", "b", "ba"], np.log([0.3, 0.2, 0.4, 0.1]), strict=True)))
    found = shares(draw(SubwordSampler(model, rate), [[0, 1]] * 20000, keys_of(1, np.arange(20000))))  # of "aba"
    weights = {(0, 1): 0.3 * 0.2, (1, 3): 0.2 * 0.1, (1, 2, 1): 0.2 * 0.4 * 0.2}
    total = sum(weight**rate for weight in weights.values())
    assert found == pytest.approx({row: weight**rate / total for row, weight in weights.items()}, abs=0.02)


def by_sentencepiece(processor, word, rate, count):
    return processor.encode([word] * count, enable_sampling=True, alpha=rate, nbest_size=-1)


def by_algorithm_1(processor, word, rate, count):
    """BPE-dropout as the paper writes it down (Provilkov et al. 2020): all merges of a step are drawn."""
    generator = random.Random(7)
    scores = {processor.id_to_piece(id_): processor.get_score(id_) for id_ in range(processor.get_piece_size())}

    def segment(text):
        split = list(text)
        while True:
            merges = [place for place, pair in enumerate(pairwise(split)) if "".join(pair) in scores]
            merges = [place for place in merges if generator.random() >= rate]
            if not merges:
                return split
            best = max(merges, key=lambda place: scores[split[place] + split[place + 1]])
            split[best : best + 2] = [split[best] + split[best + 1]]

    words = ["▁" + part for part in word.split(" ")]
    return [[processor.piece_to_id(piece) for one in words for piece in segment(one)] for _ in range(count)]


@pytest.mark.parametrize(("kind", "draws"), [("bpe", by_algorithm_1), ("unigram", by_sentencepiece)])
def test_the_distribution_is_that_of_the_algorithm(kind, draws):
    """SentencePiece seeds itself, so its shares differ from run to run: the limit is six standard errors."""
    count = 20000
    processor = learned(kind)._target
    for word, rate in (("happiness", 0.1), ("unhappiness", 0.3), ("Katzen", 0.6), ("dogs and cats", 0.2)):
        ids = processor.encode(word)
        theirs = shares(draws(processor, word, rate, count))
        sampler = SubwordSampler(model_of(processor), rate)
        ours = shares(draw(sampler, [ids] * count, keys_of(3, np.arange(count))))
        for cut in theirs.keys() | ours.keys():
            first, second = theirs.get(cut, 0.0), ours.get(cut, 0.0)
            both = (first + second) / 2
            assert abs(first - second) < 6 * np.sqrt(2 * both * (1 - both) / count) + 6 / count, (word, cut)


def test_draws_are_the_same_in_every_process():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, text=True, cwd=ROOT)
    assert json.loads(run.stdout) == [drawn("bpe"), drawn("unigram")]


def test_a_piece_of_characters_that_are_no_pieces_stays_whole():
    model = hand_made(TRAINER.BPE, {"xy": 0.0, "ab": -1.0, "a": -2.0, "b": -3.0})
    rows = draw(SubwordSampler(model, 0.5), [[0, 4, 1, 5]] * 64, keys_of(1, np.arange(64)))
    assert set(map(tuple, rows)) == {(0, 4, 1, 5), (0, 4, 2, 3, 5)}


@pytest.mark.parametrize("kind", ["word", "char"])
def test_models_without_a_distribution_are_refused(kind):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(ENGLISH * 5), model_writer=model, model_type=kind, vocab_size=20, pad_id=3, minloglevel=9
    )
    with pytest.raises(InputError, match=f"data.subword_sampling: .* of type {kind}, .* set it to 0, or take"):
        Tokenizer([model.getvalue()]).check_sampling()

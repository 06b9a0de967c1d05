import functools
import json
import math
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest

from data.vocabulary.sampling import SubwordSampler
from tests.support.paths import ROOT


class Model:
    """A hand-made SentencePiece model: pieces with scores, then the byte 0x41, then the unknown piece."""

    def __init__(self, scores):
        self.scores = scores
        self.pieces = [*scores, "<0x41>", "<unk>"]

    def get_piece_size(self):
        return len(self.pieces)

    def id_to_piece(self, id_):
        return self.pieces[id_]

    def get_score(self, id_):
        return self.scores[self.pieces[id_]]

    def is_byte(self, id_):
        return self.pieces[id_] == "<0x41>"

    def is_control(self, id_):
        return False

    def unk_id(self):
        return len(self.pieces) - 1


MERGES = Model({"ab": 0.0, "abc": -1.0, "▁": -2.0, "a": -3.0, "b": -4.0, "c": -5.0})
UNIGRAMS = Model({"ab": math.log(0.3), "a": math.log(0.2), "b": math.log(0.4), "▁": math.log(0.1)})
PROGRAM = """
import json
from tests.data.vocabulary.test_sampling import MERGES, SubwordSampler
print(json.dumps([SubwordSampler(MERGES, 0.5).draw([1, 2, 1, 0, 2, 1, 6, 7, 1], seed) for seed in range(40)]))
"""


def test_without_dropout_the_best_merges_are_made_first():
    sampler = SubwordSampler(MERGES, 0.0)
    assert sampler.drop_merges("abcab", random.Random(1)) == ["abc", "ab"]


def plain_drop_merges(sampler, text, generator):
    """BPE-dropout as it was first written here: stored runs have its draws."""
    symbols = list(text)
    while True:
        merges = [
            (-sampler.scores[left + right], index)
            for index, (left, right) in enumerate(pairwise(symbols))
            if left + right in sampler.scores and generator.random() >= sampler.rate
        ]
        if not merges:
            return symbols
        _, index = min(merges)
        symbols[index : index + 2] = [symbols[index] + symbols[index + 1]]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_the_segmentations_of_a_seed_are_those_of_plain_dropout(rate):
    chooser = random.Random(1)
    sampler = SubwordSampler(MERGES, rate)
    plain = SubwordSampler(MERGES, rate)
    plain._cut = plain._cut_word = functools.partial(plain_drop_merges, plain)
    # Pieces 6 and 7 are a byte and the unknown piece, which divide a word.
    for ids in [[chooser.choice([0, 1, 2, 3, 4, 5, 0, 1, 6, 7]) for _ in range(n % 30)] for n in range(200)]:
        for seed in range(3):
            assert sampler.draw(ids, seed) == plain.draw(ids, seed)


def test_dropout_leaves_out_each_merge_at_its_rate():
    sampler = SubwordSampler(MERGES, 0.3)
    drawn = Counter(tuple(sampler.drop_merges("abc", random.Random(seed))) for seed in range(4000))
    # "ab" may merge with probability 0.7, and then "abc" with 0.7
    assert drawn[("a", "b", "c")] / 4000 == pytest.approx(0.3, abs=0.03)
    assert drawn[("ab", "c")] / 4000 == pytest.approx(0.7 * 0.3, abs=0.03)
    assert drawn[("abc",)] / 4000 == pytest.approx(0.7 * 0.7, abs=0.03)


@pytest.mark.parametrize("rate", [0.2, 1.0])
def test_unigram_cuts_are_drawn_by_their_smoothed_probability(rate):
    sampler = SubwordSampler(UNIGRAMS, rate)
    drawn = Counter(tuple(sampler.draw_path("ab", random.Random(seed))) for seed in range(4000))
    whole, parts = 0.3**rate, (0.2 * 0.4) ** rate
    assert drawn[("ab",)] / 4000 == pytest.approx(whole / (whole + parts), abs=0.03)


@pytest.mark.parametrize("model", [MERGES, UNIGRAMS])
def test_drawn_pieces_spell_the_same_text_and_keep_bytes(model):
    ids = [model.pieces.index(piece) for piece in ["▁", "ab", "<0x41>", "a", "<unk>", "b", "▁", "ab", "ab"]]
    for rate, seed in [(0.0, 1), (0.5, 2), (0.99, 3)]:
        drawn = SubwordSampler(model, rate).draw(ids, seed)
        assert "".join(model.pieces[id_] for id_ in drawn) == "▁ab<0x41>a<unk>b▁abab"
    assert SubwordSampler(model, 0.5).draw([], 1) == []


def test_a_seed_draws_the_same_in_every_process_and_seeds_differ():
    here = [SubwordSampler(MERGES, 0.5).draw([1, 2, 1, 0, 2, 1, 6, 7, 1], seed) for seed in range(40)]
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, text=True, cwd=ROOT)
    assert json.loads(run.stdout) == here
    assert any(first != second for first, second in pairwise(here))


@pytest.mark.parametrize("model", [MERGES, UNIGRAMS])
def test_a_line_without_spaces_is_drawn_in_parts_so_that_long_ones_take_no_longer(model, monkeypatch):
    """Parts of 16 pieces are cut as words of 16 are, and nothing longer is ever merged or kept."""
    ids = [model.pieces.index(piece) for piece in ["▁", *["ab"] * 400]]
    sampler, cut = SubwordSampler(model, 0.5), []
    for name in ("_cut", "_cut_word"):
        monkeypatch.setattr(sampler, name, lambda text, generator: cut.append(text) or [*text])
    drawn = sampler.draw(ids, 1)
    assert "".join(model.pieces[id_] for id_ in drawn) == "▁" + "ab" * 400
    assert max(map(len, cut)) == 2 * 16
    assert len({tuple(SubwordSampler(model, 0.5).draw(ids, seed)) for seed in range(8)}) == 8

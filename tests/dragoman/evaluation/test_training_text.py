import numpy as np
import pytest

from data.batch import Pair
from data.config import DataConfig
from data.errors import InputError
from data.sources.corpus import Corpus
from dragoman.evaluation import training_text
from dragoman.evaluation.training_text import FILE, TrainingText, prepared_training_text, remember

PAIRS = [Pair("A dog.", "Ein Hund."), Pair("A cat.", "Eine Katze."), Pair("Two dogs.", "Zwei Hunde, ein Hund.")]


def corpus(pairs, fingerprint="1"):
    return Corpus("text", pairs, None, {}, fingerprint)


def test_what_is_saved_is_what_is_loaded(tmp_path):
    found = remember([corpus(PAIRS[:2]), corpus(PAIRS[2:])])
    found.save(tmp_path / FILE)
    again = TrainingText.load(tmp_path / FILE)
    for known in (found, again):
        assert known.has_lines(["a DOG.", "a dog", "Ein Hund."], side=0).tolist() == [True, False, False]
        assert known.has_lines(["Ein Hund."], side=1).tolist() == [True]
        assert known.times(["hund", "katze", "dog", "ein"]).tolist() == [2, 1, 0, 2]


def test_the_size_of_parts_changes_nothing(monkeypatch):
    whole = remember([corpus(PAIRS)])
    monkeypatch.setattr(training_text, "CHUNK", 1)
    reports = []
    parts = remember([corpus(PAIRS)], report=lambda pairs, words: reports.append(pairs))
    assert reports == [1, 1, 1]
    for one, other in zip(whole, parts, strict=True):
        assert np.array_equal(np.concatenate(one, axis=None), np.concatenate(other, axis=None))


def test_nothing_is_found_in_an_empty_text():
    nothing = remember([corpus([])])
    assert not nothing.has_lines(["a"], side=0).any()
    assert not nothing.shares_grams([["a"] * 20], side=1).any()
    assert nothing.times(["a"]).tolist() == [0]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 and more", None])
def test_a_damaged_file_is_an_error(tmp_path, damage):
    path = tmp_path / FILE
    remember([corpus(PAIRS)]).save(path)
    path.write_bytes(path.read_bytes()[:200] if damage is None else damage)
    with pytest.raises(InputError, match=r"training_text\.npz: cannot be used \(.*\): delete it"):
        TrainingText.load(path)


def test_a_file_of_another_format_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(training_text, "FORMAT", 2)
    remember([corpus(PAIRS)]).save(tmp_path / FILE)
    monkeypatch.undo()
    with pytest.raises(InputError, match="its format is 2, expected 1"):
        TrainingText.load(tmp_path / FILE)


def test_a_text_is_hashed_once(tmp_path, monkeypatch):
    config = DataConfig(cache=str(tmp_path))
    path = prepared_training_text(config, [corpus(PAIRS)])
    monkeypatch.setattr(training_text, "remember", None)
    assert prepared_training_text(config, [corpus(PAIRS)]) == path
    assert TrainingText.load(path).has_lines(["A dog."], side=0).all()
    with pytest.raises(TypeError):
        prepared_training_text(config, [corpus(PAIRS, "2")])

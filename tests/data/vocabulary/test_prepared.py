import pytest

from data.batch import Pair
from data.config import DataConfig
from data.sources.corpus import Corpus
from data.storage.cache import Cache
from data.vocabulary.prepared import INFLUENCE, prepared_tokenizer
from data.vocabulary.tokenizer import learn_tokenizer

CORPORA = [
    Corpus("a", [Pair("a dog sees a cat", "ein Hund sieht eine Katze")] * 5 + [Pair("\u2585", "b")], None, {}, "f")
]


def test_a_vocabulary_is_learned_once_and_is_the_one_that_learning_gives(tmp_path):
    config, notes = DataConfig(vocabulary_size=290, cache=str(tmp_path)), [[], []]
    first = prepared_tokenizer(config, CORPORA, note=notes[0].append)
    (entry,) = Cache(tmp_path).entries()
    inode = (entry.path / "tokenizer.model").stat().st_ino
    second = prepared_tokenizer(config, CORPORA, note=notes[1].append)
    assert first.sha256 == second.sha256 == learn_tokenizer(config, CORPORA).sha256
    assert notes == [["vocabulary: 1 lines left out, with the character U+2585"]] * 2
    assert (entry.path / "tokenizer.model").stat().st_ino == inode


@pytest.mark.parametrize("knobs", [{"vocabulary_size": 280}, {"vocabulary_lines": 8}, {"symbols": ["<ph>"]}])
def test_another_vocabulary_is_another_entry(tmp_path, knobs):
    config = DataConfig(vocabulary_size=290, cache=str(tmp_path))
    prepared_tokenizer(config, CORPORA)
    prepared_tokenizer(config.model_copy(update=knobs), CORPORA)
    prepared_tokenizer(config.model_copy(update={"row_length": 7, "workers": 3}), CORPORA)
    assert len(Cache(tmp_path).entries()) == 2


def test_learning_reads_no_knob_that_the_key_lacks():
    read = set()

    class Recording(DataConfig):
        def __getattribute__(self, name):
            read.update({name} & set(DataConfig.model_fields))
            return super().__getattribute__(name)

    config = Recording(vocabulary_size=290)
    read.clear()
    learn_tokenizer(config, CORPORA)
    assert read == set(INFLUENCE)

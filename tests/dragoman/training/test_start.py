"""A resumed run keeps its own vocabulary."""

import pytest

from data.config import DataConfig
from data.errors import InputError
from data.sources import load_corpora
from data.vocabulary.tokenizer import learn_tokenizer
from dragoman.training.start import check_tokenizer
from transformer.config import Config


def test_another_vocabulary_than_the_runs_own_is_refused(tmp_path):
    data = DataConfig(corpus="toy", toy_pairs=50, vocabulary_size=288)
    corpora = load_corpora(data, "train")
    own = learn_tokenizer(data, corpora)
    for name, tokenizer in (
        ("own", own),
        ("other", learn_tokenizer(data.model_copy(update={"vocabulary_size": 290}), corpora)),
    ):
        (tmp_path / name).mkdir()
        tokenizer.save(tmp_path / name)

    def named(path):
        return Config(data=data.model_copy(update={"tokenizer": str(path)}))

    for path in ("", tmp_path / "own" / "tokenizer.model", tmp_path / "gone.model"):
        check_tokenizer(named(path), own)
    with pytest.raises(InputError, match=r"other/tokenizer\.model: another vocabulary than the run's own"):
        check_tokenizer(named(tmp_path / "other" / "tokenizer.model"), own)

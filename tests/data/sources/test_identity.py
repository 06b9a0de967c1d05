"""Whatever is computed from a text and kept belongs to that text alone, not to the file from which it was read."""

import json

import pytest

from data.config import DataConfig
from data.sources import load_corpora
from data.sources.statistics import source_statistics
from data.vocabulary.prepared import prepared_tokenizer
from dragoman.evaluation.training_text import TrainingText, prepared_training_text


@pytest.fixture
def config(tmp_path):
    """A recipe that reads English and German from a file that also has French, with no-break spaces."""
    lines = [{"en": f"a\u00a0dog {n}", "de": f"ein Hund {n}", "fr": f"un chien {n}"} for n in range(20)]
    (tmp_path / "three.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return DataConfig(
        directory=str(tmp_path),
        train=[["three.jsonl"]],
        cache=str(tmp_path / "cache"),
        vocabulary="separate",
        vocabulary_size=280,
        source_language="en",
        target_language="de",
    )


OTHERS = [
    {"target_language": "fr"},
    {"source_language": "de", "target_language": "en"},
    {"cleaning": "none"},
]


def results(config):
    """The vocabulary, the words that the source has, and whether its lines are in the hashes of the text."""
    corpora = load_corpora(config, "train")
    text = TrainingText.load(prepared_training_text(config, corpora))
    words = source_statistics(config, corpora)
    return prepared_tokenizer(config, corpora).sha256, words, text.times(["hund", "chien", "dog"]).tolist()


@pytest.mark.parametrize("knobs", OTHERS, ids=str)
def test_another_text_of_the_same_file_has_results_of_its_own(config, tmp_path, knobs):
    results(config)
    other = config.model_copy(update=knobs)
    assert results(other) == results(other.model_copy(update={"cache": str(tmp_path / "empty")}))
    assert results(other) != results(config)

from data.batch import Pair
from data.config import DataConfig
from data.sources import statistics
from data.sources.corpus import Corpus
from data.sources.statistics import source_statistics
from data.text.statistics import measure

LINES = ["A dog. It runs.", "the dog sees the Dog", "A cat."]


def test_statistics_are_those_of_the_source_lines_and_are_measured_once(tmp_path, monkeypatch):
    config = DataConfig(cache=str(tmp_path))
    corpora = [Corpus("a", [Pair(line, "x") for line in LINES[:2]], None, {}, "1")]
    corpora += [Corpus("b", [Pair(line, "y") for line in LINES[2:]], None, {}, "2")]
    found = source_statistics(config, corpora)
    assert found == measure(LINES, "en")
    assert found.several_sentences == 1 / 3
    other = source_statistics(config, corpora[:1])
    assert other.several_sentences == 1 / 2
    monkeypatch.setattr(statistics, "measure", None)
    assert source_statistics(config, corpora) == found

"""What a run remembers of its source text, and that it is read back as it was written."""

import pytest

from data.text.statistics import SourceStatistics, measure


def test_statistics_count_words_within_sentences_and_lines_of_several_sentences():
    found = measure(["A man.", "The man of York sees. A man runs.", "", "\u00a0Die Frau\u200b."], "en")
    assert found.several_sentences == 0.25
    assert found.usual == {"man": "man", "frau": "Frau", "of": "of", "runs": "runs", "sees": "sees", "york": "York"}


def test_statistics_are_read_as_they_were_written(tmp_path):
    found = measure(["A man from York."], "en")
    (tmp_path / "one.json").write_text(found.as_json(), encoding="utf-8")
    assert SourceStatistics.load(tmp_path / "one.json") == found
    assert SourceStatistics.load(tmp_path / "none.json") == SourceStatistics()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"several_sentences": 0, "usual": 3}', "\x00"])
def test_a_damaged_file_is_a_value_error(tmp_path, content):
    (tmp_path / "one.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError):  # noqa: PT011
        SourceStatistics.load(tmp_path / "one.json")

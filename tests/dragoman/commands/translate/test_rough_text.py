"""Odd spaces, capitals and several sentences on a line: translated as clean sentences are, in every form of output."""

import json

import pytest

from dragoman.translation.translator import Translator

CLEAN = "abc bcd e"
SPACED = ["  abc\tbcd\u00a0e ", "abc\u3000bcd\u200b e\u00ad", "\ufeffabc  bcd e\x00"]


@pytest.fixture(scope="module")
def expected(translator) -> list[str]:
    """The translations of clean sentences."""
    return translator.translate([CLEAN, "Cde fog.", "Eab cd!"])


def test_white_space_and_invisible_characters_change_nothing(translator, expected):
    assert translator.translate(SPACED) == [expected[0]] * len(SPACED)


def test_sentences_of_a_line_are_translated_as_they_are_apart(translator, expected):
    found = translator.search(["Cde fog.  Eab cd!"])[0][0]
    assert found.text == " ".join(expected[1:])
    assert (found.parts, found.sentences) == (2, 2)


def test_the_sentences_of_a_line_are_scored_as_they_are_translated(translator):
    both, one = ("Cde fog. Eab cd!", "Ein Hund. Ja!"), ("Cde fog. Eab cd!", "Ein Hund ja!")
    apart = translator.score(["Cde fog.", "Eab cd!"], ["Ein Hund.", "Ja!"])
    [found], [whole] = translator.score(*zip(both, one, strict=True))
    assert found.text == both[1]
    assert found.log_probability == pytest.approx(sum(ranks[0].log_probability for ranks in apart), abs=1e-4)
    assert (found.parts, found.sentences, whole.parts) == (2, 2, 1)


def test_a_line_in_capitals_is_translated_through_its_usual_form(translator):
    usual = translator.translate(["Abc bcd e"])[0]
    assert translator.translate(["ABC BCD E"]) == [usual.upper()]
    assert translator.with_(decoding={"capitals": "usual"}).translate(["ABC BCD E"]) == [usual]
    kept = translator.with_(decoding={"capitals": "keep", "sentences": "never"})
    assert kept.search(["ABC BCD. E"])[0][0].parts == 1


def test_every_form_of_output_agrees_on_a_rough_line(run, command, tmp_path, capsysbinary):
    (tmp_path / "input").write_text("\u00a0ABC\tBAD. E FG\n")
    for option in (["--json"], ["--alignments"], []):
        command([run, "--input", tmp_path / "input", *option])
    as_json, aligned, plain = capsysbinary.readouterr().out.decode().split("\n")[:-1]
    [found] = json.loads(as_json)["translations"]
    assert found["text"] == plain == plain.upper()
    assert [word["word"] for word in found["words"]] == plain.split()
    assert all(source < 4 for source, _ in found["alignment"])
    assert aligned.startswith(f"{plain} ||| ")
    assert (found["parts"], found["pieces"].count("</s>")) == (2, found["is_finished"] + 1) or not found["is_finished"]


def test_a_long_sentence_is_named_in_a_warning_and_several_sentences_are_not(run, command, tmp_path, capsys):
    (tmp_path / "input").write_text("ab. Cad. Ed.\n" + "ab " * 60 + "\n")
    command([run, "--input", tmp_path / "input", "--output", tmp_path / "output", "--beam", "1"])
    assert [line for line in capsys.readouterr().err.split("\n") if "warning: " in line and "parts" in line] == [
        f"warning: {tmp_path / 'input'}, line 2: longer than 32 tokens, the longest in training: translated in 4 parts"
    ]


def test_a_resumed_output_knows_how_lines_were_prepared(translator):
    other = translator.with_(decoding={"sentences": "never"})
    assert translator.identity()["text"] != other.identity()["text"]


def test_a_run_of_an_earlier_version_splits_sentences_and_knows_no_words(run, tmp_path, translator):
    copy = tmp_path / "run"
    copy.mkdir()
    for path in run.iterdir():
        if path.name != "source_text.json":
            (copy / path.name).symlink_to(path)
    older = Translator.load(copy)
    assert older.rules == translator.rules._replace(usual={})


def test_a_damaged_memory_of_the_source_text_is_refused_in_one_line(run, tmp_path):
    copy = tmp_path / "run"
    copy.mkdir()
    for path in run.iterdir():
        if path.name != "source_text.json":
            (copy / path.name).symlink_to(path)
    (copy / "source_text.json").write_text("[")
    with pytest.raises(ValueError, match=r"source_text\.json: cannot be used \(.*\): restore or remove it"):
        Translator.load(copy)

"""Every search option does what it says, such as required and banned words."""

import json
import unicodedata
from pathlib import Path

import pytest

import dragoman.commands.translate as program
from data.batch import UNK
from data.errors import InputError
from data.vocabulary.spelling import byte_of
from dragoman.translation import search_memory
from dragoman.translation.glossary import Term
from dragoman.translation.line_search import begin_with
from dragoman.translation.loaded import Demands
from dragoman.translation.translator import Translator
from dragoman.translation.words import words_in
from tests.support.tiny_run import CONFIG, make_run
from transformer.decoding.batches import IN_FLIGHT
from transformer.decoding.request import make_request
from transformer.decoding.searcher import search_sentences


def changed(run: Path, decoding: dict, **options) -> Translator:
    return Translator.load(run, decoding=decoding, **options)


def test_unknown_is_never_written(translator, lines):
    requests = [make_request(translator.plan, source) for source in translator.tokenizer.encode_source(lines)]
    rows = search_sentences(translator.ensemble, requests, translator.plan)
    assert not any(UNK in row.tokens for _, found in rows for hypotheses in found for row in hypotheses)


def test_outputs_begin_with_their_prefixes_and_blank_ones_require_nothing(
    run, translator, lines, tmp_path, capsysbinary
):
    expected = [found[0].text for found in translator.search(lines[:4])]
    prefixes = [expected[1][:3], "", expected[3][:2], ""]
    path = tmp_path / "prefixes"
    path.write_text("".join(prefix + "\n" for prefix in prefixes))
    source = tmp_path / "source"
    source.write_text("".join(line + "\n" for line in lines[:4]))
    program.main([str(run), "--input", str(source), "--prefix", str(path)])
    found = capsysbinary.readouterr().out.decode().split("\n")[:-1]
    for text, prefix, plain in zip(found, prefixes, expected, strict=True):
        assert text.startswith(prefix) if prefix else text == plain


def test_banned_words_are_not_written_in_any_spelling(run, translator, lines):
    plain = [found[0].text for found in translator.search(lines[:8])]
    word = plain[0].split()[1]  # it begins with a space
    careful = Translator.load(run, demands=Demands(banned=(word,)))
    found = [found[0].text for found in careful.search(lines[:8])]
    assert any(word in text.split() for text in plain)
    assert not any(word in text.split() for text in found)
    assert careful.unwritable == ()


def test_terms_are_met_counted_and_those_that_are_not_met_are_named(
    run, translator, lines, command, capsysbinary, tmp_path
):
    """Terms that are written anyway, that cannot be asked for, and that are searched for; the last line has none."""
    source, wanted = lines[0], words_in(translator.translate(lines[:1])[0])[0].text
    path = tmp_path / "terms"
    path.write_text(f"{source}\t{wanted}\n{lines[1]}\t{'q' * 80}\n{lines[2]}\tq\n")
    command([run, "--terms", path, "--json"], stdin="\n".join(lines[:4]).encode())
    captured = capsysbinary.readouterr()
    records = [json.loads(line)["translations"][0] for line in captured.out.decode().split("\n")[:-1]]
    assert records[0]["terms"] == [{"source": source, "target": wanted, "met": True}]
    [unmet], [searched] = records[1]["terms"], records[2]["terms"]
    assert (unmet["met"], unmet["problem"]) == (False, "80 pieces, and at most 48 can be required")
    assert searched["met"] == ("q" in [word.text for word in words_in(records[2]["text"])])
    assert "terms" not in records[3]
    report = captured.err.decode()
    assert f"terms: {1 + searched['met']} of 3 met (" in report
    assert f"terms: not met in line 2: {unmet['source']!r} -> {unmet['target']!r} (80 pieces, and at most 48" in report


def test_lines_whose_terms_are_met_anyway_or_that_have_none_are_translated_as_without_terms(run, translator, lines):
    plain = translator.search(lines[:8])
    word = words_in(plain[0][0].text)[0].text
    demands = Demands(terms=(Term(lines[0], word), Term("no such line", word)))
    found = translator.with_(demands=demands).search(lines[:8])
    assert found[0][0].terms_met == 1
    assert [[one._replace(terms=()) for one in ranks] for ranks in found] == plain


def test_inflections_need_terms(run, command):
    with pytest.raises(InputError, match="--inflections needs --terms FILE"):
        command([run, "--inflections"])


def test_samples_depend_on_the_line_number_and_the_seed(run, lines):
    sampling = changed(run, {"sampling": True, "beam": 4, "seed": 3}, n_best=4)
    expected = sampling.search(lines[:9])
    assert sampling.search(lines[:9], batch_size=2) == expected
    assert len({one.text for one in expected[0]}) > 1
    other = changed(run, {"sampling": True, "beam": 4, "seed": 4}, n_best=4)
    assert other.search(lines[:9]) != expected


def test_samples_hold_whole_characters_and_no_control_characters(run, lines):
    sampling = changed(run, {"sampling": True, "beam": 4, "temperature": 5.0}, n_best=4)
    found = [one for ranks in sampling.search(lines[:9]) for one in ranks]
    vocabulary = sampling.tokenizer.target_vocabulary()
    written = {vocabulary[id_] for one in found for part in one.ids for id_ in part.target}
    assert any(byte_of(piece) is not None for piece in written)
    assert not any(unicodedata.category(c) == "Cc" or c == "\ufffd" for one in found for c in one.text)


def test_the_parts_of_a_line_have_different_samples_and_the_first_those_of_the_line(run, translator):
    sentence = "abcdefgh ijklmn opqrst."
    sampling = changed(run, {"sampling": True, "beam": 1, "temperature": 2.0})
    [[alone]] = sampling.search([sentence])
    [[twice]] = sampling.search([f"{sentence} {sentence}"])
    first, second = twice.ids
    assert (twice.parts, first) == (2, alone.ids[0])
    assert (first.source, first.target != second.target) == (second.source, True)


def test_a_prefix_that_cannot_be_met_costs_only_its_line(run, command, tmp_path, capsysbinary):
    path = tmp_path / "prefixes"
    path.write_bytes(f"a\n{'b c d e f g h ' * 4}\na\n".encode() + b"\xfe\n")
    limits = ["--decoding.maximum_ratio", "0", "--decoding.maximum_extra", "20"]
    command([run, "--prefix", path, *limits], stdin=b"a\nb\n\xff\nc\n")
    out, err = capsysbinary.readouterr()
    assert out.startswith(b"a")
    assert out.count(b"\n") == 4
    assert out.endswith(b"\n\n\n\n")
    told = [line.replace("standard input, ", "") for line in err.decode().split("\n") if line.startswith("warning")]
    assert "line 2: left empty: its prefix has " in told[0]
    assert "tokens, and its translation at most 20, EOS counted: shorten the prefix" in told[0]
    assert told[1] == "warning: line 3: left empty: not UTF-8 (byte 0xff)"
    assert told[2] == f"warning: line 4: left empty: {path}: not UTF-8 (byte 0xfe)"
    assert "warning: standard input: 3 of 4 lines could not be translated and are left empty" in told
    command([run, "--prefix", path, *limits, "--json"], stdin=b"a\nb\n\xff\nc\n")
    records = [json.loads(line) for line in capsysbinary.readouterr().out.decode().split("\n")[:-1]]
    assert [len(record["translations"]) for record in records] == [1, 0, 0, 0]
    assert records[2] == {"line": 3, "translations": [], "problem": "not UTF-8 (byte 0xff)"}


def test_a_character_that_the_vocabulary_cannot_write_is_named(tmp_path):
    data = CONFIG.data.model_copy(update={"byte_fallback": False, "vocabulary_size": 50})
    translator = Translator.load(make_run(tmp_path / "run", CONFIG.model_copy(update={"data": data})))
    with pytest.raises(InputError, match=r"^its prefix has '狗', which is not in the vocabulary: leave this character"):
        begin_with(translator, "a 狗", limit=20)
    assert begin_with(translator, "a b", limit=20).ranges


def test_a_search_that_does_not_fit_in_memory_is_rejected_before_it_runs(run, monkeypatch):
    monkeypatch.setattr(search_memory, "device_memory", lambda: 10_000)
    message = (
        r"the search needs [0-9.]+ GiB on each device, and 0\.0 are free: lower decoding\.beam, which is 4, or "
        r"decoding\.rows, which is 8$"
    )
    with pytest.raises(InputError, match=message):
        Translator.load(run).translate(["a"])


def test_the_consensus_of_a_beam_is_one_of_its_hypotheses(run, lines):
    beam = Translator.load(run, n_best=4).search(lines[:6])
    chosen = Translator.load(run, demands=Demands(mbr=True)).search(lines[:6])
    assert all(one[0].text in {found.text for found in four} for one, four in zip(chosen, beam, strict=True))


def test_a_model_votes_with_itself_as_it_does_alone_and_with_another_differently(run, translator, lines):
    expected = translator.translate(lines[:8])
    assert Translator.load(run, ensemble=[run]).translate(lines[:8]) == expected
    assert Translator.load(run, ensemble=[run / "checkpoints" / "10"]).translate(lines[:8]) != expected


def test_a_model_of_another_vocabulary_cannot_vote(run, tmp_path):
    other = make_run(
        tmp_path / "other", CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update={"vocabulary_size": 300})})
    )
    with pytest.raises(
        InputError, match=r"other and .* have different vocabularies: an ensemble needs the same vocabulary"
    ):
        Translator.load(run, ensemble=[other])


def test_a_second_search_obeys_the_demands_on_the_first(run, lines):
    usual = [found[0].text for found in Translator.load(run).search_carefully(lines[:8], first=1)]
    word = usual[0].split()[1]
    sampling = {"sampling": True, "temperature": 0.8, "top_p": 0.9}
    careful = changed(run, sampling, demands=Demands(banned=(word,)))
    assert not any(word in found[0].text.split() for found in careful.search_carefully(lines[:8], first=1))
    [[begun]] = Translator.load(run).search_carefully(lines[:1], first=1, prefixes=[word])
    assert begun.text.startswith(word)


def test_the_help_says_that_knobs_left_out_are_those_of_the_run(command, capsys):
    with pytest.raises(SystemExit):
        command(["--help"])
    help_text = " ".join(capsys.readouterr().out.split())
    assert f"at most {IN_FLIGHT} * decoding.rows for each device" in help_text
    knobs = help_text.partition(" decoding: ")[2]
    assert knobs.count("default: the run's)") == len(CONFIG.decoding.model_dump())
    assert "default 5" not in knobs

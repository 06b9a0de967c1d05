"""The output: JSON, alignments, scores of given translations, and the guard's report."""

import json

import pytest
from jsonschema import Draft202012Validator

from data.errors import InputError
from tests.support.forced_decoder import forced_log_probability
from tests.support.paths import ROOT
from transformer.decoding.searcher import Hypothesis


def test_json_holds_the_n_best_translations_with_their_scores(run, translator, lines, command, capsysbinary):
    command([run, "--json", "--n-best", "3"], stdin="\n".join(["", *lines[:9]]).encode())
    records = [json.loads(line) for line in capsysbinary.readouterr().out.decode().splitlines()]
    assert [record["line"] for record in records] == list(range(1, 11))
    assert [record["translations"][0]["text"] for record in records] == translator.translate(["", *lines[:9]])
    for record in records[1:]:
        ranks = [(not one["is_finished"], -one["score"]) for one in record["translations"]]
        assert len(ranks) == 3
        assert ranks == sorted(ranks)


SCHEMA = json.loads((ROOT / "docs/schemas/translation.json").read_text(encoding="utf-8"))


def test_every_record_follows_the_schema_that_is_documented(run, lines, command, capsysbinary, tmp_path):
    path = tmp_path / "companion"
    path.write_text("".join(f"{line}\n" for line in ["", *lines[1:4], "ab " * 300, "a"]), encoding="utf-8")
    terms = tmp_path / "terms"
    terms.write_text(f"{lines[0].split()[0]}\tqx\n", encoding="utf-8")
    stdin = "\n".join(["", *lines[:3], "abc def. " * 30, "b"]).encode() + b"\n"
    for options in (["--n-best", "3"], ["--terms", terms], ["--prefix", path], ["--score", path]):
        command([run, "--json", *options], stdin=stdin)
        records = [json.loads(line) for line in capsysbinary.readouterr().out.decode().split("\n")[:-1]]
        assert len(records) == 6
        for record in records:
            Draft202012Validator(SCHEMA).validate(record)
            for translation in record["translations"]:
                assert translation.keys() <= SCHEMA["$defs"]["translation"]["properties"].keys()
        assert [record["line"] for record in records if "problem" in record] == ([5] if path in options else [])


@pytest.mark.parametrize(
    "change", [{"line": 0}, {"translations": []}, {"problem": "left empty"}, {"translations": [{"text": "a"}]}]
)
def test_the_schema_rejects_other_records(change):
    one = {"text": "a", "log_probability": -1.0, "score": -0.5, "pieces": ["a"], "piece_log_probabilities": [-1.0]}
    more = {"words": [], "alignment": [], "flags": [], "tokens": 1, "is_finished": True, "parts": 1}
    record = {"line": 1, "translations": [one | more]}
    assert Draft202012Validator(SCHEMA).is_valid(record)
    assert not Draft202012Validator(SCHEMA).is_valid(record | change)


def test_given_translations_are_scored_by_the_forced_decoder(run, translator, lines, command, capsysbinary, tmp_path):
    given = [*lines[3:6], ""]
    path = tmp_path / "translations"
    path.write_text("".join(text + "\n" for text in given))
    command([run, "--score", path], stdin="".join(line + "\n" for line in lines[:4]).encode())
    scores = list(map(float, capsysbinary.readouterr().out.split()))
    tokenizer = translator.tokenizer
    pairs = zip(tokenizer.encode_source(lines[:4]), tokenizer.encode_target(given), strict=True)
    expected = [
        forced_log_probability(translator.graph, translator.parameters, source, Hypothesis(target, 0.0, 0.0, True))
        for source, target in pairs
    ]
    assert scores == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("content", "message"), [("a\n", "fewer than"), ("a\nb\nc\n", "has more lines than")])
def test_a_companion_of_another_length_is_refused(run, command, capsysbinary, tmp_path, content, message):
    path = tmp_path / "translations"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        command([run, "--score", path], stdin=b"a\nb\n")


def test_json_has_pieces_words_alignment_and_flags(run, lines, command, capsysbinary):
    command([run, "--json"], stdin=f"{lines[0]}\n\n".encode())
    first, blank = map(json.loads, capsysbinary.readouterr().out.decode().split("\n")[:-1])
    [found], [empty] = first["translations"], blank["translations"]
    assert sum(found["piece_log_probabilities"]) == pytest.approx(found["log_probability"], abs=1e-3)
    assert [one["word"] for one in found["words"]] == found["text"].split()
    assert all(0 <= one["confidence"] <= 1 for one in found["words"])
    assert {target for _, target in found["alignment"]} <= set(range(len(found["words"])))
    assert empty["text"] == ""
    assert empty["alignment"] == empty["pieces"] == []


def test_alignments_follow_the_text(run, translator, lines, command, capsysbinary):
    command([run, "--alignments"], stdin=f"{lines[0]}\n\n".encode())
    aligned, blank, _ = capsysbinary.readouterr().out.decode().split("\n")
    text, links = aligned.split(" ||| ")
    assert text == translator.translate(lines[:1])[0]
    assert all(len(link.split("-")) == 2 for link in links.split())
    assert blank == " |||"


def test_the_guard_counts_and_searches_again(run, command, capsysbinary):
    stdin = b"a b c d e f g h\nb c\n"
    for guard in ("count", "again"):
        command([run, "--guard", guard], stdin=stdin)
        captured = capsysbinary.readouterr()
        assert captured.out.count(b"\n") == 2
        assert b"lines flagged" in captured.err

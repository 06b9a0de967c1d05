"""The quality of translations of disturbed text, prepared and as it is."""

import json

import pytest

from benchmarks import rough_text
from data.errors import InputError
from dragoman.evaluation.perturbations import perturb
from dragoman.translation.translator import Translator
from tests.support.tiny_run import make_run


@pytest.mark.slow
def test_rough_text_is_disturbed_as_evaluation_disturbs_it_and_scored_twice(tmp_path, capsys):
    run = make_run(tmp_path / "run")
    lines = ["a b c d.", "e f g.", "b b a.", "c d e f."]
    for name in ("source", "reference"):
        (tmp_path / name).write_text("".join(line + "\n" for line in [*lines, "not read"]))
    arguments = [str(run), "--source", str(tmp_path / "source"), "--reference", str(tmp_path / "reference")]
    rough_text.main([*arguments, "--lines", "4", "--beam", "1", "--perturb", "upper,typos,paragraphs"])
    *shown, last = capsys.readouterr().out.strip().split("\n")
    found = {row["text"]: row for row in json.loads(last)["rows"]}
    assert {name: row["lines"] for name, row in found.items()} == {
        "undisturbed": 4, "upper": 4, "typos": 4, "paragraphs": 1
    }  # fmt: skip
    prepared = Translator.load(run, beam=1)
    for translator, kind in ((prepared, "prepared"), (rough_text.unprepared(prepared), "as it is")):
        for name in ("upper", "typos"):
            expected = rough_text.scores(translator.translate(perturb(lines, name, "en")), lines)
            assert {key: found[name][kind][key] for key in expected} == expected
            assert any(line.startswith(name) and f"{expected['chrf']:.2f}" in line for line in shown)


def test_an_unknown_disturbance_is_refused():
    with pytest.raises(InputError, match=r"^--perturb: 'uper': unknown; did you mean upper\?$"):
        rough_text.main(["run", "--source", "a", "--reference", "b", "--perturb", "uper"])

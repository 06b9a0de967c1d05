"""The program in an exported directory translates as the run does."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data.text.cleaning import one_line
from data.text.joining import join_parts
from data.text.preparation import as_source, prepare
from data.vocabulary.tokenizer import Tokenizer
from dragoman.exchange.ctranslate2_model import DATA, TEXT_MODULES
from dragoman.translation.translator import Translator
from tests.support.tiny_export import LINES, export
from tests.support.tiny_run import CONFIG
from transformer.decoding import SearchPlan

ODD = ["a\u2028b", "", "  ", "▁a▁", "\ufdd0", "😀 é", "a\tb", "</s>", "<0x41>"]


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory) -> Path:
    pytest.importorskip("ctranslate2")
    directory = tmp_path_factory.mktemp("exported") / "model"
    assert export(run, directory, "--format", "ctranslate2", "--report", "0") == 0
    return directory


def test_the_exported_directory_translates_on_its_own_as_the_run_does(run, exported, tmp_path):
    """Runs in another directory, where this project cannot be imported."""
    moved = tmp_path / "moved"
    shutil.copytree(exported, moved)
    text = "\n".join([*LINES, *ODD]).encode()
    done = subprocess.run(
        [sys.executable, "-I", moved / "translate.py"], input=text, capture_output=True, cwd=tmp_path, check=True
    )
    found = done.stdout.decode().split("\n")
    assert found.pop() == ""
    expected = Translator.load(run).search([*LINES, *ODD])
    assert len(found) == len(expected)
    finished = [place for place, best in enumerate(expected) if best[0].is_finished]
    assert len(finished) > len(LINES) / 2
    same = sum(found[place] == expected[place][0].text for place in finished)
    assert same >= len(finished) - 2  # the two treat the probability of special tokens differently


def test_the_exported_program_warns_of_lines_in_parts_and_has_options(exported):
    lines = ["", "ab " * 100, "cd"]
    command = [sys.executable, exported / "translate.py", "--beam", "1", "--compute-type", "int8", "--batch-size", "2"]
    done = subprocess.run(
        [*command, "--length-penalty", "0"], input="\n".join(lines).encode(), capture_output=True, check=True
    )
    assert done.stdout.count(b"\n") == 3
    assert done.stdout.startswith(b"\n")
    assert done.stderr.decode() == "warning: line 2 has a sentence too long for one search\n"


ROUGH = [" ab\u00a0\tcd ", "AB CD EF GH", "ab dad. Ef gh! Ij", "\u200b", "\ufeffab", "ab " * 60 + ". Cd"]


def test_the_exported_program_prepares_lines_as_the_run_does(run, exported):
    """It carries copies of the modules that do it, and what the run remembers of its source text."""
    from dragoman.exchange import standalone

    translator, rules = standalone.Translator(exported), Translator.load(run).rules
    assert translator.rules == rules
    assert rules.usual
    for path in TEXT_MODULES:
        assert (exported / "data" / path.relative_to(DATA)).read_bytes() == path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-I", exported / "translate.py"],
        input="".join(f"{line}\r\n" for line in ROUGH).encode(),
        capture_output=True,
        check=True,
    )
    found = done.stdout.decode().split("\n")[:-1]
    sources = [prepare(line, rules) for line in ROUGH]
    apart = [join_parts(translator.translate(source.sentences), has_spaces=True) for source in sources]
    expected = [as_source(text, source, rules) for text, source in zip(apart, sources, strict=True)]
    assert [text == "" for text in found] == [text == "" for text in expected]
    assert sum(one == other for one, other in zip(found, expected, strict=True)) >= len(ROUGH) - 1


def test_the_modules_in_an_export_need_only_the_standard_library():
    for path in TEXT_MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                own = (DATA / "/".join(name.split(".")[1:])).with_suffix(".py")
                assert name.partition(".")[0] in sys.stdlib_module_names or own in TEXT_MODULES, f"{path}: {name}"


def test_the_exported_program_reports_what_is_not_utf8_in_one_line(exported):
    command = [sys.executable, exported / "translate.py", "--beam", "1"]
    done = subprocess.run(command, input=b"ab\n\r\n\ncaf\xe9\nab\n", capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.decode() == "error: line 4: not UTF-8 (byte 0xe9): convert the text to UTF-8\n"
    assert done.stdout.count(b"\n") == 3
    assert done.stdout.endswith(b"\n\n\n")


@pytest.mark.parametrize(
    "options", [["--beam", "0"], ["--batch-size", "-1"], ["--length-penalty", "nan"], ["--length-penalty", "-5"]]
)
def test_the_exported_program_refuses_options_out_of_range(exported, options):
    command = [sys.executable, exported / "translate.py", *options]
    done = subprocess.run(command, input=b"ab\n", capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.decode().rpartition("error: ")[2].count(options[0]) == 1


def test_the_exported_program_reads_a_byte_order_mark_alone_as_no_lines(exported):
    command = [sys.executable, exported / "translate.py"]
    assert subprocess.run(command, input=b"\xef\xbb\xbf", capture_output=True, check=True).stdout == b""


def test_the_exported_program_ends_quietly_when_its_reader_does(exported):
    command = f"yes ab | head -n 3000 | {sys.executable} {exported}/translate.py --beam 1 | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b""


def test_pieces_are_escaped_and_read_back_as_in_the_run(run, exported):
    from dragoman.exchange import standalone

    translator, tokenizer = standalone.Translator(exported), Tokenizer.load(run)
    assert [[*row, "</s>"] for row in translator.encode(ODD)] == [tokenizer.source_pieces(line) for line in ODD]
    ids = tokenizer.encode_target(ODD)
    expected = [one_line(text) for text in tokenizer.decode(ids)]
    assert translator.decode([tokenizer.target_pieces(row) for row in ids]) == expected


def test_length_limits_are_those_of_the_search(exported):
    from dragoman.exchange import standalone

    translator = standalone.Translator(exported)
    plan = SearchPlan(CONFIG.decoding, maximum_length=48)
    for length in range(1, CONFIG.model.maximum_length + 1):
        assert translator.longest_output(length) == plan.limit(length)


def test_hypotheses_are_ranked_as_in_the_search():
    pytest.importorskip("ctranslate2")
    from dragoman.exchange import standalone

    found = [["a"], ["b", "</s>"], ["c", "d", "e", "</s>"]], [-0.1, -2.0, -2.1]
    assert standalone.best(*found, 0.0, "gnmt") == (["b"], -2.0, -2.0, True)
    assert standalone.best(*found, 1.0, "gnmt") == (["c", "d", "e"], -2.1, pytest.approx(-2.1 * 6 / 9), True)
    assert standalone.best(*found, 1.0, "power") == (["c", "d", "e"], -2.1, pytest.approx(-2.1 / 4), True)

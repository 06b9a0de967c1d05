"""Exports: another program computes what the run computes, for every architecture; differences are reported."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.batch import Batch
from data.errors import InputError
from data.sources import load_corpora
from data.text.cleaning import one_line
from data.text.joining import join_parts
from data.text.preparation import SourceRules, as_source, prepare
from data.vocabulary.tokenizer import Tokenizer, learn_tokenizer
from dragoman.commands import export as program
from dragoman.exchange import FORMATS, Trained, ctranslate2_model
from dragoman.exchange.ctranslate2_model import DATA, QUANTIZATIONS, TEXT_MODULES, write_ctranslate2
from dragoman.exchange.safetensors_file import read_safetensors
from dragoman.files import begin_directory, write_json
from dragoman.translation.translator import Translator
from tests.support.paths import ROOT
from tests.support.tiny_run import CONFIG, make_run, tiny_parameters
from transformer.config import Config
from transformer.decoding import SearchPlan
from transformer.model import merge

LINES = [pair.source for pair in load_corpora(CONFIG.data, "validation")[0].pairs if len(pair.source) < 13][:24]
ODD = ["a\u2028b", "", "  ", "▁a▁", "\ufdd0", "😀 é", "a\tb", "</s>", "<0x41>"]

ENDS = 2.0  # a random model rarely writes EOS without this

# Every option, alone and combined. Those in FIRST are slow tests; all are exhaustive tests.
FIRST = (
    "as by default",
    "rms, swiglu, rotary, output tied",
    "separate vocabularies, nothing tied",
    "decoder-only",
    "decoder-only, post-norm, rms, swiglu, rotary",
)
CAUSAL = {"assembly": "decoder_only", "source_attention": "causal"}
OPTIONS = {
    "as by default": {},
    "post-norm": {"norm_position": "post"},
    "rms": {"norm": "rms"},
    "post-norm, rms": {"norm_position": "post", "norm": "rms"},
    "gelu": {"activation": "gelu"},
    "swiglu": {"activation": "swiglu"},
    "learned positions": {"positions": "learned"},
    "rotary positions": {"positions": "rotary"},
    "output tied": {"tied": "output"},
    "nothing tied": {"tied": "none"},
    "rms, swiglu, rotary, output tied": {
        "norm": "rms",
        "activation": "swiglu",
        "positions": "rotary",
        "tied": "output",
    },
    "separate vocabularies, output tied": {"vocabulary": "separate", "tied": "output"},
    "separate vocabularies, nothing tied": {"vocabulary": "separate", "tied": "none"},
    "decoder-only": CAUSAL,
    "decoder-only, gelu": CAUSAL | {"activation": "gelu"},
    "decoder-only, learned positions": CAUSAL | {"positions": "learned"},
    "decoder-only, post-norm, rms, swiglu, rotary": CAUSAL
    | {"norm_position": "post", "norm": "rms", "activation": "swiglu", "positions": "rotary"},
}


def config_with(vocabulary: str = "joint", **model: object) -> Config:
    """The tiny config with changed options, no length penalty, and a cache of one stage, so that less is compiled."""
    return Config(
        data=CONFIG.data.model_copy(update={"vocabulary": vocabulary, "vocabulary_size": 300}),
        model=CONFIG.model.model_copy(update=model),
        decoding=CONFIG.decoding.model_copy(update={"length_penalty": 0.0, "maximum_ratio": 1.0, "maximum_extra": 0}),
    )


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory) -> dict[str, Path]:
    found = {}
    for kind in ("joint", "separate"):
        found[kind] = tmp_path_factory.mktemp(kind)
        data = config_with(kind, tied="none").data
        learn_tokenizer(data, load_corpora(data, "train")).save(found[kind])
    return found


def random_model(directory: Path, config: Config, seed: int = 6) -> tuple[Trained, Tokenizer]:
    """A model in which every parameter is random, even those that training starts at 0 or 1; no output is too likely.

    With this seed, some translations finish under every option.
    """
    tokenizer = Tokenizer.load(directory)
    _, parameters = tiny_parameters(config, tokenizer, seed, ends=2 * ENDS)
    generator = np.random.default_rng(seed)
    parameters = jax.tree.map(
        lambda x: np.asarray(x / 2 if x.ndim > 1 else x + 0.2 * generator.standard_normal(x.shape, np.float32)),
        parameters,
    )
    trained = Trained(
        config=config,
        parameters=parameters,
        source_vocabulary=tokenizer.source_vocabulary(),
        target_vocabulary=tokenizer.target_vocabulary(),
        rules=SourceRules(),
        tokenizers=sorted(directory.glob("tokenizer*.model")),
        run="random",
        step=1,
    )
    return trained, tokenizer


def parity_of(trained: Trained, tokenizer: Tokenizer, directory: Path, quantization: str = "float32"):
    pytest.importorskip("ctranslate2")
    from dragoman.exchange import parity, reference, standalone

    write_ctranslate2(trained, directory, quantization=quantization)
    ours = reference.make_reference(trained, tokenizer.encode_source(LINES), range(1, len(LINES) + 1))
    return parity.compare(ours, standalone.Translator(directory, intra_threads=1), LINES)


# --- ctranslate2 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in FIRST else pytest.mark.exhaustive) for n in OPTIONS]
)
def test_ctranslate2_gives_the_scores_and_translations_of_the_run_under(name, tokenizers, tmp_path):
    config = config_with(**OPTIONS[name])
    found = parity_of(*random_model(tokenizers[config.data.vocabulary], config), tmp_path)
    assert found.problems() == []
    assert found.finished
    (agreement,) = found.searches.values()
    assert agreement.same > len(LINES) / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "changed", "model"),
    [
        ("ACTIVATIONS", {"gelu": ("GELU", False)}, {"activation": "gelu"}),
        ("POSITIONS", {"rotary": {"rotary_dim": 0, "rotary_interleave": True}}, {"positions": "rotary"}),
        ("EPSILON", 1e-2, {"norm": "rms"}),
    ],
)
def test_the_comparison_finds_a_model_that_is_a_little_different(
    table, changed, model, tokenizers, tmp_path, monkeypatch
):
    monkeypatch.setattr(ctranslate2_model, table, changed)
    found = parity_of(*random_model(tokenizers["joint"], config_with(**model)), tmp_path)
    assert re.match(r"a token's score differs by \S+, more than 1e-04", found.problems()[0])


def test_the_problems_of_a_comparison_are_described_in_words():
    pytest.importorskip("ctranslate2")
    from dragoman.exchange.parity import Agreement, Parity

    agreement = Agreement(same=2, ties=1, cut=0, different=[1, 3, 4, 5, 6, 7])
    assert Parity(9, 8, 9, 50, float("nan"), {"beam 5, length penalty 1": agreement}, agreement).problems() == [
        "1 of 9 lines have different tokens",
        "a token's score differs by nan, more than 1e-04",
        "6 of 9 translations differ (beam 5, length penalty 1): lines 1, 3, 4, 5, 6, ...",
    ]


@pytest.mark.parametrize("quantization", [name for name in QUANTIZATIONS if name != "float32"])
def test_a_quantised_model_is_smaller_and_close(quantization, tokenizers, tmp_path):
    """Compares the stored weights, because the engine's int8 activations differ between processors."""
    ctranslate2 = pytest.importorskip("ctranslate2")
    trained, tokenizer = random_model(tokenizers["joint"], config_with())
    sizes, scores = [], []
    for name in ("float32", quantization):
        (tmp_path / name).mkdir()
        write_ctranslate2(trained, tmp_path / name, quantization=name)
        sizes.append((tmp_path / name / "model.bin").stat().st_size)
        translator = ctranslate2.Translator(str(tmp_path / name), intra_threads=1, compute_type="float32")
        pieces = [tokenizer.source_pieces(line)[:-1] for line in LINES]
        scores.append([found.log_probs for found in translator.score_batch(pieces, pieces)])
    assert sizes[1] < 0.8 * sizes[0]
    differences = np.abs(np.concatenate(scores[0]) - np.concatenate(scores[1]))
    assert 0 < np.median(differences) < 0.05


@pytest.mark.parametrize("knob", ["assembly", "activation", "norm", "norm_position", "positions"])
def test_what_ctranslate2_cannot_express_is_rejected_by_name(knob, tokenizers, tmp_path):
    pytest.importorskip("ctranslate2")
    trained, _ = random_model(tokenizers["joint"], config_with())
    model = type(trained.config.model).model_construct(**trained.config.model.model_dump() | {knob: "other"})
    changed = trained._replace(config=trained.config.model_copy(update={"model": model}))
    with pytest.raises(InputError, match=f"model.{knob} is 'other', which CTranslate2 cannot express: it takes .*; "):
        write_ctranslate2(changed, tmp_path)


def test_a_decoder_only_model_whose_sources_see_all_of_themselves_is_rejected_by_name(tokenizers, tmp_path):
    pytest.importorskip("ctranslate2")
    trained, _ = random_model(tokenizers["joint"], config_with(assembly="decoder_only"))
    message = "model.source_attention is 'bidirectional', which CTranslate2 cannot express: it takes causal; "
    with pytest.raises(InputError, match=message):
        write_ctranslate2(trained, tmp_path)


@pytest.mark.parametrize(
    ("knob", "value", "usual"),
    [
        ("sampling", "true", "false"),
        ("groups", "2", "1"),
        ("patience", "2.0", "1.0"),
        ("repetition_penalty", "1.5", "1.0"),
        ("unrepeated", "3", "0"),
        ("minimum_ratio", "0.5", "0.0"),
        ("minimum_length", "2", "0"),
    ],
)
def test_a_search_that_ctranslate2_cannot_do_is_rejected_with_the_option_to_change(knob, value, usual, run, tmp_path):
    pytest.importorskip("ctranslate2")
    message = rf"decoding\.{knob} is {value}, which CTranslate2 cannot reproduce: --decoding\.{knob} {usual} "
    with pytest.raises(InputError, match=message):
        export(run, tmp_path / "model", "--format", "ctranslate2", "--report", "0", f"--decoding.{knob}", value)


@pytest.mark.slow
def test_the_comparison_holds_under_the_power_penalty(tokenizers, tmp_path):
    config = config_with()
    decoding = config.decoding.model_copy(update={"length_penalty": 1.0, "penalty": "power"})
    found = parity_of(*random_model(tokenizers["joint"], config.model_copy(update={"decoding": decoding})), tmp_path)
    assert found.problems() == []
    assert found.searches["beam 5, length penalty 1"].same > len(LINES) / 2


# --- the exported program ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run whose outputs have no bytes: the run only writes whole characters, and CTranslate2 knows no such rule."""
    return make_run(tmp_path_factory.mktemp("export") / "run", bleu={10: 1.0, 20: 3.0}, ends=ENDS, bytes_=0.0)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory) -> Path:
    pytest.importorskip("ctranslate2")
    directory = tmp_path_factory.mktemp("exported") / "model"
    assert export(run, directory, "--format", "ctranslate2", "--report", "0") == 0
    return directory


def export(*arguments: object) -> int:
    return program.main([str(argument) for argument in arguments])


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


# --- safetensors ------------------------------------------------------------------------------------------------------


def test_safetensors_give_equal_logits_when_read_back(run, tmp_path, capsys):
    pytest.importorskip("safetensors")
    assert export(run, tmp_path / "model", "--format", "safetensors", "--checkpoint", "10") == 0
    output, errors = capsys.readouterr()
    assert "checkpoint 10, as safetensors: " in output
    assert errors == "note: safetensors contains no search; config.json records how the run searches\n"
    translator = Translator.load(run, checkpoint="10")
    parameters = read_safetensors(tmp_path / "model")
    row, places = jnp.array([[5, 6, 7, 3]]), jnp.arange(4)[None]
    logits = []
    for values in (translator.parameters, jax.tree.map(jnp.asarray, parameters)):
        model = merge(translator.graph, values)
        ones = jnp.ones_like(row)
        logits.append(model.output().logits(model.features(Batch(row, ones, places, row, row, ones, places))))
    assert np.array_equal(*logits)
    assert jax.tree.structure(parameters) == jax.tree.structure(translator.parameters)


def test_a_safetensors_directory_says_what_is_in_it(run, tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    export(run, tmp_path / "model", "--format", "safetensors")
    about = json.loads((tmp_path / "model/config.json").read_text())
    assert about["model"] == CONFIG.model.model_dump()
    assert about["special_ids"] == {"pad": 0, "unk": 1, "bos": 2, "eos": 3}
    assert about["step"] == 20
    arrays = numpy.load_file(tmp_path / "model/model.safetensors")
    assert arrays["target_embedding.table"].shape == (about["target_vocabulary"], CONFIG.model.width)
    assert "decoder.1.cross_attention.query.kernel" in arrays
    assert Tokenizer.load(tmp_path / "model").sha256 == Tokenizer.load(run).sha256
    assert "decoder.0.cross_attention.query.kernel" in (tmp_path / "model/README.md").read_text()


def test_parameters_of_another_type_are_refused(tokenizers, tmp_path):
    pytest.importorskip("safetensors")
    trained, _ = random_model(tokenizers["joint"], config_with())
    trained.parameters["decoder_norm"]["scale"] = np.ones(32, np.float16)
    with pytest.raises(InputError, match=r"decoder_norm\.scale is float16, expected float32: the checkpoint was not"):
        FORMATS["safetensors"](trained, tmp_path)


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_report_is_a_table_and_json(run, tmp_path, capsys):
    pytest.importorskip("ctranslate2")
    (tmp_path / "lines").write_text("\n".join(["", *LINES, "ab " * 50]))
    arguments = ["--format", "ctranslate2", "--quantization", "int8", "--lines", tmp_path / "lines"]
    assert export(run, tmp_path / "model", *arguments, "--json", tmp_path / "report.json", "--report", "999") == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["lines"], report["left_out"], report["problems"]) == (len(LINES) + 2, 2, [])
    exact, rounded = report["found"]["float32"], report["found"]["int8"]
    assert exact["same_tokens"] == rounded["same_tokens"] == len(LINES)
    assert exact["largest_difference"] < 1e-4 < rounded["largest_difference"]
    assert set(exact["searches"]) == {"beam 5, length penalty 0", "beam 5, length penalty 1"}
    for found in exact["searches"].values():
        assert found["same"] + found["ties"] + found["cut"] == len(LINES)
        assert found["same"] > len(LINES) / 2
    head, columns, first, *_ = capsys.readouterr().out.split("\n")
    assert head.startswith(f"{run} in CTranslate2 ")
    assert head.endswith(f"{len(LINES) + 2} lines (2 left out: blank or too long)")
    assert columns.split() == ["float32", "int8"]
    assert first.split()[-2:] == [str(len(LINES))] * 2
    assert json.loads((tmp_path / "model/dragoman.json").read_text())["quantization"] == "int8"


@pytest.mark.slow
def test_an_export_that_differs_is_not_published_and_exits_with_status_1(run, tmp_path, capsys, monkeypatch):
    pytest.importorskip("ctranslate2")
    monkeypatch.setattr(ctranslate2_model, "EPSILON", 1e-1)
    assert export(run, tmp_path / "model", "--format", "ctranslate2", "--report", "4") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model.partial"]
    errors = capsys.readouterr().err
    assert "differs: a token's score differs by " in errors
    assert f"error: not exported: {tmp_path}/model.partial behaves differently from {run}" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "safetensors", "--quantization", "int8"], "--quantization is for --format ctranslate2, found"),
        (["--format", "safetensors", "--report", "3"], "--report is for --format ctranslate2, found --format safeten"),
        (["--format", "ctranslate2", "--report", "-1"], "--report is -1: expected 0 or more"),
        (["--format", "ctranslate2", "--report", "0", "--json", "x"], "--json needs a comparison, and --report 0 leav"),
        (["--format", "ctranslate2", "--report", "0", "--lines", "x"], "--lines needs a comparison, and --report 0"),
        (["--format", "ctranslate2", "--lines", "/dev/null"], "/dev/null: holds no line to compare the export on"),
        (["--format", "safetensors", "--checkpoint", "11"], "no checkpoint '11': expected best, 10, 20, or a path"),
    ],
)
def test_bad_input_is_reported_in_one_line(run, tmp_path, arguments, message):
    for package in ("ctranslate2", "safetensors"):
        pytest.importorskip(package)
    with pytest.raises(InputError, match=message):
        export(run, tmp_path / "model", *arguments)
    assert not list(tmp_path.iterdir())


def test_lines_of_which_none_can_be_compared_are_refused_as_an_empty_file_is(run, tmp_path):
    pytest.importorskip("ctranslate2")
    (tmp_path / "lines").write_text("\n \n" + "ab " * 50 + "\nab\n")
    options = ["--format", "ctranslate2", "--lines", tmp_path / "lines", "--report", "3"]
    with pytest.raises(InputError, match="lines: holds no line to compare the export on, for its first 3 are blank or"):
        export(run, tmp_path / "model", *options)
    assert [path.name for path in tmp_path.iterdir()] == ["lines"]


def test_a_comparison_overwrites_nothing_and_is_not_written_among_the_exported_files(run, tmp_path):
    pytest.importorskip("ctranslate2")
    (tmp_path / "lines").write_text("ab\n")
    options = ["--format", "ctranslate2", "--lines", tmp_path / "lines", "--json"]
    for json_file, message in (
        (run / "config.toml", r"--json .* would overwrite .*config\.toml, a part of the run: choose another file"),
        (tmp_path / "lines", "--json .* would overwrite the file of --lines: choose another file"),
        (tmp_path / "model/x.json", "--json .*x.json is inside DIRECTORY, which holds the export alone: choose"),
        (tmp_path / "model.partial/x.json", "--json .*x.json is inside DIRECTORY"),
        (tmp_path / "lines/x.json", r"x\.json: cannot be written: (File exists|Not a directory)"),
        (tmp_path / "x.json.gz", "--json .*x.json.gz would be plain text in a file named as compressed: leave .gz out"),
    ):
        with pytest.raises(InputError, match=message):
            export(run, tmp_path / "model", *options, json_file)
    assert [path.name for path in tmp_path.iterdir()] == ["lines"]
    moved = shutil.copytree(run, tmp_path / "run")
    recipe = (moved / "config.toml").read_text()
    recipe = recipe.replace('corpus = "toy"', 'corpus = "files"').replace("validation = []", 'validation = [["v.tsv"]]')
    (moved / "config.toml").write_text(recipe.replace('directory = ""', f'directory = "{tmp_path}"'))
    (tmp_path / "v.tsv").write_text("a b\tb a\n")
    with pytest.raises(InputError, match=r"--json .*v\.tsv would overwrite the file of data\.validation"):
        export(moved, tmp_path / "model", "--format", "ctranslate2", "--json", tmp_path / "v.tsv")


def test_a_directory_that_ctranslate2_could_not_open_is_refused(run, tmp_path):
    pytest.importorskip("ctranslate2")
    with pytest.raises(InputError, match="model\udcff: the path of a CTranslate2 model must be UTF-8: choose another"):
        export(run, os.fsdecode(b"%s/model\xff" % bytes(tmp_path)), "--format", "ctranslate2")
    assert not list(tmp_path.iterdir())


def test_bad_input_ends_the_program_with_status_2(run, tmp_path):
    command = [sys.executable, "-m", "dragoman", "export", run, tmp_path / "model", "--format", "onnx"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().startswith("error: --format: invalid choice: 'onnx'")
    assert done.stderr.count(b"\n") == 1


def test_a_missing_validation_set_is_reported_with_the_options_to_use(run, tmp_path):
    pytest.importorskip("ctranslate2")
    moved = tmp_path / "run"
    shutil.copytree(run, moved)
    recipe = (moved / "config.toml").read_text()
    (moved / "config.toml").write_text(recipe.replace('corpus = "toy"', 'corpus = "files"'))
    with pytest.raises(InputError, match=r"; or compare other lines with --lines FILE, or none with --report 0$"):
        export(moved, tmp_path / "model", "--format", "ctranslate2")


@pytest.mark.parametrize("package", ["ctranslate2", "safetensors"])
def test_a_missing_package_is_reported_with_the_command_that_installs_it(package, run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        InputError, match=rf"needs the package {package}, which is not installed: pip install '{package}"
    ):
        export(run, tmp_path / "model", "--format", package)


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for name in ("full", "full/file"):
        with pytest.raises(InputError, match=f"{name}: exists already, expected a new or empty directory: choose an"):
            begin_directory(tmp_path / name)
    with pytest.raises(InputError, match=r"file/model\.partial: cannot be written: (Not a directory|File exists)"):
        begin_directory(tmp_path / "full" / "file" / "model")


def test_a_comparison_that_cannot_be_written_is_reported_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"report\.json: cannot be written: (File exists|Not a directory)"):
        write_json(tmp_path / "file" / "report.json", {})


def test_every_format_has_an_extra_of_its_name():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(FORMATS) <= set(extras["optional-dependencies"])

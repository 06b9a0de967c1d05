"""The benchmarks run and print a table and one JSON line. Their measurements need a quiet machine."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from benchmarks import batching, decode, loss_memory, pipeline, rough_text, scaling, time_to_score, train
from benchmarks.trace import PARTS
from data.config import DataConfig
from data.errors import InputError
from data.sources import load_corpora
from dragoman.evaluation.held_out import own_test_sets
from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.perturbations import perturb
from dragoman.runs.run import Run
from dragoman.translation.translator import Translator
from tests.support.paths import ROOT
from tests.support.tiny_run import CONFIG, make_run
from transformer.config import Config, DevicesConfig, ModelConfig, TrainingConfig
from transformer.devices import STRATEGIES
from transformer.model import abstract

# Imitates marian_decode_peer.py, because torch is not installed here.
PEER = """import json, sys
task = json.load(sys.stdin)
assert [len(batch) for batch in task["batches"]] == [4, 3], task["batches"]
sizes = [max(map(len, batch)) for batch in task["batches"]]
assert sizes == sorted(sizes) and len(task["lengths"]) == 2 and min(task["lengths"]) > 0
assert (task["width"], task["encoder_layers"], task["decoder_layers"]) == (32, 1, 2)
print(json.dumps({"seconds": 0.5 * task["beam"]}))
"""


# Imitates the peers of benchmarks/train.py, which are not installed here.
TRAIN_PEER = """import json, sys
precision = sys.argv[sys.argv.index("--precision") + 1]
system = sys.argv[0].rpartition("/")[2] + (", compiled" if "--compiled" in sys.argv else "")
about = {"system": system, "precision": precision, "parameters": 7}
print("the last line counts")
print(json.dumps({**about, "tokens": [10, 60, 80], "seconds": [1.0, 2.0, 4.0]}))
"""


SCRIPTS = [
    path.name
    for path in sorted((ROOT / "benchmarks").glob("*.py"))
    if "peer" not in path.name and "ArgumentParser" in path.read_text(encoding="utf-8")
]


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_runs_as_its_help_says(script):
    """By its path, from the root of the repository, which is not a package that is installed."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, f"benchmarks/{script}", "--help"]
    result = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("usage: ")


def write_captions(directory: Path) -> None:
    """Files of a few short sentences, named as in Multi30k."""
    words = {"one": "ein", "two": "zwei", "red": "rot", "dog": "hund", "runs": "rennt", "house": "haus"}
    for split, count in (("train", 200), ("val", 6), ("test_2016_flickr", 6)):
        sentences = [[list(words)[(n * k + k) % 6] for k in range(1, 4 + n % 4)] for n in range(count)]
        (directory / f"{split}.en").write_text("".join(" ".join(line) + "\n" for line in sentences))
        translated = [" ".join(words[word] for word in line) for line in sentences]
        (directory / f"{split}.de").write_text("".join(line + "\n" for line in translated))


TINY = "--layers 1 --width 16 --heads 2 --feed-forward 32 --vocabulary 320 --batch-tokens 128 --steps 3"


@pytest.mark.slow
def test_training_is_timed_beside_its_peers_and_traced(tmp_path, capsys, monkeypatch):
    write_captions(tmp_path)
    for name, knob in (("marian", "PEER"), ("joey", "JOEY")):
        (tmp_path / name).write_text(TRAIN_PEER)
        monkeypatch.setattr(train, knob, tmp_path / name)
    texts = ["--source", str(tmp_path / "train.en"), "--target", str(tmp_path / "train.de")]
    peers = ["--peer-python", sys.executable, "--peer-precision", "float32", "--peer-compiled"]
    others = ["--joeynmt-python", sys.executable, "--precision", "float32", "--profile", str(tmp_path / "trace")]
    train.main([*texts, *TINY.split(), "--batching", "packed", *peers, *others])
    captured = capsys.readouterr()
    *shown, last = captured.out.strip().split("\n")
    ours, *theirs = json.loads(last)
    assert [(one["system"], one["precision"]) for one in theirs] == [
        ("marian", "float32"), ("marian, compiled", "float32"), ("joey", "float32")
    ]  # fmt: skip
    assert [one["tokens_per_second"] for one in theirs] == [20, 20, 20]
    assert [one["mean_tokens_per_second"] for one in theirs] == [150 / 7] * 3
    assert ours["tokens_per_second"] > 0
    assert ours["device_teraflops"] > 0
    assert ours["utilisation"] is None
    assert any(line.startswith("Dragoman") and f"{ours['tokens_per_second']:,.0f}" in line for line in shown)
    ratio = ours["tokens_per_second"] / 20
    assert shown[-1] == f"Dragoman, float32: {ratio:.2f} times the tokens/s of the fastest peer, marian, float32"
    assert list((tmp_path / "trace" / "float32").rglob("*perfetto_trace*"))
    table = captured.err.partition("of operations in an update, of which\n")[2]
    parts, _, longest = table.partition("longest of an update\n")
    found = {line.split()[0] for line in parts.strip().split("\n")[:-1]}
    assert {"optimizer", "loss", "attention", "projection", "norm", "dropout"} <= found <= {*PARTS, "other"}
    assert sum(bool(re.match(r" +\d+\.\d\d +\d+  \w+ ", line)) for line in longest.split("\n")) == 10


@pytest.mark.parametrize("options", [["--batching", "bucketed"], ["--sampling", "0.1", "--workers", "1"]])
def test_the_text_side_is_timed(tmp_path, capsys, options):
    write_captions(tmp_path)
    files = ["--source", str(tmp_path / "train.en"), "--target", str(tmp_path / "train.de")]
    sizes = ["--vocabulary", "300", "--row-length", "32", "--batch-tokens", "256", "--seconds", "0.3"]
    pipeline.main([*files, *sizes, "--cache", str(tmp_path / "cache"), *options])
    found = json.loads(capsys.readouterr().out.strip().split("\n")[-1])
    assert found["pairs"] == 200
    assert found["target_tokens_per_second"] > 0
    assert found["tokens_per_processor_second"] > 0
    assert found["first_batch_seconds"] > 0
    assert found["resident_mb"] > 20
    assert 0.3 < found["density"] <= 1


def test_sizes_have_a_name_and_each_can_be_changed():
    files = ["--source", "a", "--target", "b"]
    options = train.parse([*files, "--size", "base", "--heads", "4"])
    assert (options.layers, options.width, options.feed_forward, options.vocabulary) == (6, 512, 2048, 8000)
    assert options.heads == 4
    assert train.parse(files).width == train.SIZES["small"]["width"]


def test_one_update_is_too_few_to_tell_how_updates_differ():
    with pytest.raises(InputError, match=r"^--steps is 1: expected 2 or more, to measure how much updates vary$"):
        train.main(["--source", "a", "--target", "b", "--steps", "1"])


@pytest.mark.exhaustive
def test_the_call_for_one_gpu_runs_every_part_and_ends_with_a_table(tmp_path):
    write_captions(tmp_path)
    command = [ROOT / "benchmarks" / "gpu.sh", tmp_path, tmp_path / "out", "--python", sys.executable, "--tiny"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    table = (tmp_path / "out" / "table.txt").read_text()
    assert [line for line in done.stdout.split("\n") if not line.startswith("==> ")] == table.split("\n")
    for pattern in (
        r"train-base +Dragoman, float32 +[\d,]+ tokens/s \(mean [\d,]+\), \S+ TFLOP/s, compiled in \d+ s",
        r"train-big +Dragoman, float32 +[\d,]+ tokens/s \(mean [\d,]+\), \S+ TFLOP/s, compiled in \d+ s",
        r"multi30k +Dragoman +\d+\.\d\d lower-cased BLEU, \d+\.\d\d cased, in \d+\.\d minutes",
        r"decode +Dragoman, float32, beam 4 +[\d,]+ tokens/s",
    ):
        assert re.search(f"^{pattern}$", table, re.MULTILINE), (pattern, table)


@pytest.mark.parametrize(
    ("present", "options", "message"),
    [
        (["out/decode.log"], [], "error: {0}/out/decode.log exists: name a new directory\n"),
        ([], [], "error: {0} holds neither train.en nor train.en.gz\n"),
        ([], ["--only", "train-base,x"], "error: --only: no part x: there are train-base, multi30k, train-big and de"),
        (["train.en", "train.de", "test_2016_flickr.en"], [], "error: {0} holds neither val.en nor val.en.gz\n"),
    ],
)
def test_the_call_for_one_gpu_refuses_what_it_cannot_use_in_one_line(tmp_path, present, options, message):
    for name in present:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    command = [ROOT / "benchmarks" / "gpu.sh", tmp_path, tmp_path / "out", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(message.format(tmp_path))
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.out"))


def test_a_part_that_its_limit_cuts_off_says_how_far_it_got_and_the_next_one_goes_on(tmp_path):
    write_captions(tmp_path)
    command = [ROOT / "benchmarks" / "gpu.sh", tmp_path, tmp_path / "out", "--python", sys.executable, "--tiny"]
    command += ["--limit", "1", "--only", "train-base,train-big"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    table = (tmp_path / "out" / "table.txt").read_text()
    for part in ("train-base", "train-big"):
        assert re.search(rf"^{part} +cut off after 1 s: .+ \(see {part}.log\)$", table, re.MULTILINE), table


def test_the_call_for_one_gpu_refuses_a_python_without_one(tmp_path):
    write_captions(tmp_path)
    command = [ROOT / "benchmarks" / "gpu.sh", tmp_path, tmp_path / "out", "--python", sys.executable]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "JAX_PLATFORMS": "cpu"}
    )
    assert (done.returncode, done.stderr) == (2, f"error: {sys.executable}: AssertionError: JAX finds no GPU\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_decoding_is_timed_beside_its_peers(tmp_path, capsys, monkeypatch):
    pytest.importorskip("ctranslate2")
    run = make_run(tmp_path / "run")
    lines = [pair.source for pair in load_corpora(CONFIG.data, "test")[0].pairs if len(pair.source) < 13][:7]
    (tmp_path / "source").write_text("\n".join(["", *lines, "not read"]))
    (tmp_path / "peer.py").write_text(PEER)
    monkeypatch.setattr(decode, "PEER", tmp_path / "peer.py")
    arguments = ["--lines", "8", "--repeats", "2", "--batch-size", "4", "--precision", "float32"]
    decode.main([str(run), str(tmp_path / "source"), *arguments, "--peer-python", sys.executable])
    *shown, last = capsys.readouterr().out.strip().split("\n")
    assert f"{run}: 7 lines (1 left out: blank or too long), peers in batches of 4, 2 rounds" in shown
    found = json.loads(last)
    systems = ["Dragoman", "CTranslate2", "CTranslate2", "transformers MarianMTModel"]
    assert [(one["system"], one["beam"]) for one in found] == [(name, beam) for beam in (5, 1) for name in systems]
    for one in found:
        assert len(one["seconds"]) == 2
        assert one["tokens_per_second"] / one["sentences_per_second"] == pytest.approx(one["tokens"] / 7)
        assert any(line.startswith(one["system"]) and f"{one['tokens_per_second']:,.0f}" in line for line in shown)
    assert found[3]["sentences_per_second"] == pytest.approx(7 / 2.5)
    assert sum("first time" in line for line in shown) == 2


@pytest.mark.slow
def test_packed_and_bucketed_batches_are_compared_in_alternation(tmp_path, capsys):
    write_captions(tmp_path)
    sizes = "--layers 1 --vocabulary 320 --row-length 16 --batch-tokens 128 --buckets 2 --updates 8"
    batching.main(["--source", str(tmp_path / "train.en"), "--target", str(tmp_path / "train.de"), *sizes.split()])
    packed, bucketed = json.loads(capsys.readouterr().out.rstrip("\n").rpartition("\n")[2])
    assert (packed["batching"], packed["shapes"]) == ("packed", 1)
    assert (bucketed["batching"], bucketed["shapes"] <= 2) == ("bucketed", True)
    assert 0 < packed["padding"] < 1
    assert 0 < bucketed["padding"] < 1


@pytest.mark.parametrize("option", ["--lines", "--repeats", "--batch-size"])
def test_counts_below_one_are_refused(option):
    with pytest.raises(InputError, match=f"^{option} is 0: expected 1 or more$"):
        decode.main(["run", "source", option, "0"])


def test_the_chunked_loss_takes_less_memory_than_the_plain_one_for_the_same_value(capsys):
    data = ["--data.vocabulary_size", "4000", "--data.row_length", "64", "--data.maximum_tokens", "64"]
    layers = ["--model.encoder_layers", "1", "--model.decoder_layers", "1", "--model.precision", "float32"]
    sizes = ["--model.width", "32", "--model.heads", "2", "--model.feed_forward", "32"]
    loss_memory.main([*data, *layers, *sizes, "--training.batch_tokens", "2048"])
    *shown, last = capsys.readouterr().out.strip().split("\n")
    plain, chunked = json.loads(last)["results"]
    assert chunked["value"] == pytest.approx(plain["value"], rel=1e-5)
    logits = 4000 * 2048 * 4
    assert plain["temporary_and_results"] > 2 * logits
    assert chunked["temporary_and_results"] < plain["temporary_and_results"] / 2
    assert chunked["peak_resident"] < plain["peak_resident"]
    assert shown[-1].startswith("share")


def finished_run(directory: Path, bleu: dict[int, float], *, kept: dict[int, float] | None = None, **training) -> str:
    """A run with checkpoints and a log: 2 s per update, 7 s of compilation before them, 20 s per validation."""
    config = CONFIG.model_copy(update={"training": TrainingConfig(**training)})
    make_run(directory, config, bleu=kept or bleu)
    clock = 1000.0
    for step in range(5, 35, 5):
        compilation = 7.0 if step == 5 else 0.0
        clock += 5 * 2 + compilation
        about = {"step": step, "time": clock, "learning_rate": 0.1, "compile_seconds": compilation}
        Run(directory).append_metrics(about)
        if step in bleu:
            clock += 20
            Run(directory).append_metrics({"step": step, "time": clock, "bleu": bleu[step]})
    return str(directory)


def test_the_time_to_a_score_is_that_of_validation_and_only_tuned_runs_meet_the_test_set(tmp_path, capsys):
    """Step 20 is reached after 20 x 2 s of updates, 7 s of compilation and the validations of steps 10 and 20."""
    scores = {10: 1.0, 20: 5.0, 30: 9.0}
    free = {"optimizer": "schedule_free", "schedule": "constant"}
    runs = [
        finished_run(tmp_path / "slow", scores | {20: 3.0}, learning_rate=0.003),
        finished_run(tmp_path / "fast", scores, learning_rate=0.001),
        finished_run(tmp_path / "worse", scores | {20: 4.5}, learning_rate=0.002),
        finished_run(tmp_path / "pruned", scores, kept={10: 1.0, 30: 9.0}, **free),
        finished_run(tmp_path / "never", {10: 1.0, 30: 3.5}, optimizer="muon"),
        finished_run(tmp_path / "lost", scores, kept={10: 1.0}, optimizer="muon", learning_rate=0.1),
    ]
    time_to_score.main([*runs, "--validation", "4", "--target", "99"])
    *shown, last = capsys.readouterr().out.strip().split("\n")
    found = {Path(row["run"]).name: row for row in json.loads(last)}
    assert {name: row["step"] for name, row in found.items()} == {
        "slow": 30, "fast": 20, "worse": 20, "pruned": 30, "never": None, "lost": None
    }  # fmt: skip
    assert found["fast"]["minutes"] == pytest.approx((20 * 2 + 7 + 2 * 20) / 60)
    assert found["fast"]["training_minutes"] == pytest.approx(20 * 2 / 60)
    assert {name for name, row in found.items() if "bleu" in row} == {"fast", "pruned"}
    [test_set] = own_test_sets(CONFIG, "test")
    translator = Translator.load(f"{runs[1]}/checkpoints/20")
    metric = METRICS["bleu_lowercased_tokenized"]
    expected = metric.score(translator.translate(test_set.sources), test_set.reference, "de").score
    assert found["fast"]["bleu_lowercased_tokenized"] == expected
    lines = {line.rpartition("/")[2]: line for line in shown}
    assert " no " in lines["fast"]
    assert " no " not in lines["slow"]
    assert " 30* " in lines["pruned"]
    assert "not reached: best validation BLEU 3.50" in lines["never"]
    assert "reached, but no checkpoint is kept" in lines["lost"]
    assert shown[-1].startswith("*: an earlier validation reached it")


def test_a_log_too_short_to_tell_the_pace_is_refused(tmp_path):
    run = Run(make_run(tmp_path / "run"))
    run.append_metrics({"step": 10, "time": 1.0, "bleu": 9.0})
    with pytest.raises(InputError, match=r"metrics.jsonl: does not begin with two lines of training: lower training.l"):
        time_to_score.main([str(run.path), "--validation", "4"])


SMALL = Config(
    data=DataConfig(vocabulary_size=100, row_length=8, maximum_tokens=8),
    model=ModelConfig(encoder_layers=1, decoder_layers=1, width=4, heads=2, feed_forward=6),
)


def test_operations_and_bytes_of_an_update_are_those_counted_by_hand():
    """Two tokens on each of two devices. A multiply-add is two operations; backward costs two forward passes."""
    case = scaling.Case(scaling.H100, data=2, fsdp=1, tokens=4)
    attention = 4 * 4 * 4 + 2 * 8 * 4
    layers = (attention + 2 * 4 * 6) + (2 * attention + 2 * 4 * 6)
    assert scaling.step_flops(SMALL, case) == 2 * 3 * 4 * (layers + 4 * 100)
    assert scaling.activation_bytes(SMALL, case) == 2 * ((44 + 80 + 36 + 16) + (2 * (44 + 80) + 36 + 24))
    assert scaling.ring_all_reduce(100, 4) == 150
    assert scaling.ring_gather(100, 4) == 75
    parameters = scaling.parameter_sizes(SMALL)
    assert parameters["target_embedding/table"] == 400
    total = sum(parameters.values())
    assert scaling.sent_bytes(parameters, case) == 4 * total
    assert scaling.state_bytes(parameters, 1) == 16 * total
    shared = case._replace(data=1, fsdp=2)
    assert scaling.sent_bytes(parameters, shared) == 4 * total
    assert scaling.state_bytes(parameters, 2) == 16 * scaling.held_values(parameters, 2) + 4 * total


def test_an_update_of_one_stack_is_counted_by_hand_too():
    """A decoder-only model reads 16 tokens of a row of both sides; a denoising encoder predicts a quarter of 8."""
    case = scaling.Case(scaling.H100, data=2, fsdp=1, tokens=4)
    one = SMALL.model_copy(update={"model": SMALL.model.model_copy(update={"assembly": "decoder_only"})})
    layer = (4 * 4 * 4 + 2 * 16 * 4) + 2 * 4 * 6
    assert scaling.step_flops(one, case) == 2 * 3 * (8 * layer + 4 * 4 * 100)
    assert scaling.activation_bytes(one, case) == 2 * 2 * (44 + 160 + 36 + 16)
    data = SMALL.data.model_copy(update={"denoise_share": 0.25})
    model = SMALL.model.model_copy(update={"assembly": "denoising_encoder"})
    one = SMALL.model_copy(update={"model": model, "data": data})
    layer = (4 * 4 * 4 + 2 * 8 * 4) + 2 * 4 * 6
    assert scaling.step_flops(one, case) == 2 * 3 * (4 * layer + 1 * 4 * 100)
    assert scaling.activation_bytes(one, case) == 2 * (44 + 80 + 36 + 16)
    assert not any("decoder" in path for path in scaling.parameter_sizes(one))


def test_what_a_device_holds_is_what_the_mesh_gives_it():
    config = SMALL.model_copy(update={"devices": DevicesConfig(data=1, fsdp=2)})
    graph, shapes = abstract(config.model, 100, 100)
    template = STRATEGIES["mesh"](graph, config).template(shapes).parameters
    held = sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) for leaf in jax.tree.leaves(template))
    assert scaling.held_values(scaling.parameter_sizes(config), 2) == held


def test_the_page_on_scaling_shows_what_the_script_prints(capsys):
    scaling.main([])
    *shown, _ = capsys.readouterr().out.strip().split("\n")
    page = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    assert "\n".join(f"    {line}".rstrip() for line in shown) in page


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

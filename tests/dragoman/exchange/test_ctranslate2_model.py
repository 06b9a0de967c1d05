"""CTranslate2 computes what the run computes, for every architecture that it can express; others are rejected."""

import re
from pathlib import Path

import numpy as np
import pytest

from data.errors import InputError
from data.vocabulary.tokenizer import Tokenizer
from dragoman.exchange import Trained, ctranslate2_spec
from dragoman.exchange.ctranslate2_model import QUANTIZATIONS, write_ctranslate2
from tests.support.tiny_export import LINES, config_with, export, random_model

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


def parity_of(trained: Trained, tokenizer: Tokenizer, directory: Path, quantization: str = "float32"):
    pytest.importorskip("ctranslate2")
    from dragoman.exchange import parity, reference, standalone

    write_ctranslate2(trained, directory, quantization=quantization)
    ours = reference.make_reference(trained, tokenizer.encode_source(LINES), range(1, len(LINES) + 1))
    return parity.compare(ours, standalone.Translator(directory, intra_threads=1), LINES)


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
    monkeypatch.setattr(ctranslate2_spec, table, changed)
    found = parity_of(*random_model(tokenizers["joint"], config_with(**model)), tmp_path)
    assert re.match(r"a token's score differs by \S+, more than 1e-04", found.problems()[0])


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

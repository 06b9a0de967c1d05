import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.batch import Batch
from data.errors import InputError
from data.vocabulary.tokenizer import Tokenizer
from dragoman.exchange import FORMATS
from dragoman.exchange.safetensors_file import read_safetensors
from dragoman.translation.translator import Translator
from tests.support.tiny_export import config_with, export, random_model
from tests.support.tiny_run import CONFIG
from transformer.model import merge


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

import json
import shutil
import sys
from typing import ClassVar

import pytest
import tensorflow_datasets as tfds

from data.batch import Pair
from data.config import DataConfig
from data.errors import InputError
from data.sources import load_corpora
from data.sources.corpus import fetch
from data.sources.tfds import main

TEXTS = {
    "train": [(f"line {n}\n", f"Zeile {n} ä\u2028\n") for n in range(20)],
    "validation": [("a", "x")],
    "test": [("b", "")],
}


class TinyTranslate(tfds.core.GeneratorBasedBuilder):
    """A translation data set of a few lines, as TFDS defines them."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name="de-en")]

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.Translation(languages=("de", "en")))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in TEXTS}

    def _generate_examples(self, split):
        for index, (english, german) in enumerate(TEXTS[split]):
            yield index, {"en": english, "de": german}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tfds")
    sys.argv, before = ["prepare", "tiny_translate/de-en", "--directory", str(directory)], sys.argv
    main()
    sys.argv = before
    return directory


def config_of(directory, dataset="tiny_translate/de-en", **knobs):
    return DataConfig(corpus="tfds", dataset=dataset, directory=str(directory), **knobs)


def test_a_prepared_data_set_gives_its_splits_as_lines_of_text(prepared):
    (train,) = load_corpora(config_of(prepared, cleaning="none"), "train")
    assert sorted(train.pairs) == sorted(Pair(f"line {n}", f"Zeile {n} ä ") for n in range(20))
    assert list(fetch(train.pairs, [3, 1])) == [train.pairs[3], train.pairs[1]]
    assert list(load_corpora(config_of(prepared), "validation")[0].pairs) == [Pair("a", "x")]
    assert "tensorflow" not in sys.modules


def test_the_languages_decide_the_direction(prepared):
    (corpus,) = load_corpora(config_of(prepared, source_language="de", target_language="en"), "validation")
    assert list(corpus.pairs) == [Pair("x", "a")]


def test_a_recipe_can_name_parts_of_splits(prepared):
    config = config_of(prepared, train=[["train[25%:]"]], validation=[["train[:25%]"]])
    (train,), (validation,) = load_corpora(config, "train"), load_corpora(config, "validation")
    assert (len(train.pairs), len(validation.pairs)) == (15, 5)
    assert not set(train.pairs) & set(validation.pairs)
    assert train.fingerprint != validation.fingerprint


def test_an_unprepared_data_set_is_reported_with_the_command_that_prepares_it(tmp_path):
    command = (
        rf"not prepared in {tmp_path}: run python -m data\.sources\.tfds wmt14_translate/de-en --directory {tmp_path}"
    )
    with pytest.raises(InputError, match=command):
        load_corpora(config_of(tmp_path, "wmt14_translate/de-en"), "train")


def test_a_data_set_in_another_format_is_refused(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    info = tmp_path / "tiny_translate/de-en/1.0.0/dataset_info.json"
    text = json.loads(info.read_text(encoding="utf-8"))
    info.write_text(json.dumps(text | {"fileFormat": "tfrecord"}), encoding="utf-8")
    with pytest.raises(InputError, match="prepared as tfrecord, which needs TensorFlow"):
        load_corpora(config_of(tmp_path), "train")


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"target_language": "fr"}, "no language 'fr': it has de, en"),
        ({"train": [["dev"]]}, "no split 'dev': it has .*train.*: name one in the recipe"),
        ({"dataset": ""}, "data.dataset is empty"),
    ],
)
def test_bad_names_list_the_known_ones(prepared, knobs, message):
    with pytest.raises(InputError, match=message):
        load_corpora(config_of(prepared, **knobs), "train")

"""Exports to CTranslate2 (Klein et al. 2020), a C++ engine, in float32 or with quantised weights."""

import json
import shutil
from pathlib import Path
from typing import Any

from data import text
from data.errors import InputError
from data.languages import language_of
from data.text.statistics import SOURCE_TEXT, SourceStatistics
from dragoman.exchange import readme
from dragoman.exchange.ctranslate2_spec import build_spec
from dragoman.exchange.trained import Trained, require
from dragoman.runs.recipe import toml_value
from transformer.config import DecodingConfig

QUANTIZATIONS = ("float32", "float16", "int16", "int8", "int8_float32", "int8_float16")
STANDALONE = Path(__file__).with_name("standalone.py")
DATA = Path(text.__file__).parents[1]
TEXT_MODULES = (DATA / "__init__.py", *sorted((DATA / "text").glob("*.py")))
"""The modules that standalone.py imports: an export carries copies, so that both prepare text in the same way."""


def write_ctranslate2(trained: Trained, directory: Path, *, quantization: str = "float32") -> None:
    """Write a directory that CTranslate2 loads, with tokenizer, translate.py and README.

    InputError names an option that CTranslate2 cannot express.
    """
    require("ctranslate2")
    check_search(trained.config.decoding)
    spec = build_spec(trained)
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(directory))
    for path in trained.tokenizers:
        shutil.copy(path, directory / path.name)
    about = standalone_settings(trained) | {"quantization": quantization}
    (directory / "dragoman.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    shutil.copy(STANDALONE, directory / "translate.py")
    (directory / SOURCE_TEXT).write_text(SourceStatistics(usual=trained.rules.usual).as_json(), encoding="utf-8")
    for path in TEXT_MODULES:
        copy = directory / "data" / path.relative_to(DATA)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    tokenizers = ", ".join(f"`{path.name}`" for path in trained.tokenizers)
    about_it = readme.CTRANSLATE2.format(**about, tokenizers=tokenizers, formula=readme.PENALTIES[about["penalty"]])
    (directory / "README.md").write_text(about_it, encoding="utf-8")


def standalone_settings(trained: Trained) -> dict[str, Any]:
    """The settings for translate.py in the exported directory: tokenizer files, length limits and search."""
    model, data = trained.config.model, trained.config.data
    carried = {knob for knob, facts in DecodingConfig.facts().items() if facts["export"] == "carried"}
    return {
        "run": trained.run,
        "step": trained.step,
        "source_language": data.source_language,
        "target_language": data.target_language,
        "assembly": model.assembly,
        "has_spaces": language_of(data.target_language).has_spaces,
        "source": {name: value for name, value in trained.rules._asdict().items() if name != "usual"},
        "source_tokenizer": trained.tokenizers[0].name,
        "target_tokenizer": trained.tokenizers[-1].name,
        "maximum_tokens": min(data.maximum_tokens, model.maximum_length),
        "maximum_length": model.maximum_length,
        **trained.config.decoding.model_dump(include=carried),
    }


def check_search(decoding: DecodingConfig) -> None:
    """InputError for a search knob that CTranslate2 cannot reproduce.

    CTranslate2 has no equivalent of knobs whose `export` is "default_only": it redistributes the probability of
    forbidden tokens, and penalises repetition differently. "unused" knobs have no effect while these have their
    defaults.
    """
    for knob, facts in DecodingConfig.facts().items():
        value, usual = getattr(decoding, knob), DecodingConfig.model_fields[knob].default
        if facts["export"] == "default_only" and value != usual:
            raise InputError(
                f"decoding.{knob} is {toml_value(value)}, which CTranslate2 cannot reproduce: "
                f"--decoding.{knob} {toml_value(usual)} exports the run without it"
            )

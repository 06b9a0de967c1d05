"""Recipes and overrides: the errors of broken ones, and a config that survives being written."""

import re
from pathlib import Path

import pytest

from data.errors import InputError
from dragoman.runs.recipe import read_recipe, read_stored, toml_text
from transformer.config import Config

BROKEN = {
    "a misspelt key": ("[model]\nwidht = 8", "unknown key model.widht; did you mean model.width?"),
    "a key of another section": ("[model]\nsteps = 8", "unknown key model.steps; did you mean training.steps?"),
    "a key far from any": ("[model]\nzzzz = 8", "unknown key model.zzzz"),
    "a misspelt section": ("[modle]\nwidth = 8", "unknown section modle; did you mean model?"),
    "a section far from any": (
        "[zzzz]\nwidth = 8",
        "unknown section zzzz; known are data, model, training, decoding, devices",
    ),
    "a key outside of sections": ("width = 8", "unknown key width, outside of any section; did you mean model.width?"),
    "a section that is a value": ("model = 3", "model must be a section, [model], found 3"),
    "text for a whole number": (
        "[model]\nwidth = 'wide'",
        "model.width must be a whole number, at least 2 and at most 32768, found 'wide'",
    ),
    "a fraction for a whole number": (
        "[model]\nwidth = 4.5",
        "model.width must be a whole number, at least 2 and at most 32768, found 4.5",
    ),
    "another word than auto": (
        "[training]\nbatch_tokens = 'most'",
        "training.batch_tokens must be a whole number, at least 16, or auto, found 'most'",
    ),
    "a number too small where a word would do": (
        "[training]\nbatch_tokens = 4",
        "training.batch_tokens must be a whole number, at least 16, or auto, found 4",
    ),
    "a truth value for a whole number": (
        "[model]\nheads = true",
        "model.heads must be a whole number, at least 1, found true",
    ),
    "text for a number": (
        "[model]\ndropout = '0.1'",
        "model.dropout must be a number, at least 0 and below 1, found '0.1'",
    ),
    "a number for text": ("[data]\ndirectory = 3", "data.directory must be text, found 3"),
    "text for a truth value": (
        "[data]\nbyte_fallback = 'yes'",
        "data.byte_fallback must be true or false, found 'yes'",
    ),
    "an unknown choice": ("[model]\nnorm = 'lyer'", "model.norm must be one of layer, rms, found 'lyer'"),
    "a number for a list": (
        "[data]\ntrain_weights = 3",
        "data.train_weights must be a list of numbers, found 3",
    ),
    "a list that is too shallow": (
        "[data]\ntrain = ['a.en', 'a.de']",
        "data.train must be a list of lists of texts, found 'a.en'",
    ),
    "a negative size": (
        "[model]\nwidth = -8",
        "model.width must be a whole number, at least 2 and at most 32768, found -8",
    ),
    "a dropout of one": ("[model]\ndropout = 1.0", "model.dropout must be a number, at least 0 and below 1, found 1.0"),
    "not a number": (
        "[training]\nlearning_rate = nan",
        "training.learning_rate must be a number, above 0, found nan",
    ),
    "infinity": ("[training]\nclip = inf", "training.clip must be a number, at least 0, found inf"),
    "a number that no array holds": (
        "[training]\nwarmup_steps = 2147483648",
        "training.warmup_steps is 2147483648, expected a whole number below 2147483648",
    ),
    "a number beyond float32": (
        "[training]\nlearning_rate = 1e39",
        "training.learning_rate is 1e+39, too large for float32: expected at most 3.4e+38",
    ),
    "a number that float32 rounds to 0": (
        "[decoding]\nsampling = true\ntemperature = 1e-39",
        "decoding.temperature is 1e-39, 0 in float32: expected at least 1.2e-38",
    ),
    "a list with a number beyond float32": (
        "[data]\ntrain_weights = [1.0, 1e308]",
        "data.train_weights is 1e+308, too large for float32: expected at most 3.4e+38",
    ),
    "a whole number that no float holds": (
        f"[training]\nclip = 1{'0' * 400}",
        f"training.clip must be a number, at least 0, found 1{'0' * 56}...",
    ),
    "a number of thousands of digits": (
        f"[training]\nsteps = 1{'0' * 5000}",
        "not a recipe: a number has more than 4300",
    ),
    "layers that take hours to describe": (
        "[model]\nencoder_layers = 100000000",
        "model.encoder_layers must be a whole number, at least 1 and at most 1000, found 100000000",
    ),
    "more rows side by side than any device decodes": (
        "[decoding]\nrows = 10000000",
        "decoding.rows must be a whole number, at least 0 and at most 65536, found 10000000",
    ),
    "a length penalty that makes every score 0": (
        "[decoding]\nlength_penalty = 1e9",
        "decoding.length_penalty must be a number, at least 0 and at most 10, found 1000000000.0",
    ),
    "more finished hypotheses than can be counted": (
        "[decoding]\npatience = 1e38",
        "decoding.patience must be a number, above 0 and at most 1000, found 1e+38",
    ),
    "a coverage that SentencePiece rejects": (
        "[data]\ncharacter_coverage = 0.5",
        "data.character_coverage must be a number, at least 0.98 and at most 1, found 0.5",
    ),
    "an empty language": ("[data]\nsource_language = ''", "data.source_language must be text, not empty, found ''"),
    "heads that do not divide the width": (
        "[model]\nwidth = 10\nheads = 4",
        "model.width is 10, which is not divisible by model.heads, 4",
    ),
    "rotary heads of odd width": (
        "[model]\nwidth = 6\nheads = 2\npositions = 'rotary'",
        "model.width is 6: positions need an even width, and rotary ones even heads",
    ),
    "tied embeddings of two vocabularies": (
        "[data]\nvocabulary = 'separate'",
        'model.tied is "all", which needs data.vocabulary "joint": use "output" or "none"',
    ),
    "rows shorter than sentences": (
        "[data]\nrow_length = 8",
        "data.row_length is 8, shorter than data.maximum_tokens, 128",
    ),
    "sentences longer than positions": (
        "[model]\nmaximum_length = 8",
        "data.maximum_tokens is 128, longer than model.maximum_length, 8",
    ),
    "pmap with sharded parameters": (
        "[devices]\nstrategy = 'pmap'\nfsdp = 2",
        'devices.strategy "pmap" only replicates: devices.fsdp and devices.tensor must be 1',
    ),
    "broken syntax": (
        "[model]\nwidth 8",
        "not TOML: Expected '=' after a key in a key/value pair (at line 2, column 7)",
    ),
    "a key twice": ("[model]\nwidth = 8\nwidth = 8", "not TOML: Cannot overwrite a value (at end of document)"),
    "endless nesting": ("x = " + "[" * 100_000, "not a recipe: nested too deeply"),
    "two errors": (
        "[model]\nwidth = 1\nheads = 0",
        "model.width must be a whole number, at least 2 and at most 32768, found 1 (and 1 more)",
    ),
}


def refusal(path: Path, overrides: dict[str, str] | None = None) -> str:
    """The error message for a recipe."""
    with pytest.raises(InputError) as caught:
        read_recipe(path, overrides or {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_recipe_is_refused_in_one_line_naming_the_file_and_the_key(case: str, tmp_path: Path) -> None:
    text, message = BROKEN[case]
    path = tmp_path / "x.toml"
    path.write_text(text, encoding="utf-8")
    assert refusal(path).startswith(f"{path}: {message}")


def test_a_path_without_text_is_rejected(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"[model]\n# caf\xe9\n")
    assert refusal(tmp_path / "no.toml") == f"{tmp_path}/no.toml: no such file"
    assert refusal(tmp_path) == f"{tmp_path}: is a directory, expected a file"
    assert refusal(binary) == f"{binary}: line 2 is not UTF-8: found byte 0xe9"
    assert re.fullmatch(r"a\x00b: cannot be read: .*null.*", refusal(Path("a\0b")))
    assert refusal(binary / "x") == f"{binary}/x: cannot be read: Not a directory"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "x.toml"
    path.write_text("[model]\nwidth = 64\n")
    return path


def test_overrides_win_over_the_recipe_which_wins_over_the_defaults(recipe: Path) -> None:
    given = {"model.heads": "4", "training.learning_rate": "1", "data.byte_fallback": "false", "model.norm": "rms"}
    given |= {"data.train": '[["a.en", "a.de"]]', "data.source_language": "no", "data.directory": "2024"}
    config = read_recipe(recipe, given)
    assert (config.model.width, config.model.heads, config.model.feed_forward) == (64, 4, 2048)
    assert (config.training.learning_rate, config.data.byte_fallback, config.model.norm) == (1.0, False, "rms")
    assert (config.data.train, config.data.source_language) == ([["a.en", "a.de"]], "no")
    assert config.data.directory == "2024"
    assert read_recipe(recipe, {"model.width": "32"}).model.width == 32


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("data.directory", "dir\udcff", "--data.directory is not UTF-8, from character 4 on: type it in UTF-8; of"),
        ("model.widht", "8", "--model.widht: unknown option; did you mean --model.width?"),
        (
            "model.width",
            "wide",
            "--model.width: model.width must be a whole number, at least 2 and at most 32768, found 'wide'",
        ),
        (
            "model.width",
            "1e3",
            "--model.width: model.width must be a whole number, at least 2 and at most 32768, found 1000.0",
        ),
        (
            "model.width",
            "8\nheads = 3",
            "--model.width: model.width must be a whole number, at least 2 and at most 32768, found '8\\n",
        ),
        (
            "model.width",
            "1" * 5000,
            f"--model.width: model.width must be a whole number, at least 2 and at most 32768, found '{'1' * 56}...",
        ),
        ("model.heads", "3", "--model.heads: model.width is 64, which is not divisible by model.heads, 3"),
        ("training.clip", "inf", "--training.clip: training.clip must be a number, at least 0, found inf"),
        (
            "data.byte_fallback",
            "False",
            "--data.byte_fallback: data.byte_fallback must be true or false, found 'False'",
        ),
        ("data.toy_task", "", "--data.toy_task: data.toy_task must be one of copy, reverse, found ''"),
    ],
)
def test_a_broken_override_is_refused_in_one_line_naming_the_option(
    recipe: Path, key: str, value: str, message: str
) -> None:
    assert refusal(recipe, {key: value}).startswith(message)


def test_a_long_wrong_value_is_quoted_in_part(recipe: Path) -> None:
    assert refusal(recipe, {"model.width": "x" * 500}).endswith("found '" + "x" * 56 + "...")


def test_a_config_written_as_toml_reads_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    odd = 'a "quoted" \\ \t \x01 \x7f \u2028 é 😀 name'
    data = {"directory": odd, "train": [[odd, "b"], ["c.tsv"]], "train_weights": [1e-05, 1e22]}
    config = Config.model_validate({"data": data, "training": {"learning_rate": 1.2e-38}})
    path.write_text(toml_text(config), encoding="utf-8")
    assert read_recipe(path) == config


@pytest.mark.parametrize("kernel", ["cudnn", "triton", "mosaic"])
def test_the_kernel_of_a_library_becomes_ours_in_a_stored_config_and_is_refused_in_a_recipe(tmp_path, kernel):
    path, text, now = tmp_path / "config.toml", toml_text(Config()), 'attention_kernel = "auto"'
    assert now in text
    path.write_text(text.replace(now, f'attention_kernel = "{kernel}"'))
    assert read_stored(path).model.attention_kernel == "pallas"
    with pytest.raises(InputError, match=rf"model.attention_kernel.*{kernel}"):
        read_recipe(path)


def test_a_stored_config_that_was_emptied_or_cut_is_damaged_and_not_one_of_defaults(tmp_path):
    path, text = tmp_path / "config.toml", toml_text(Config())
    for kept, missing in (
        ("", r"lacks data\.corpus and \d\d more of the knobs that a run stores"),
        (text[: text.index("[decoding]")], r"lacks decoding\.beam and \d\d more of the knobs that a run stores"),
        (text[: text.index("peak_tflops")], r"lacks devices\.peak_tflops of the knobs that a run stores"),
    ):
        path.write_text(kept)
        assert read_recipe(path) == Config()
        with pytest.raises(InputError, match=rf"config\.toml: damaged: {missing}: restore the file$"):
            read_stored(path)
    path.write_text(text.replace("width = ", "widht = ", 1))
    with pytest.raises(InputError, match=r"config\.toml: unknown key model\.widht; did you mean model\.width"):
        read_stored(path)

"""Parallel text in files: two files, line by line, or one file with tab-separated columns or JSON lines."""

import json
from collections.abc import Callable
from pathlib import Path

from data.batch import Pair
from data.config import DataConfig
from data.errors import InputError
from data.lines import LineFile, find_file, read_lines
from data.sources.corpus import Corpus, LazyPairs, Split, fingerprint_of, has_text
from data.text.cleaning import one_line

SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
BLANK = Pair("", "")


def load_files(config: DataConfig, split: Split) -> list[Corpus]:
    """The corpora that a recipe lists for a split; if it lists none, SPLIT.LANGUAGE in the directory."""
    listed: list[list[str]] = getattr(config, split) or [_find_split(config, split)]
    corpora = [_load(config, names) for names in listed]
    if split != "train" or not config.train_weights:
        return corpora
    if len(config.train_weights) != len(corpora):
        raise InputError(
            f"data.train_weights: {len(config.train_weights)} weights for {len(corpora)} corpora: give one each"
        )
    if min(config.train_weights) <= 0:
        raise InputError(f"data.train_weights: found {min(config.train_weights)}: weights must be above 0")
    return [corpus._replace(weight=weight) for corpus, weight in zip(corpora, config.train_weights, strict=True)]


def _find_split(config: DataConfig, split: Split) -> list[str]:
    for name in SPLIT_NAMES[split]:
        files = [f"{name}.{config.source_language}", f"{name}.{config.target_language}"]
        try:
            find_file(Path(config.directory, files[0]))
        except InputError:
            continue
        return files
    names = ", ".join(f"{name}.{config.source_language}" for name in SPLIT_NAMES[split])
    raise InputError(
        f"data.directory {config.directory or '.'}: no {names} (or with .gz, .xz): name the files in data.{split}"
    )


def _load(config: DataConfig, names: list[str]) -> Corpus:
    if len(names) not in (1, 2):
        raise InputError(f"corpus {names}: expected [source file, target file] or [one .tsv or .jsonl file]")
    files = [read_lines(Path(config.directory, name)) for name in names]
    read = _aligned(*files) if len(files) == 2 else _table(files[0], config)
    kept = [index for index in range(len(files[0])) if has_text(read(index))]
    if not kept:
        raise InputError(f"{files[0].name}: no pair with text on both sides, in {len(files[0])} lines")
    dropped = {"empty side": len(files[0]) - len(kept)}
    return Corpus(" ".join(names), LazyPairs(read, kept), None, dropped, fingerprint_of(file.sha256 for file in files))


def _aligned(source: LineFile, target: LineFile) -> Callable[[int], Pair]:
    if len(source) != len(target):
        raise InputError(
            f"{source.name} has {len(source)} lines and {target.name} has {len(target)}: line n of one must translate "
            "line n of the other"
        )
    return lambda index: Pair(source[index], target[index])


def _table(lines: LineFile, config: DataConfig) -> Callable[[int], Pair]:
    """A reader of lines such as "Hello\\tHallo", or {"en": "Hello", "de": "Hallo"}, or with "source" and "target"."""
    suffix = Path(lines.name.removesuffix(".gz").removesuffix(".xz")).suffix
    if suffix not in (".tsv", ".jsonl"):
        raise InputError(f"{lines.name}: a corpus in one file is .tsv or .jsonl: rename it, or name a second file")
    parse = _columns if suffix == ".tsv" else _json_object
    languages = (config.source_language, config.target_language)

    def read(index: int) -> Pair:
        line = lines[index]
        return parse(line, f"{lines.name}, line {index + 1}", languages) if line.strip(" ") else BLANK

    return read


def _columns(line: str, where: str, languages: tuple[str, str]) -> Pair:
    columns = line.split("\t")
    if len(columns) != 2:
        raise InputError(
            f"{where}: {len(columns)} columns: expected 2, {languages[0]} and {languages[1]}, with a tab between"
        )
    return Pair(*columns)


def _json_object(line: str, where: str, languages: tuple[str, str]) -> Pair:
    """The pair of a JSON object. Line breaks inside its texts become spaces."""
    try:
        record = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: not JSON: {error}") from None
    for keys in (languages, ("source", "target")):
        if isinstance(record, dict) and all(isinstance(record.get(key), str) for key in keys):
            return Pair(one_line(record[keys[0]]), one_line(record[keys[1]]))
    raise InputError(
        f'{where}: expected an object with texts at "{languages[0]}" and "{languages[1]}", or at "source" and "target"'
    )

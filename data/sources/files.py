"""Parallel text in files: two files, line by line, or one file with tab-separated columns or JSON lines."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from data.batch import Pair
from data.config import DataConfig
from data.errors import InputError, check_is_whole
from data.lines import LINES, LineFile, find_file, read_lines
from data.sources.corpus import Corpus, LazyPairs, Split, fingerprint_of, has_text
from data.storage.cache import Cache
from data.storage.compression import OPENERS, SUFFIXES
from data.storage.stored import NUMBER, Numbers, StoredBytes
from data.text.cleaning import one_line

SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
BLANK = Pair("", "")
MANY = 200_000  # lines from which on it is worth caching which pairs have text
Reader = Callable[[int, int], list[Pair]]  # of the pairs of lines, from a start up to a stop
Parse = Callable[[str, str, tuple[str, str]], Pair]  # of a line, its place for errors, and the two languages


def load_files(config: DataConfig, split: Split) -> list[Corpus]:
    """The corpora that a recipe lists for a split; if it lists none, SPLIT.LANGUAGE in the directory."""
    corpora = [_load(config, names) for names in _listed(config, split)]
    if split != "train" or not config.train_weights:
        return corpora
    if len(config.train_weights) != len(corpora):
        raise InputError(
            f"data.train_weights: {len(config.train_weights)} weights for {len(corpora)} corpora: give one each"
        )
    if min(config.train_weights) <= 0:
        raise InputError(f"data.train_weights: found {min(config.train_weights)}: weights must be above 0")
    return [corpus._replace(weight=weight) for corpus, weight in zip(corpora, config.train_weights, strict=True)]


def text_files(config: DataConfig, split: Split) -> list[Path]:
    """The files that hold the corpora of a split, without .gz, .xz or .zst; none if the recipe names no files."""
    if config.corpus != "files":
        return []
    try:
        return [Path(config.directory, name) for names in _listed(config, split) for name in names]
    except InputError:  # nothing is listed, and the directory has none
        return []


def _listed(config: DataConfig, split: Split) -> list[list[str]]:
    listed: list[list[str]] = getattr(config, split)
    return listed or [_find_split(config, split)]


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
        f"data.directory {config.directory or '.'}: no {names} (or with {SUFFIXES}): name the files in data.{split}"
    )


def _load(config: DataConfig, names: list[str]) -> Corpus:
    if len(names) not in (1, 2):
        raise InputError(f"corpus {names}: expected [source file, target file] or [one .tsv or .jsonl file]")
    cache = Cache(config.cache)
    files = [read_lines(Path(config.directory, name), cache=cache) for name in names]
    read = _aligned(*files) if len(files) == 2 else _table(files[0], config)
    kept = find_kept(config, files, read, cache)
    count = len(files[0]) if kept is None else len(kept)
    if not count:
        raise InputError(f"{files[0].name}: no pair with text on both sides, in {len(files[0])} lines")
    pairs = LazyPairs(read, len(files[0]), kept)
    fingerprint = fingerprint_of(file.sha256 for file in files)
    return Corpus(" ".join(names), pairs, None, {"empty side": len(files[0]) - count}, fingerprint)


def find_kept(config: DataConfig, files: list[LineFile], read: Reader, cache: Cache) -> Numbers | None:
    """The indices of the pairs that have text on both sides; None if all have. Those of a large corpus are cached."""
    lines = len(files[0])
    if lines < MANY:
        kept = np.concatenate([np.zeros(0, np.int64), *_with_text(read, lines)])
        return None if len(kept) == lines else Numbers.of(kept)

    def build(directory: Path) -> None:
        path = directory / "kept"
        with path.open("wb") as file:
            for indices in _with_text(read, lines):
                file.write(indices.astype(NUMBER).tobytes())
        if path.stat().st_size == lines * NUMBER.itemsize:  # all of them, as in most corpora
            path.unlink()

    key = [2, [file.sha256 for file in files], *_format(files[0].name), config.source_language, config.target_language]
    entry = cache.entry("pairs", key, build, about=f"pairs with text of {' '.join(file.name for file in files)}")
    path = entry / "kept"
    return Numbers(StoredBytes(path)) if path.exists() else None


def _with_text(read: Reader, lines: int) -> Iterator[np.ndarray]:
    """The indices of the pairs with text on both sides, in parts."""
    for start in range(0, lines, LINES):
        pairs = read(start, min(start + LINES, lines))
        yield start + np.flatnonzero([has_text(pair) for pair in pairs])


def _aligned(source: LineFile, target: LineFile) -> Reader:
    if len(source) != len(target):
        raise InputError(
            f"{source.name} has {len(source)} lines and {target.name} has {len(target)}: line n of one must translate "
            "line n of the other"
        )
    return partial(_read_aligned, source, target)


def _read_aligned(source: LineFile, target: LineFile, start: int, stop: int) -> list[Pair]:
    return list(map(Pair, source[start:stop], target[start:stop]))


def _format(name: str) -> list[str]:
    """The suffixes of a file that say how it holds pairs: "train.tsv.gz" -> [".tsv"]."""
    suffixes = [suffix for suffix in Path(name).suffixes if suffix not in OPENERS]
    return suffixes[-1:]


def _table(lines: LineFile, config: DataConfig) -> Reader:
    """A reader of lines such as "Hello\tHallo", or {"en": "Hello", "de": "Hallo"}, or with "source" and "target"."""
    kind = _format(lines.name)
    if kind not in ([".tsv"], [".jsonl"]):
        raise InputError(f"{lines.name}: a corpus in one file is .tsv or .jsonl: rename it, or name a second file")
    parse = _columns if kind == [".tsv"] else _json_object
    return partial(_read_table, lines, parse, (config.source_language, config.target_language))


def _read_table(lines: LineFile, parse: Parse, languages: tuple[str, str], start: int, stop: int) -> list[Pair]:
    return [
        parse(line, f"{lines.name}, line {number}", languages) if line.strip(" ") else BLANK
        for number, line in enumerate(lines[start:stop], start + 1)
    ]


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
    except RecursionError:
        record = None  # JSON, but nested too deeply to be a pair
    for keys in (languages, ("source", "target")):
        if isinstance(record, dict) and all(isinstance(record.get(key), str) for key in keys):
            for key in keys:
                check_is_whole(record[key], f'{where}: the text at "{key}"')
            return Pair(one_line(record[keys[0]]), one_line(record[keys[1]]))
    raise InputError(
        f'{where}: expected an object with texts at "{languages[0]}" and "{languages[1]}", or at "source" and "target"'
    )

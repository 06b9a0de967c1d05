"""Any translation data set of TensorFlow Datasets, read without TensorFlow.

Prepare one (this downloads it) with

    python -m data.sources.tfds wmt14_translate/de-en [--directory DIRECTORY]
"""

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

from data.batch import Pair
from data.config import DataConfig
from data.errors import InputError
from data.sources.corpus import Corpus, Split, fingerprint_of
from data.text.cleaning import one_line

DEFAULT_DIRECTORY = "~/tensorflow_datasets"
FORMAT = "array_record"
LAZY = ("Flores", "Mtnt", *(f"Wmt{year}Translate" for year in range(13, 20)), "WmtT2tTranslate")


def load_tfds(config: DataConfig, split: Split) -> list[Corpus]:
    """The corpora of a split: those the recipe lists, such as [["train[:99%]"]], or the split of that name.

    Never uses the network.
    """
    if not config.dataset:
        raise InputError('data.dataset is empty: expected a name and config, such as "wmt14_translate/de-en"')
    builder = _open(config)
    listed: list[list[str]] = getattr(config, split) or [[split]]
    return [_load(config, builder, name) for names in listed for name in names]


def _open(config: DataConfig) -> Any:
    """A builder for the newest version of the data set on disk."""
    import tensorflow_datasets as tfds  # a slow import that other sources do not need

    directory = Path(config.directory or os.environ.get("TFDS_DATA_DIR", DEFAULT_DIRECTORY)).expanduser()
    versions = [path.parent for path in (directory / config.dataset).glob("*/dataset_info.json")]
    option = f" --directory {config.directory}" if config.directory else ""
    command = f"python -m data.sources.tfds {config.dataset}{option}"
    if not versions:
        raise InputError(f"{config.dataset} is not prepared in {directory}: run {command}")
    newest = max(versions, key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)])
    builder = tfds.builder_from_directory(newest)
    if builder.info.file_format.value != FORMAT:
        raise InputError(
            f"{newest}: prepared as {builder.info.file_format.value}, which needs TensorFlow: move it away "
            f"and run {command}"
        )
    return builder


def _load(config: DataConfig, builder: Any, split: str) -> Corpus:
    languages = (config.source_language, config.target_language)
    missing = [language for language in languages if language not in builder.info.features]
    if missing:
        raise InputError(f"{config.dataset}: no language {missing[0]!r}: it has {', '.join(builder.info.features)}")
    if re.split(r"\W", split)[0] not in builder.info.splits:
        raise InputError(
            f"{config.dataset}: no split {split!r}: it has {', '.join(builder.info.splits)}: name one in the recipe"
        )
    try:
        pairs = ExamplePairs(builder.as_data_source(split), languages)
    except ValueError as error:
        raise InputError(f"{config.dataset}: split {split!r}: {one_line(str(error))}") from None
    return Corpus(f"{config.dataset} {split}", pairs, None, {}, _fingerprint(builder, split, languages))


class ExamplePairs(Sequence[Pair]):
    """Examples as pairs, read from disk on access. The filters count those with an empty side."""

    def __init__(self, examples: Any, languages: tuple[str, str]):
        self._examples = examples
        self._languages = languages

    def __len__(self) -> int:
        return len(self._examples)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        indices = range(len(self))[index]
        return self.__getitems__([indices])[0] if isinstance(indices, int) else self.__getitems__(indices)

    def __getitems__(self, indices: Iterable[int]) -> list[Pair]:
        """Many pairs at once, which is faster than one by one."""
        source, target = self._languages
        examples = self._examples.__getitems__(list(indices))
        return [Pair(_text(example[source]), _text(example[target])) for example in examples]


def _text(value: bytes) -> str:
    """UTF-8 bytes as one line of text, without the line end that some data sets include: b"Hallo\n" -> "Hallo"."""
    return one_line(value.decode().rstrip("\n"))


def _fingerprint(builder: Any, split: str, languages: tuple[str, str]) -> str:
    files = builder.info.splits[re.split(r"\W", split)[0]].filepaths
    return fingerprint_of((split, *languages, *map(_hash_file, files)))


def _hash_file(path: str | os.PathLike[str]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def prepare(dataset: str, directory: str | None) -> None:
    """Downloads a data set and writes it in a format that can be read without TensorFlow."""
    import tensorflow_datasets as tfds
    import tensorflow_datasets.translate as translate

    if not (sys.stderr and sys.stderr.isatty()):
        tfds.disable_progress_bar()  # which would fill a log
    for name in LAZY:
        getattr(translate, name)  # tfds.builder finds these by name only after an attribute access
    tfds.builder(dataset, data_dir=directory, file_format=FORMAT).download_and_prepare()


def main() -> None:
    """Prepares a data set from the command line."""
    parser = argparse.ArgumentParser(prog="python -m data.sources.tfds", description=prepare.__doc__)
    parser.add_argument("dataset", help="name and config, such as wmt14_translate/de-en")
    parser.add_argument("--directory", help="where to write it; default: TFDS's own")
    arguments = parser.parse_args()
    prepare(arguments.dataset, arguments.directory)


if __name__ == "__main__":
    main()

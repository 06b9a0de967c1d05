"""Rejects outputs that would overwrite an input, another output, or a file of the run, under whatever name."""

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from data.errors import InputError
from data.sources.corpus import Split
from data.sources.files import text_files
from data.storage.compression import OPENERS
from data.text.statistics import SOURCE_TEXT
from dragoman.evaluation.training_text import FILE as TRAINING_TEXT
from dragoman.files import is_stream, read_text
from dragoman.runs.recipe import RESOLVED, read_stored
from dragoman.runs.run import Run
from dragoman.translation.marks import FILE as CALIBRATION
from transformer.config import Config

BESIDE = ("", ".partial", ".partial.json")  # the files that are written for an output of a given name
OF_A_RUN = (
    *("config.toml", "tokenizer*.model", "metrics.jsonl", "report.html", "lock", "checkpoints", "tensorboard"),
    *(SOURCE_TEXT, TRAINING_TEXT, CALIBRATION),
)

Named = tuple[str, Path | str | None]  # an option and its value; without a value it is not given


def check_outputs(outputs: Sequence[Named], inputs: Sequence[Named], *, runs: Sequence[Path | str] = ()) -> None:
    """InputError if an output is an input, another output, or part of a run, directly or through a link.

    The text that the recipe of a run names is an input too, if it is there.

    InputError too for the name "-", and for one that reading would decompress: see `check_name`.

    Standard input and output count as files if they are redirected from or to one.
    """
    given = [(option, Path(path)) for option, path in outputs if path is not None]
    read = [(option, Path(path)) for option, path in [*inputs, standard_input()] if path is not None]
    texts = [(option, Path(path)) for run in runs for option, path in files_of_run(home_of(Path(run)))]
    for number, (option, path) in enumerate(given):
        for written in (Path(f"{path}{suffix}") for suffix in BESIDE):
            for other, found in [*read, *texts, *given[:number]]:
                if any(is_same(written, name) for name in names_of(found)):
                    raise InputError(f"{option} {path} would overwrite the file of {other}: choose another file")
            for run in runs:
                if (part := part_of_run(written, Path(run))) is not None:
                    raise InputError(f"{option} {path} would overwrite {part}, a part of the run: choose another file")
        check_name(option, path)
    for option, path in read:
        if is_standard_output(path):
            raise InputError(f"standard output is redirected to the file of {option}: choose another file")


def check_name(option: str, path: Path) -> None:
    """InputError for "-", which other programs take for standard output, and for the name of a compressed file.

    The file would be plain text, and be decompressed when it is read, by its name.
    """
    if str(path) == "-":
        raise InputError(f"{option} -: for standard output, name /dev/stdout; for a file called -, its full path")
    if path.suffix in OPENERS and not path.is_dir() and not is_stream(path):
        raise InputError(
            f"{option} {path} would be plain text in a file named as compressed: leave {path.suffix} out, and compress "
            "the file afterwards"
        )


def check_directory_name(option: str, path: Path | str) -> None:
    """InputError for "-", which is a name of standard output, or the beginning of a mistyped option."""
    if str(path) == "-":
        raise InputError(f"{option} -: expected a directory; for one called -, name its full path")


def files_of_recipe(config: Config) -> list[tuple[str, Path | str]]:
    """The files that are read to prepare the text of a recipe, each with the knob that names it."""
    data = config.data
    texts = [(f"data.{split}", file) for split in get_args(Split) for file in text_files(data, split)]
    models = [data.tokenizer] if isinstance(data.tokenizer, str) else data.tokenizer
    return [*texts, *(("data.tokenizer", name) for name in models if name)]


def files_of_run(run: Path) -> list[tuple[str, Path | str]]:
    """The files that the recipe of a run names; none if it is not a run, which is reported when it is loaded."""
    config_path = Run(run).config_path
    return files_of_recipe(read_stored(config_path)) if config_path.is_file() else []


def check_recipe(recipe: Path | str, run: Run) -> None:
    """InputError if the config that a run saves would overwrite its recipe."""
    recipe = Path(recipe)
    if recipe.is_file() and is_same(recipe, run.config_path) and not read_text(recipe).startswith(RESOLVED):
        raise InputError(
            f"--run {run.path} would overwrite {recipe} with the resolved config: choose another directory"
        )


def standard_input() -> Named:
    """Standard input as a file to compare with others, if it is redirected from one."""
    found = status_of(sys.stdin)
    is_file = found is not None and stat.S_ISREG(found.st_mode)
    return "standard input", f"/dev/fd/{sys.stdin.fileno()}" if is_file else None


def is_standard_output(path: Path) -> bool:
    """Whether standard output is redirected to a file, and to this one."""
    target = status_of(sys.stdout)
    if target is None or not stat.S_ISREG(target.st_mode):
        return False
    return any(os.path.samestat(target, name.stat()) for name in names_of(path) if name.exists())


def status_of(stream: Any) -> os.stat_result | None:
    """The status of the file behind a stream; None for a stream that is closed, or has no file."""
    try:
        return os.fstat(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


def names_of(path: Path) -> Iterator[Path]:
    """The files that may be read for a name: itself, or compressed."""
    yield path
    if not path.exists():
        yield from (Path(f"{path}{suffix}") for suffix in OPENERS)


def is_same(one: Path, other: Path) -> bool:
    """Whether two names are of one file, which may not exist yet. Devices and pipes can be both read and written."""
    if one.exists() and other.exists():
        return one.is_file() and one.samefile(other)
    return one.resolve() == other.resolve()


def part_of_run(path: Path, run: Path) -> Path | None:
    """The file or directory of a run that a path is, or is in. `run` may be a checkpoint."""
    home = home_of(run)
    for part in (found for name in OF_A_RUN for found in (home.glob(name) if "*" in name else [home / name])):
        if path.resolve().is_relative_to(part.resolve()):
            return part
    return None


def home_of(run: Path) -> Path:
    """The directory of a run, which may be named by one of its checkpoints."""
    return run.parent.parent if run.parent.name == "checkpoints" else run

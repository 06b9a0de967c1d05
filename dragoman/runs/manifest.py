"""The manifest of a checkpoint: what it holds, file by file, so that nothing damaged or foreign is ever loaded.

`manifest.json` is JSON whose first line carries the SHA-256 of all that follows it, so that the manifest vouches for
itself as it does for the files. It is written last: a checkpoint without one is incomplete.
"""

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field, ValidationError

from data.config import Section
from data.errors import InputError
from data.lines import reading
from dragoman.files import flush_tree, sha256, walk_files, write_atomically

FORMAT = 1
NAME = "manifest.json"
LARGEST = 1 << 26  # bytes; a manifest is a few kB, and is read whole


class File(Section):
    """One file of a checkpoint."""

    name: str = Field(min_length=1, description="path seen from the checkpoint, with /")
    size: int = Field(ge=0, description="bytes")
    sha256: str = Field(description="of the content, in hexadecimal")


class Manifest(Section):
    """What a checkpoint holds, where it comes from, and how well it did."""

    format: int = Field(description="version of the layout of a checkpoint")
    step: int = Field(ge=0, description="updates made; of an average: the last of those averaged")
    averaged: list[int] = Field(description="steps averaged; empty for a checkpoint of training")
    hashes: dict[str, str] = Field(description="SHA-256 of the config, the tokenizer and the data it was trained with")
    parameters_sha256: str = Field(description="SHA-256 over path, dtype, shape and bytes of each parameter, by path")
    optimizer_sha256: str | None = Field(description="the same of the optimizer state; null where there is none")
    validation: dict[str, float] | None = Field(description="validation scores, by metric; null if not validated")
    progress: dict[str, Any] = Field(description="the place in the data and whatever else the trainer needs to go on")
    files: list[File] = Field(description="every file of the checkpoint but this one")


def list_files(directory: Path) -> list[File]:
    """Each file below a directory with its size and SHA-256, without the manifest."""
    names = (name for name in walk_files(directory) if name != NAME)
    return [File(name=n, size=(directory / n).stat().st_size, sha256=sha256(directory / n)) for n in names]


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Complete a checkpoint: everything in it is on the disk before its manifest is."""
    flush_tree(directory)
    body = json.dumps(manifest.model_dump(), indent=1, allow_nan=False)[2:].encode()
    write_atomically(directory / NAME, first_line(body) + b"\n" + body)


def first_line(body: bytes) -> bytes:
    """The line that opens a manifest and vouches for the rest of it."""
    return f'{{"sha256": "{hashlib.sha256(body).hexdigest()}",'.encode()


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a checkpoint, whole and well formed; the files it lists are left to `verify`."""
    path = directory / NAME
    if directory.is_symlink() or path.is_symlink():
        raise InputError(f"{path}: is reached through a link; a checkpoint holds plain files only")
    if not path.is_file():
        raise InputError(f"{path}: missing: not a checkpoint, or an incomplete one")
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path}: {path.stat().st_size} bytes, expected a manifest of at most {LARGEST}")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    first, _, body = content.partition(b"\n")
    if first != first_line(body):
        raise InputError(f"{path}: damaged: its SHA-256 is not the one on its first line")
    try:
        fields = json.loads(content)
        del fields["sha256"]
        if fields.get("format", FORMAT) != FORMAT:
            raise InputError(f"{path}: format {fields['format']}, but this version reads format {FORMAT} only")
        manifest = Manifest.model_validate(fields)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise InputError(f"{path}: not a manifest: {where}: {error.errors()[0]['msg']}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not a manifest: {type(error).__name__}") from None
    return manifest


def verify(directory: Path, item: str = "") -> Manifest:
    """The manifest of a checkpoint whose files are there, unchanged, and alone; each is read and hashed once.

    With an item, "parameters" or "optimizer", only its files count, whatever has become of the others. InputError names
    the first file that is missing, of another size or content, not listed, a link, or elsewhere.
    """
    manifest = check_sizes(directory, item)
    for file in files_of(manifest, item):
        path = Path(directory, file.name)
        with reading(str(path)):
            is_same = sha256(path) == file.sha256
        if not is_same:
            raise InputError(f"{path}: damaged: its SHA-256 is not the one in {NAME}")
    return manifest


def check_sizes(directory: Path, item: str = "") -> Manifest:
    """As `verify`, in no time: by names and sizes alone, without reading the contents."""
    directory = Path(directory)
    manifest = read_manifest(directory)
    with reading(str(directory)):
        found = set(walk_files(directory, item)) - {NAME}
        for file in files_of(manifest, item):
            check_size(directory, file, found)
    names = {file.name for file in manifest.files}
    if unlisted := sorted(found - names):
        raise InputError(f"{directory / unlisted[0]}: not listed in {NAME}: a checkpoint holds nothing else")
    return manifest


def files_of(manifest: Manifest, item: str) -> list[File]:
    """The files of an item; all of them without one."""
    return [file for file in manifest.files if not item or file.name.startswith(f"{item}/")]


def check_size(directory: Path, file: File, found: set[str]) -> None:
    """InputError unless a listed file lies inside the checkpoint with the listed size."""
    pure = PurePosixPath(file.name)
    if pure.is_absolute() or ".." in pure.parts or str(pure) != file.name:
        raise InputError(f"{directory / NAME}: lists {file.name!r}, which is no path inside the checkpoint")
    path = directory / file.name
    if file.name not in found:
        raise InputError(f"{path}: missing, though listed in {NAME}")
    if path.stat().st_size != file.size:
        raise InputError(f"{path}: {path.stat().st_size} bytes, but {NAME} says {file.size}")

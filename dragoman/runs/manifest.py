"""The manifest of a checkpoint lists its files with their hashes, so that damaged or foreign files are never loaded.

`manifest.json` is JSON. Its first line holds the SHA-256 of everything after it, so that damage to the manifest itself
is also detected. It is written last: a checkpoint without one is incomplete.
"""

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field, ValidationError

from data.config import Section
from data.errors import InputError
from data.lines import reading
from dragoman.files import flush_tree, is_junk, sha256, walk_files, write_atomically

FORMAT = 1
NAME = "manifest.json"
LARGEST = 1 << 26  # bytes; a manifest is a few kB, and is read whole


class File(Section):
    """One file of a checkpoint."""

    name: str = Field(min_length=1, description="path relative to the checkpoint, with /")
    size: int = Field(ge=0, description="bytes")
    sha256: str = Field(description="hash of the content, in hexadecimal")


class Manifest(Section):
    """The content, origin and validation scores of a checkpoint."""

    format: int = Field(description="version of the checkpoint layout")
    step: int = Field(ge=0, description="updates made; for an average, the last step averaged")
    averaged: list[int] = Field(description="the steps averaged; empty for a training checkpoint")
    hashes: dict[str, str] = Field(description="SHA-256 of the config, the tokenizer and the data it was trained with")
    parameters_sha256: str = Field(description="SHA-256 over path, dtype, shape and bytes of each parameter, by path")
    optimizer_sha256: str | None = Field(description="the same for the optimizer state; null if there is none")
    validation: dict[str, float] | None = Field(description="validation scores, by metric; null if not validated")
    validation_set: str | None = Field(
        default=None, description="hash of what the scores are measured on; null in runs of earlier versions"
    )
    progress: dict[str, Any] = Field(description="the position in the data and whatever else training needs to resume")
    files: list[File] = Field(description="every file of the checkpoint except the manifest")


def list_files(directory: Path) -> list[File]:
    """Each file below a directory with its size and SHA-256, except the manifest and what file managers left."""
    names = (name for name in walk_files(directory) if name != NAME and not is_ignored(name))
    return [File(name=n, size=(directory / n).stat().st_size, sha256=sha256(directory / n)) for n in names]


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Complete a checkpoint: flush all its files to the disk, then write the manifest."""
    flush_tree(directory)
    body = json.dumps(manifest.model_dump(), indent=1, allow_nan=False)[2:].encode()
    write_atomically(directory / NAME, first_line(body) + b"\n" + body)


def first_line(body: bytes) -> bytes:
    """The first line of a manifest, with the hash of the rest."""
    return f'{{"sha256": "{hashlib.sha256(body).hexdigest()}",'.encode()


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a checkpoint, checked for damage and form; `verify` checks the files it lists."""
    path = directory / NAME
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
    """The manifest of a checkpoint, after checking that it holds exactly the listed files, unchanged.

    Each file is read and hashed once. With an item, "parameters" or "optimizer", only its files are checked. A file may
    be a link, as in the cache of a model hub: it is its content that counts. Hidden files are ignored, and so is what
    file managers left, such as Thumbs.db. InputError names the first file that is missing, changed, not listed, or
    outside the checkpoint.
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
    """As `verify`, but fast: checks only names and sizes, and reads no contents."""
    directory = Path(directory)
    manifest = read_manifest(directory)
    with reading(str(directory)):
        found = set(walk_files(directory, item)) - {NAME}
        for file in files_of(manifest, item):
            check_size(directory, file, found)
    names = {file.name for file in manifest.files}
    if unlisted := sorted(name for name in found - names if not is_ignored(name)):
        raise InputError(f"{directory / unlisted[0]}: not listed in {NAME}: a checkpoint holds nothing else")
    return manifest


def is_ignored(name: str) -> bool:
    """Whether a file is none of the checkpoint's: left by a file manager, hidden, or in such a directory.

    Nothing reads these files, except the hidden ones of zarr, such as .zarray.
    """
    parts = name.split("/")
    return any(is_junk(part) or (part.startswith(".") and not part.startswith(".z")) for part in parts)


def files_of(manifest: Manifest, item: str) -> list[File]:
    """The files of an item, or all files if no item is given."""
    return [file for file in manifest.files if not item or file.name.startswith(f"{item}/")]


def check_size(directory: Path, file: File, found: set[str]) -> None:
    """InputError unless a listed file is inside the checkpoint and has the listed size."""
    pure = PurePosixPath(file.name)
    if pure.is_absolute() or ".." in pure.parts or str(pure) != file.name:
        raise InputError(f"{directory / NAME}: lists {file.name!r}, which is not a path inside the checkpoint")
    path = directory / file.name
    if file.name not in found:
        raise InputError(f"{path}: missing, though listed in {NAME}")
    if path.stat().st_size != file.size:
        raise InputError(f"{path}: {path.stat().st_size} bytes, but {NAME} says {file.size}")

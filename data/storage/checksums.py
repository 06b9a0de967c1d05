"""Checksums of the files of a directory that is written once: a damaged one is noticed before it is used."""

import json
import os
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
BLOCK = 4 << 20  # bytes that have one checksum
MOST = 1 << 30  # bytes that `find_damage` reads, of a larger directory


def seal(directory: Path, **facts: Any) -> None:
    """Writes the manifest: the size of each file, a CRC-32 of each of its blocks, and `facts`. Flushes all to the disk.

    The files lie directly in the directory.
    """
    files = {}
    for path in sorted(directory.iterdir()):
        with path.open("rb") as file:
            files[path.name] = {"size": path.stat().st_size, "blocks": list(_block_checksums(file))}
            os.fsync(file.fileno())
    # The odd bytes of a file's name, in `facts`, are lone surrogates, and backslashreplace makes JSON escapes of them.
    with (directory / MANIFEST).open("w", encoding="utf-8", errors="backslashreplace") as file:
        json.dump({**facts, "files": files}, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())


def _block_checksums(file: Any) -> Iterator[int]:
    while block := file.read(BLOCK):
        yield zlib.crc32(block)


def read_facts(directory: Path) -> dict[str, Any]:
    """The manifest. Raises OSError or ValueError if it is missing or damaged."""
    manifest = json.loads((directory / MANIFEST).read_bytes())
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ValueError("not a manifest")
    return manifest


def find_damage(directory: Path, *, most: int | None = MOST) -> str:
    """What is wrong with a sealed directory, or "" if nothing is.

    The manifest and the size of every file are always checked. The content is checked in full if it is at most `most`
    bytes, or if that is None; of a larger directory, the first and last block of each file, and others drawn at
    random, are.
    """
    try:
        files = read_facts(directory)["files"]
        for name, entry in files.items():
            if (size := (directory / name).stat().st_size) != entry["size"]:
                return f"{name} has {size} bytes, expected {entry['size']}"
        for name, chosen in _choose_blocks(files, most).items():
            if (number := _first_difference(directory / name, files[name]["blocks"], chosen)) is not None:
                return f"{name} differs from its checksum in the {BLOCK >> 20} MiB from byte {number * BLOCK}"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return f"{MANIFEST} is damaged"
    return ""


def _choose_blocks(files: dict[str, Any], most: int | None) -> dict[str, list[int]]:
    """The blocks of each file that are checked."""
    places = [(name, number) for name, entry in files.items() for number in range(len(entry["blocks"]))]
    if most is not None and len(places) * BLOCK > most + len(files) * BLOCK:
        sizes = {name: len(entry["blocks"]) for name, entry in files.items()}
        ends = [(name, number) for name, number in places if number in (0, sizes[name] - 1)]
        places = sorted({*random.sample(places, most // BLOCK), *ends})
    chosen: dict[str, list[int]] = {name: [] for name in files}
    for name, number in places:
        chosen[name].append(number)
    return chosen


def _first_difference(path: Path, checksums: list[int], chosen: list[int]) -> int | None:
    """The number of the first chosen block that differs from its checksum, or None."""
    with path.open("rb") as file:
        for number in chosen:
            file.seek(number * BLOCK)
            if zlib.crc32(file.read(BLOCK)) != checksums[number]:
                return number
    return None

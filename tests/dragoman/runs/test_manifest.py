import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.runs.manifest import read_manifest, verify
from tests.support.small_checkpoint import forge, refusal


def test_a_manifest_cut_anywhere_is_refused(saved: Path) -> None:
    path = saved / "manifest.json"
    content = path.read_bytes()
    for size in {*range(0, len(content), 97), *range(100), len(content) - 1}:
        path.write_bytes(content[:size])
        assert refusal(verify, saved) == f"{path}: damaged: its SHA-256 is not the one on its first line"
    path.unlink()
    assert refusal(verify, saved) == f"{path}: missing: not a checkpoint, or an incomplete one"
    assert refusal(verify, saved / "none").endswith(
        "none/manifest.json: missing: not a checkpoint, or an incomplete one"
    )


@pytest.mark.parametrize("name", ["/etc/passwd", "../100/manifest.json", "parameters//_METADATA", "./x"])
def test_a_manifest_that_points_outside_is_refused(saved: Path, name: str) -> None:
    files = read_manifest(saved).files
    forge(saved, files=[*files, files[0].model_copy(update={"name": name})])
    message = f"{saved}/manifest.json: lists {name!r}, which is not a path inside the checkpoint"
    assert refusal(verify, saved) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": 2}, "format 2, but this version reads format 1 only"),
        ({"step": -1}, "not a manifest: step: Input should be greater than or equal to 0"),
        ({"extra": 1}, "not a manifest: extra: Extra inputs are not permitted"),
        ({"files": [{"name": "x", "size": -1, "sha256": ""}]}, "not a manifest: files.0.size: Input should be greater"),
        ({"progress": None}, "not a manifest: progress: Input should be a valid dictionary"),
    ],
)
def test_a_manifest_of_another_form_is_refused(saved: Path, fields: dict[str, Any], message: str) -> None:
    forge_text(saved, json.dumps(read_manifest(saved).model_dump() | fields)[1:])
    assert refusal(verify, saved).startswith(f"{saved}/manifest.json: {message}")


@pytest.mark.parametrize("text", ["", '"x": ' + "[" * 100_000, '"x": \x00}', "}}"])
def test_a_manifest_that_is_no_json_is_refused(saved: Path, text: str) -> None:
    forge_text(saved, text)
    assert refusal(verify, saved).startswith(f"{saved}/manifest.json: not a manifest: ")


def forge_text(saved: Path, text: str) -> None:
    """Writes any text as a manifest with a valid hash."""
    from dragoman.runs.manifest import first_line

    (saved / "manifest.json").write_bytes(first_line(text.encode()) + b"\n" + text.encode())


def test_a_huge_manifest_is_refused_unread(saved: Path) -> None:
    with (saved / "manifest.json").open("wb") as stream:
        stream.truncate(1 << 40)
    assert "1099511627776 bytes, expected a manifest of at most" in refusal(verify, saved)

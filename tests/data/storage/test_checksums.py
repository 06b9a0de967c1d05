import os
import random

from data.storage.checksums import BLOCK, find_damage, read_facts, seal


def test_facts_are_read_back_also_with_the_odd_bytes_of_a_name(tmp_path):
    about = os.fsdecode(b"lines of gr\xc3\xb6\xff.txt")
    seal(tmp_path, about=about)
    assert read_facts(tmp_path)["about"] == about
    assert "lines of grö\\udcff.txt" in (tmp_path / "manifest.json").read_text(encoding="utf-8")


def test_a_large_directory_is_checked_at_both_ends_and_in_places(tmp_path):
    """Of 12 blocks, `most` allows 3 and both ends. Flipping one of them is found sometimes; in full, always."""
    with (tmp_path / "content").open("wb") as file:
        file.truncate(12 * BLOCK)
    (tmp_path / "empty").write_bytes(b"")
    seal(tmp_path)
    assert find_damage(tmp_path, most=3 * BLOCK) == ""

    def flip(block):
        with (tmp_path / "content").open("r+b") as file:
            file.seek(block * BLOCK)
            before = file.read(1)
            file.seek(block * BLOCK)
            file.write(bytes([before[0] ^ 1]))

    for block in (0, 11):
        flip(block)
        assert find_damage(tmp_path, most=3 * BLOCK).startswith("content differs from its checksum in the 4 MiB from")
        flip(block)
    flip(5)
    random.seed(1)
    found = [bool(find_damage(tmp_path, most=3 * BLOCK)) for _ in range(20)]
    assert any(found)
    assert not all(found)
    assert find_damage(tmp_path, most=None) == f"content differs from its checksum in the 4 MiB from byte {5 * BLOCK}"

import pytest

from data.errors import InputError
from data.storage.cache import Cache
from dragoman.commands.cache import main, size_text


def test_entries_are_listed_checked_and_cleared(tmp_path, capsys):
    path = Cache(tmp_path).entry("text", "a", lambda p: (p / "content").write_bytes(b"abc"), about="train.en")
    assert main(["--directory", str(tmp_path)]) == 0
    assert "train.en" in capsys.readouterr().out
    assert main(["--directory", str(tmp_path), "--check"]) == 0
    (path / "content").write_bytes(b"abd")
    assert main(["--directory", str(tmp_path), "--check"]) == 1
    assert "DAMAGED: content differs" in capsys.readouterr().out
    assert main(["--directory", str(tmp_path), "--clear", "--unused-days", "1"]) == 0
    assert path.exists()
    assert main(["--directory", str(tmp_path), "--clear"]) == 0
    assert "removed 1 entry" in capsys.readouterr().out
    assert not path.exists()


def test_days_without_clear_are_refused(tmp_path):
    with pytest.raises(InputError, match="add --clear"):
        main(["--directory", str(tmp_path), "--unused-days", "3"])


@pytest.mark.parametrize("days", ["-3", "nan", "inf"])
def test_a_number_of_days_that_cannot_be_is_refused(tmp_path, days):
    with pytest.raises(InputError, match=rf"^--unused-days is {days}(\.0)?: expected a number of days, 0 or more$"):
        main(["--directory", str(tmp_path), "--clear", "--unused-days", days])


def test_an_entry_is_checked_or_cleared(tmp_path):
    Cache(tmp_path).entry("text", "a", lambda path: (path / "content").write_bytes(b"abc"))
    with pytest.raises(InputError, match="--clear with --check: give one of them"):
        main(["--directory", str(tmp_path), "--clear", "--check"])
    assert len(Cache(tmp_path).entries()) == 1


def test_sizes_have_a_unit_that_suits_them():
    assert [size_text(size) for size in (0, 999, 1500, 2.5e9)] == ["0 bytes", "999 bytes", "1.5 kB", "2.5 GB"]

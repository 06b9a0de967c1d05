import pytest

from dragoman.evaluation.kept import Kept, hash_of
from dragoman.messages import warn_once


def never():
    raise AssertionError("computed again")


def test_a_value_is_computed_once_and_read_in_the_same_form(tmp_path):
    first = Kept(tmp_path).get("outputs", ["a", 1], lambda: {"b": (1, 2.5, "ü\u2028")}, about="test")
    assert first == Kept(tmp_path).get("outputs", ["a", 1], never, about="test") == {"b": [1, 2.5, "ü\u2028"]}
    assert Kept(tmp_path).has("outputs", ["a", 1])
    assert not Kept(tmp_path).has("outputs", ["a", 2])


def test_a_fresh_value_takes_the_place_of_the_older_one(tmp_path):
    Kept(tmp_path).get("outputs", "a", lambda: 1, about="")
    fresh = Kept(tmp_path, is_fresh=True)
    assert not fresh.has("outputs", "a")
    assert fresh.get("outputs", "a", lambda: 2, about="") == 2
    assert Kept(tmp_path).get("outputs", "a", never, about="") == 2


def test_an_error_of_the_computation_keeps_nothing(tmp_path):
    with pytest.raises(AssertionError):
        Kept(tmp_path).get("outputs", "a", never, about="")
    assert not Kept(tmp_path).has("outputs", "a")


def test_a_cache_that_cannot_be_written_costs_a_warning_only(tmp_path, capsys):
    warn_once.cache_clear()
    (tmp_path / "file").write_text("")
    assert Kept(tmp_path / "file").get("outputs", "a", lambda: 3, about="") == 3
    assert "warning: results are not kept for later, because " in capsys.readouterr().err


def test_texts_are_told_apart_by_their_lines_and_their_limits():
    hashes = {hash_of(["a", "b"]), hash_of(["a"], ["b"]), hash_of(["ab"]), hash_of(["b", "a"]), hash_of(["a", "b", ""])}
    assert len(hashes) == 5

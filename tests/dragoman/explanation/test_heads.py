"""A head is named after what it looks at, if it looks there clearly."""

import numpy as np
import pytest

from dragoman.explanation.heads import describe_heads

PIECES = ["▁the", "▁dog", "▁saw", "▁the", "▁cat", "</s>"]
SIZE = len(PIECES)


def mostly(places: np.ndarray) -> np.ndarray:
    """Attention of 0.9 and more to these places."""
    weights = places * 0.9 + 0.1 / SIZE
    return weights / weights.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    ("role", "weights"),
    [
        ("previous", mostly(np.eye(SIZE, k=-1))),
        ("next", mostly(np.eye(SIZE, k=1))),
        ("itself", mostly(np.eye(SIZE))),
        ("separator", mostly(np.eye(SIZE)[[-1] * SIZE])),
        ("same word", mostly(np.eye(SIZE)[[3, 3, 3, 0, 0, 0]])),
        ("broad", np.full((SIZE, SIZE), 1 / SIZE)),
        ("mixed", mostly(np.eye(SIZE)[[2, 4, 0, 1, 1, 1]])),
    ],
)
def test_a_head_is_named_after_what_gets_most_of_its_attention(role, weights):
    [[head]] = describe_heads([weights[None]], PIECES, PIECES, is_self=True)
    assert head.role == role
    if role not in ("broad", "mixed"):
        assert head.measures[role] > 0.8


def test_what_equal_attention_would_give_is_no_role():
    weights = np.tril(np.ones((2, 2))) / np.array([[1], [2]])
    [[head]] = describe_heads([weights[None]], ["<s>", "▁a"], ["<s>", "▁a"], is_self=True, is_causal=True)
    assert head.measures["previous"] == head.by_chance["previous"] == 0.5
    assert "next" not in head.measures
    assert head.role == "broad"

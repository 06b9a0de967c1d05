"""What each attention head seems to do, and the measure that says so."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

SEPARATORS = {"</s>", "<s>", ".", ",", ";", ":", "!", "?", "▁.", "▁,", "▁;", "▁:", "▁!", "▁?"}

CLEAR = 0.4
"""The share of its attention that a head must give to one kind of key to be named after it."""

BROAD = 0.8
"""The share of the largest possible entropy from which on attention is called broad."""


class Head(NamedTuple):
    """A head's role, and for each role the attention that it gets, beside what equal attention would give."""

    role: str
    measures: dict[str, float]  # "broad" is the entropy as a share of the largest; the others are mean attention
    by_chance: dict[str, float]


def is_separator(piece: str) -> bool:
    """Whether a piece ends or divides sentences."""
    return piece in SEPARATORS


def kinds_of_keys(queries: Sequence[str], keys: Sequence[str], *, is_self: bool) -> dict[str, Bool[np.ndarray, "T S"]]:
    """For each role but "broad", which keys of each query count for it.

    In self-attention, "previous", "next" and "itself" are places; "same word" is an equal piece at another place. In
    cross-attention there are no such places, and "same word" is an equal piece of the source.
    """
    equal = np.array(queries)[:, None] == np.array(keys)[None]
    separators = np.broadcast_to(np.array([is_separator(key) for key in keys])[None], equal.shape)
    if not is_self:
        return {"same word": equal, "separator": separators}
    size = len(keys)
    return {
        "previous": np.eye(size, k=-1, dtype=bool),
        "next": np.eye(size, k=1, dtype=bool),
        "itself": np.eye(size, dtype=bool),
        "same word": equal & ~np.eye(size, dtype=bool),
        "separator": separators,
    }


def describe_head(
    weights: Float[np.ndarray, "T S"], kinds: dict[str, Bool[np.ndarray, "T S"]], visible: Bool[np.ndarray, "T S"]
) -> Head:
    """The role of a head: the kind of key with the most attention, if that is CLEAR and twice what chance would give.

    Otherwise it is "broad" if the entropy of its rows is above BROAD of the largest possible one, and else "mixed".
    A kind is measured over the queries that see such a key.
    """
    equal = visible / visible.sum(-1, keepdims=True)
    measures, by_chance = {}, {}
    for name, kind in kinds.items():
        rows = (kind & visible).any(-1)
        measures[name] = float((weights * kind).sum(-1)[rows].mean()) if rows.any() else 0.0
        by_chance[name] = float((equal * kind).sum(-1)[rows].mean()) if rows.any() else 0.0
    measures["broad"] = normalized_entropy(weights, visible)
    by_chance["broad"] = 1.0
    best = max(kinds, key=lambda name: measures[name])
    if measures[best] >= max(CLEAR, 2 * by_chance[best]):
        return Head(best, measures, by_chance)
    return Head("broad" if measures["broad"] >= BROAD else "mixed", measures, by_chance)


def normalized_entropy(weights: Float[np.ndarray, "T S"], visible: Bool[np.ndarray, "T S"]) -> float:
    """The mean entropy of rows as a share of the largest possible one: 1 for equal attention to all visible keys."""
    choices = visible.sum(-1)
    entropy = -(weights * np.log(np.where(weights > 0, weights, 1.0))).sum(-1)
    rows = choices > 1
    return float((entropy[rows] / np.log(choices[rows])).mean()) if rows.any() else 0.0


def describe_heads(
    layers: Sequence[Float[np.ndarray, "N T S"]],
    queries: Sequence[str],
    keys: Sequence[str],
    *,
    is_self: bool,
    is_causal: bool = False,
) -> list[list[Head]]:
    """The role of each head of each layer."""
    kinds = kinds_of_keys(queries, keys, is_self=is_self)
    visible = np.ones((len(queries), len(keys)), bool)
    if is_causal:
        visible = np.tril(visible)
        kinds = {name: kind & visible for name, kind in kinds.items() if name != "next"}
    return [[describe_head(head, kinds, visible) for head in heads] for heads in layers]

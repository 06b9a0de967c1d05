"""The survey of a text as lines to read."""

from collections.abc import Iterator
from typing import Any


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The result of `prepare`, for people."""
    yield from corpus_lines(found["corpora"])
    yield from filter_lines(found["dropped"])
    yield from duplicate_lines(found["duplicates"], found["copies"])
    for split, overlap in found["overlap"].items():
        yield from overlap_lines(split, overlap)
    yield from odd_lines(found["odd"])


def corpus_lines(corpora: list[dict[str, Any]]) -> Iterator[str]:
    """A line about each side of each corpus."""
    for corpus in corpora:
        left_out = "".join(f", {count} left out: {reason}" for reason, count in corpus["left_out"].items())
        yield f"{corpus['name']}: {corpus['pairs']} pairs{left_out}"
        for side in ("source", "target"):
            of = corpus[side]
            yield (
                f"  {side}: {of['tokens']} tokens; a line has {of['mean']:.1f} on average, half have at most "
                f"{of['median']}, 99 in 100 at most {of['p99']}, the longest has {of['longest']}"
            )


def filter_lines(dropped: dict[str, Any]) -> Iterator[str]:
    """What each filter drops, with examples."""
    for reason, found in dropped.items():
        yield f"dropped in training, {reason}: {found['pairs']} pairs"
        yield from map(example_line, found["examples"])


def duplicate_lines(found: dict[str, Any], copies: int) -> Iterator[str]:
    """What occurs more than once, and pairs with equal sides."""
    about = "about " if found["is_estimate"] else ""
    fate = "dropped in training" if found["are_dropped"] else "kept; data.drop_duplicates drops them"
    yield f"duplicates: {about}{found['pairs']} pairs repeat an earlier one ({fate})"
    yield f"  {about}{found['sources']} source lines repeat an earlier one, perhaps with another translation"
    yield from (f"{example_line(example)} ({example['times']} times)" for example in found["examples"])
    yield f"copies: {copies} pairs have the same text on both sides"


def overlap_lines(split: str, found: dict[str, Any]) -> Iterator[str]:
    """What of a held-out set the training text contains."""
    yield (
        f"{split} set: of {found['pairs']} pairs, the training text contains {found['pairs_in_training']} "
        f"({found['sources_in_training']} source lines, {found['targets_in_training']} target lines), and "
        f"{found['near_in_training']} more share 13 words in a row with it"
    )
    yield from (f"    {example['source']}  |||  {example['target']}" for example in found["examples"])


def odd_lines(found: dict[str, Any]) -> Iterator[str]:
    """Pairs that look wrong."""
    kinds = {
        "source_script": "source in another script",
        "target_script": "target in another script",
        "length_ratio": "one side far longer than usual",
    }
    for kind, words in kinds.items():
        yield f"odd: {found[kind]['pairs']} of {found['examined']} pairs looked at: {words}"
        yield from map(example_line, found[kind]["examples"])


def example_line(example: dict[str, Any]) -> str:
    """A pair in one line, with where it is."""
    return f"    {example['corpus']}, pair {example['pair']}: {example['source']}  |||  {example['target']}"

"""Ragged arrays as lists, to compare them in tests."""


def lists(ragged):
    """The lists of a ragged array."""
    return [ragged.values[a:b].tolist() for a, b in zip(ragged.starts[:-1], ragged.starts[1:], strict=True)]

"""Models of different shapes with equal numbers of parameters."""

from benchmarks.questions.training import Variant, count

TOLERANCE = 0.01
"""By how much the numbers of parameters of compared models may differ, as a share."""


def fitted(variant: Variant, *, vocabulary: int, parameters: int) -> Variant:
    """The variant with the width of its feed-forward networks chosen so that it has as many parameters as asked.

    ValueError if no width brings it within TOLERANCE.
    """

    def with_width(feed_forward: int) -> Variant:
        return variant._replace(config=variant.config.model_copy(update={"feed_forward": feed_forward}))

    one, two = count(with_width(1), vocabulary), count(with_width(2), vocabulary)
    found = with_width(max(1, 1 + round((parameters - one) / (two - one))))
    if abs(count(found, vocabulary) / parameters - 1) > TOLERANCE:
        raise ValueError(f"{variant.name}: {count(found, vocabulary):,} parameters, not {parameters:,}")
    return found

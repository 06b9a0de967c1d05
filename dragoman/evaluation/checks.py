"""What can be seen in outputs without a metric: their length, and the guard's flags."""

from collections.abc import Iterable

from data.languages import are_same
from dragoman.evaluation.results import Checks, Outputs
from dragoman.translation.guard import count_flags, flags, words_of


def check_outputs(outputs: Outputs) -> Checks:
    """Counts of what is odd in outputs, by the checks of `dragoman translate --guard`, and their length."""
    test_set, hypotheses = outputs.test_set, outputs.hypotheses
    is_same_language = bool(test_set.source_language) and are_same(test_set.source_language, test_set.language)
    skip = ("copy",) if is_same_language else ()
    pairs = list(zip(test_set.sources, hypotheses, strict=True))
    found = count_flags(flags(source, line, skip=skip) for source, line in pairs)
    columns = zip(hypotheses, *test_set.references, strict=True)
    return Checks(
        length_ratio=characters(hypotheses) / max(characters(test_set.reference), 1),
        exact=sum(line.strip() in (one.strip() for one in references) for line, *references in columns),
        empty=sum(not line.strip() and bool(words_of(source)) for source, line in pairs),
        copied=found["copy"],
        looping=found["loop"],
        long=found["long"],
        short=found["short"],
    )


def characters(lines: Iterable[str]) -> int:
    """How many characters lines have, without white space."""
    return sum(len("".join(line.split())) for line in lines)

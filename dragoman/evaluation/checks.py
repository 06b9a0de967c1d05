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


def notes_about(outputs: Outputs) -> list[str]:
    """What the search could not do, in a sentence each: lines that stay empty, and lines that end too soon."""
    name, notes = f"{outputs.system.name} on {outputs.test_set.name}", []
    problems = {number: one.problem for number, one in enumerate(outputs.translations or (), 1) if one.problem}
    if problems:
        number, problem = next(iter(problems.items()))
        notes.append(f"{name}: {len(problems)} left empty, such as line {number}: {problem}.")
    unfinished = sum(not one.is_finished and not one.problem for one in outputs.translations or ())
    if unfinished:
        notes.append(
            f"{name}: {unfinished} met the length limit before their end: see decoding.maximum_ratio and "
            "decoding.maximum_extra."
        )
    return notes


def characters(lines: Iterable[str]) -> int:
    """How many characters lines have, without white space."""
    return sum(len("".join(line.split())) for line in lines)

"""Translates a stream of lines to an output, a chunk at a time: memory does not grow with the number of lines."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from data.errors import InputError
from dragoman.messages import ProgressBar, tell
from dragoman.translation.output.line_stream import LineStream
from dragoman.translation.output.resumable_output import Done, Output
from dragoman.translation.result import Translation

MOST_WARNINGS = 20  # lines named in warnings of one kind; more are counted


class Chunk(NamedTuple):
    """Lines to translate together."""

    first: int  # the number of the first line, counted from 1
    lines: Sequence[str]
    beside: Sequence[Sequence[str]]  # the lines of companions, such as prefixes
    problems: Mapping[int, str]  # why lines cannot be read, by their index; they are blank


class Written(NamedTuple):
    """The output for a chunk of lines."""

    texts: Sequence[str]  # output lines, without line breaks
    best: Sequence[Translation]  # what they show


Translate = Callable[[Chunk, ProgressBar], Written]


def write_translations(
    translate: Translate,
    lines: LineStream,
    companions: Sequence[LineStream],
    output: Output,
    *,
    part: range,
    total: int | None,
    chunk: int,
    limit: int,
    waiting: Callable[[], AbstractContextManager[None]],
) -> None:
    """Translate the lines of `part` (counted from 0) that the output does not have yet; warn of unusual ones.

    `companions` hold one line for each line of text, such as prefixes or translations to score. `total` is used for the
    time left. Warnings name lines of more than `limit` tokens, which are translated in parts, and lines that cannot be
    translated, which stay empty. Reads that may block run within `waiting()`, so that they can be interrupted.
    """
    with waiting():
        for stream in (lines, *companions):
            stream.skip(part.start)
        lines.skip(output.done.lines, sha256=output.done.input_sha256)
        for stream in companions:
            stream.skip(output.done.lines)
    warnings = Warnings(lines.name)
    if lines.is_typed:
        tell("type a line to translate it; Ctrl-D ends")
    label = "" if lines.is_typed else "translate"  # a bar would run through what is typed
    with ProgressBar(label, total=total, done=output.done.lines) as progress:
        while True:
            with waiting():
                taken = take_chunk(lines, companions, min(chunk, part.stop - lines.number))
            if not taken.lines:
                break
            written = translate(taken, progress)
            output.write(
                "".join(text + "\n" for text in written.texts).encode(),
                output.done.add(written.best, input_sha256=lines.sha256.hexdigest()),
            )
            warnings.add(taken.first, written.best, limit=limit)
    warnings.conclude(output.done)


class Warnings:
    """Warnings about lines. The first MOST_WARNINGS of each kind name their line, and all are counted at the end."""

    def __init__(self, name: str):
        self.name = name
        self.counts: Counter[str] = Counter()

    def add(self, first: int, best: Sequence[Translation], *, limit: int) -> None:
        """Warn of lines without a translation, and of lines of more than `limit` tokens."""
        for number, one in enumerate(best, first):
            if one.problem:
                self.tell("problem", number, f"left empty: {one.problem}")
            elif is_divided(one, limit):
                text = f"longer than {limit} tokens, the longest in training: translated in {one.parts} parts"
                self.tell("parts", number, text)

    def tell(self, kind: str, number: int, text: str) -> None:
        """Warn of a line, unless there were many such lines."""
        self.counts[kind] += 1
        if self.counts[kind] <= MOST_WARNINGS:
            tell(f"warning: {self.name}, line {number}: {text}")
        elif self.counts[kind] == MOST_WARNINGS + 1:
            tell(f"warning: {self.name}, line {number}: {text}; more such lines are only counted")

    def conclude(self, done: Done) -> None:
        """Report how many lines of the output are unusual, those of earlier commands that it resumed included."""
        if not done.lines:
            tell(f"warning: {self.name}: no lines, so there is nothing to translate")
        if done.failed:
            tell(
                f"warning: {self.name}: {done.failed} of {done.lines} lines could not be translated and are left empty"
            )
        if self.counts["parts"] > MOST_WARNINGS:
            tell(f"warning: {self.name}: {self.counts['parts']} lines were translated in parts")
        if done.unfinished:
            tell(
                f"warning: {self.name}: {done.unfinished} of {done.lines} lines met the length limit before their end: "
                "see decoding.maximum_ratio and decoding.maximum_extra"
            )


def is_divided(one: Translation, limit: int) -> bool:
    """Whether a line of more than `limit` tokens, EOS included, was translated in parts."""
    return one.parts > 1 and sum(len(part.source) - 1 for part in one.ids) >= limit


def take_chunk(lines: LineStream, companions: Sequence[LineStream], count: int) -> Chunk:
    """The next lines, at most `count`, with their companions. A line is blank if it or a companion cannot be read."""
    first = lines.number + 1
    taken = lines.take(count)
    is_end = not taken and not lines.take(1)  # a part of a text ends before the text does
    beside = [take_beside(stream, lines, len(taken), is_end=is_end) for stream in companions]
    problems = {number - first: problem for number, problem in lines.take_problems().items()}
    for stream in companions:
        for number, problem in stream.take_problems().items():
            problems[number - first] = f"{stream.name}: {problem}"
    return Chunk(first, ["" if index in problems else line for index, line in enumerate(taken)], beside, problems)


def take_beside(stream: LineStream, lines: LineStream, count: int, *, is_end: bool) -> list[str]:
    """The next `count` lines of a companion. InputError if it has fewer lines than the text, or more."""
    taken: list[str] = []
    while len(taken) < count and (more := stream.take(count - len(taken))):
        taken += more
    if len(taken) < count:
        raise InputError(f"{stream.name} has {stream.number} lines, fewer than {lines.name}: line n belongs to line n")
    if is_end and stream.take(1):
        raise InputError(
            f"{stream.name} has more lines than the {lines.number} of {lines.name}: line n belongs to line n"
        )
    return taken

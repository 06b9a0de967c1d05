"""From a stream of lines to an output, a chunk at a time: memory does not grow with the number of lines."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from data.errors import InputError
from dragoman.messages import Progress, tell
from dragoman.translation.output.line_stream import LineStream
from dragoman.translation.output.resumable_output import Done, Output


class Written(NamedTuple):
    """What is written for a chunk of lines."""

    texts: Sequence[str]  # a line each, without its end
    unfinished: int  # translations that the length limit has cut
    parts: Sequence[int]  # in how many parts each line was translated


# What to write for the lines of a chunk, of which the first has a number from 1; and for the lines of companions.
Translate = Callable[[int, Sequence[str], Sequence[Sequence[str]], Progress], Written]


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
    """Translate the lines of a part, counted from 0, that the output does not have yet, and warn of unusual ones.

    `companions` have a line for each line: prefixes, translations to score. `total` is for the time left; lines of more
    than `limit` tokens were translated in parts; whatever may take long to read is read within `waiting()`, so that it
    can be interrupted.
    """
    with waiting():
        for stream in (lines, *companions):
            stream.skip(part.start)
        lines.skip(output.done.lines, sha256=output.done.input_sha256)
        for stream in companions:
            stream.skip(output.done.lines)
    with Progress("translate", total=total, done=output.done.lines) as progress:
        while True:
            first = lines.number + 1
            with waiting():
                taken = lines.take(min(chunk, part.stop - lines.number))
                beside = [take_beside(stream, lines, len(taken), is_end=not taken) for stream in companions]
            if not taken:
                break
            written = translate(first, taken, beside, progress)
            unfinished = output.done.unfinished + written.unfinished
            output.write(
                "".join(text + "\n" for text in written.texts).encode(),
                Done(output.done.lines + len(taken), unfinished, lines.sha256.hexdigest()),
            )
            for number, parts in enumerate(written.parts, first):
                if parts > 1:
                    tell(
                        f"warning: {lines.name}, line {number}: longer than {limit} tokens, the longest in training: "
                        f"translated in {parts} parts"
                    )
    if unfinished := output.done.unfinished:
        tell(
            f"warning: {lines.name}: {unfinished} of {output.done.lines} lines met the length limit before their end: "
            "see decoding.maximum_ratio and decoding.maximum_extra"
        )


def take_beside(stream: LineStream, lines: LineStream, count: int, *, is_end: bool) -> list[str]:
    """As many lines of a companion; InputError if it has fewer than the text, or more."""
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

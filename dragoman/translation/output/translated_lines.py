"""Translates a stream of lines to an output, a chunk at a time: memory does not grow with the number of lines."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from data.errors import InputError
from dragoman.messages import ProgressBar, tell
from dragoman.translation.output.line_stream import LineStream
from dragoman.translation.output.resumable_output import Done, Output


class Written(NamedTuple):
    """The output for a chunk of lines."""

    texts: Sequence[str]  # output lines, without line breaks
    unfinished: int  # translations that met the length limit
    cuts: Sequence[int]  # the number of parts of each line that was too long for one search, else 0


# The output for a chunk: from the number of its first line, counted from 1, its lines, and the lines of companions.
Translate = Callable[[int, Sequence[str], Sequence[Sequence[str]], ProgressBar], Written]


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
    time left. Warnings name lines of more than `limit` tokens, which are translated in parts. Reads that may block run
    within `waiting()`, so that they can be interrupted.
    """
    with waiting():
        for stream in (lines, *companions):
            stream.skip(part.start)
        lines.skip(output.done.lines, sha256=output.done.input_sha256)
        for stream in companions:
            stream.skip(output.done.lines)
    with ProgressBar("translate", total=total, done=output.done.lines) as progress:
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
            for number, parts in enumerate(written.cuts, first):
                if parts:
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

"""From a stream of lines to an output, a chunk at a time: memory does not grow with the number of lines."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from data.line_stream import LineStream
from data.progress import Progress, tell
from data.resumable_output import Done, Output
from data.translation import Translation, show

Search = Callable[[Sequence[str], Progress], list[list[Translation]]]  # lines to the translations of each, best first


def write_translations(
    search: Search,
    lines: LineStream,
    output: Output,
    *,
    part: range,
    total: int | None,
    chunk: int,
    use_json: bool,
    limit: int,
    waiting: Callable[[], AbstractContextManager[None]],
) -> None:
    """Translate the lines of a part, counted from 0, that the output does not have yet, and tell of the unusual ones.

    `total` is for the time left; lines of more than `limit` tokens were translated in parts; whatever may take long to
    read is read within `waiting()`, so that it can be interrupted.
    """
    with waiting():
        lines.skip(part.start)
        lines.skip(output.done.lines, sha256=output.done.input_sha256)
    with Progress("translate", total=total, done=output.done.lines) as progress:
        while True:
            first = lines.number + 1
            with waiting():
                taken = lines.take(min(chunk, part.stop - lines.number))
            if not taken:
                break
            found = search(taken, progress)
            texts = [show(number, one, use_json=use_json) + "\n" for number, one in enumerate(found, first)]
            unfinished = output.done.unfinished + sum(not one[0].is_finished for one in found)
            output.write(
                "".join(texts).encode(), Done(output.done.lines + len(taken), unfinished, lines.sha256.hexdigest())
            )
            for number, one in enumerate(found, first):
                if one[0].parts > 1:
                    tell(
                        f"warning: {lines.name}, line {number}: longer than {limit} tokens, the longest in training: "
                        f"translated in {one[0].parts} parts"
                    )
    if unfinished := output.done.unfinished:
        tell(
            f"warning: {lines.name}: {unfinished} of {output.done.lines} lines met the length limit before their end: "
            "see decoding.maximum_ratio and decoding.maximum_extra"
        )

"""Translates with an exported model: one output line for each input line, in order.

    python translate.py < input.txt > output.txt

Needs ctranslate2 and sentencepiece, and the directory that this file was exported to, whose folder data/ has the
modules that prepare text. Hypotheses are ranked by the run's own length penalty. Translations can still differ from the
run's because of rounding, and because CTranslate2 redistributes the probability of the three tokens that are never
written.
"""

import argparse
import itertools
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ctranslate2
import sentencepiece

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))  # python -I leaves it out

from data.text.cleaning import one_line
from data.text.joining import join_parts
from data.text.long_lines import encode_parts
from data.text.preparation import SourceRules, as_source, prepare
from data.text.statistics import SOURCE_TEXT, SourceStatistics

# The search ranks hypotheses by plain sums, and ends when as many as the beam have ended. With a penalty of exactly 0,
# CTranslate2 ends at another point; with this one it divides by length ** 1e-30, which is 1.
NO_PENALTY = 1e-30
NEVER_WRITTEN = [["<pad>"], ["<unk>"], ["<s>"]]
BEGIN, END = "<s>", "</s>"
SMALLEST_BUCKET = 16
CHUNK = 1024  # lines that are sorted by length, searched and written together

# The base that is raised to the penalty, for a hypothesis of this length including its end. "gnmt" is equation 14 of
# Wu et al. 2016.
BASES: dict[str, Callable[[int], float]] = {"gnmt": lambda length: (5 + length) / 6, "power": lambda length: length}

# SentencePiece writes a space as U+2581, so a real U+2581 in the text is escaped.
ESCAPES = {"\ufdd0": "\ufdd00", "\u2581": "\ufdd01"}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Hypothesis(NamedTuple):
    """One translation of a row, as pieces without </s>."""

    pieces: list[str]
    log_probability: float
    score: float  # log-probability divided by the length penalty
    is_finished: bool  # False: the length limit came first


class EncoderDecoder:
    """CTranslate2's engine of an encoder-decoder."""

    def __init__(self, directory: str, **options: Any):
        self.engine = ctranslate2.Translator(directory, **options)

    def search(self, rows: Sequence[Sequence[str]], *, limit: int, **options: Any) -> list[Any]:
        """The search of each row, under way: `result().hypotheses` are its translations of up to `limit` pieces."""
        lengths = {"max_input_length": 0, "max_decoding_length": limit, "min_decoding_length": 0}
        return self.engine.translate_batch([list(row) for row in rows], **lengths, **options)

    def score(self, rows: Sequence[Sequence[str]], targets: Sequence[Sequence[str]], *, size: int) -> list[list[float]]:
        """The log-probability of each piece of the targets, and of their end."""
        found = self.engine.score_batch(rows, targets, max_batch_size=size, max_input_length=0)
        return [result.log_probs for result in found]


class DecoderOnly:
    """CTranslate2's engine of a decoder-only model, which continues the prompt `<s> source <s>`."""

    def __init__(self, directory: str, **options: Any):
        self.engine = ctranslate2.Generator(directory, **options)

    def prompt(self, row: Sequence[str]) -> list[str]:
        """What the model reads before a translation."""
        return [BEGIN, *row, BEGIN]

    def search(self, rows: Sequence[Sequence[str]], *, limit: int, **options: Any) -> list[Any]:
        """As `EncoderDecoder.search`, in batches of rows of equal length.

        CTranslate2 reads the prompts of a batch at once up to the shortest one's length; the rest of the longer ones
        goes through the search, which may not choose `<s>`.
        """
        groups: dict[int, list[int]] = {}
        for index, row in enumerate(rows):
            groups.setdefault(len(row), []).append(index)
        found: dict[int, Any] = {}
        for indices in groups.values():
            prompts = [self.prompt(rows[index]) for index in indices]
            started = self.engine.generate_batch(
                prompts, max_length=limit, min_length=0, include_prompt_in_result=False, **options
            )
            found |= {index: Generated(one) for index, one in zip(indices, started, strict=True)}
        return [found[index] for index in range(len(rows))]

    def score(self, rows: Sequence[Sequence[str]], targets: Sequence[Sequence[str]], *, size: int) -> list[list[float]]:
        """As `EncoderDecoder.score`."""
        texts = [[*self.prompt(row), *target, END] for row, target in zip(rows, targets, strict=True)]
        found = self.engine.score_batch(texts, max_batch_size=size, max_input_length=0)
        return [result.log_probs[len(row) + 1 :] for row, result in zip(rows, found, strict=True)]


class Generated(NamedTuple):
    """A generation under way, whose result has the names of a translation's."""

    started: Any

    def result(self) -> Any:
        """The result, when it is there."""
        done = self.started.result()
        return Found(done.sequences, done.scores)


class Found(NamedTuple):
    """The hypotheses of a row, as pieces, and their log-probabilities."""

    hypotheses: list[list[str]]
    scores: list[float]


ENGINES: dict[str, type[EncoderDecoder | DecoderOnly]] = {
    "encoder_decoder": EncoderDecoder,
    "decoder_only": DecoderOnly,
}


class Translator:
    """An exported model with its tokenizer."""

    def __init__(
        self,
        directory: str | Path,
        *,
        compute_type: str = "default",
        inter_threads: int = 1,
        intra_threads: int = 0,
    ):
        home = Path(directory)
        self.about = json.loads((home / "dragoman.json").read_text(encoding="utf-8"))
        self.rules = SourceRules(**self.about["source"], usual=SourceStatistics.load(home / SOURCE_TEXT).usual)
        self.model: EncoderDecoder | DecoderOnly = ENGINES[self.about["assembly"]](
            str(home), compute_type=compute_type, inter_threads=inter_threads, intra_threads=intra_threads
        )
        self.source, self.target = (
            sentencepiece.SentencePieceProcessor(model_file=str(home / self.about[f"{side}_tokenizer"]))
            for side in ("source", "target")
        )

    def encode(self, lines: Sequence[str]) -> list[list[str]]:
        """The pieces of each line. CTranslate2 adds </s>."""
        escaped = [re.sub("[\ufdd0\u2581]", lambda match: ESCAPES[match.group()], line) for line in lines]
        rows: list[list[str]] = self.source.encode(escaped, out_type=str)
        return rows

    def decode(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """The text of each row of pieces, on one line."""
        texts = [self.target.decode_pieces(list(row)) for row in rows]
        texts = [re.sub("\ufdd0[01]", lambda match: "\ufdd0\u2581"[int(match.group()[1])], text) for text in texts]
        return [one_line(text) for text in texts]

    def longest_output(self, length: int) -> int:
        """The length limit of the translation of `length` pieces; both lengths include </s>."""
        longest = int(length * self.about["maximum_ratio"]) + self.about["maximum_extra"]
        return max(1, min(longest, self.about["maximum_length"]))

    def search(
        self,
        rows: Sequence[Sequence[str]],
        *,
        beam: int | None = None,
        length_penalty: float | None = None,
        batch_size: int = 32,
    ) -> list[Hypothesis]:
        """The best hypothesis of each row. CTranslate2 sorts rows by length into batches of `batch_size`.

        The rows of a bucket are searched together with the length limit of its longest row, so that batches are full.
        The few rows with a hypothesis beyond their own limit are searched again with that limit.
        """
        beam = beam or self.about["beam"]
        alpha = self.about["length_penalty"] if length_penalty is None else length_penalty
        lengths = [len(row) + 1 for row in rows]
        buckets = [self.longest_output(max(SMALLEST_BUCKET, 1 << (length - 1).bit_length())) for length in lengths]
        results = self.search_to(dict(enumerate(buckets)), rows, beam=beam, batch_size=batch_size)
        limits = {index: self.longest_output(length) for index, length in enumerate(lengths)}
        late = {
            index: limit
            for index, limit in limits.items()
            if max(map(len, results[index].hypotheses), default=0) > limit
        }
        results |= self.search_to(late, rows, beam=beam, batch_size=batch_size)
        found = [results[index] for index in range(len(rows))]
        return [best(result.hypotheses, result.scores, alpha, self.about["penalty"]) for result in found]

    def search_to(
        self, limits: Mapping[int, int], rows: Sequence[Sequence[str]], *, beam: int, batch_size: int
    ) -> dict[int, Any]:
        """CTranslate2's result for each row with a length limit, by the row's index."""
        groups: dict[int, list[int]] = {}
        for index, limit in limits.items():
            groups.setdefault(limit, []).append(index)
        pending: dict[int, Any] = {}
        for limit, indices in groups.items():
            started = self.model.search(
                [rows[index] for index in indices],
                limit=limit,
                beam_size=beam,
                num_hypotheses=beam,
                length_penalty=NO_PENALTY,
                max_batch_size=batch_size,
                suppress_sequences=NEVER_WRITTEN,
                return_scores=True,
                return_end_token=True,
                asynchronous=True,
            )
            pending |= dict(zip(indices, started, strict=True))
        return {index: started.result() for index, started in pending.items()}

    def translate(
        self,
        lines: Sequence[str],
        *,
        beam: int | None = None,
        length_penalty: float | None = None,
        batch_size: int = 32,
    ) -> list[str]:
        """The best translation of each line: of its sentences, and of the parts of those that are too long."""
        found = self.translate_parts(lines, beam=beam, length_penalty=length_penalty, batch_size=batch_size)
        return [text for text, _ in found]

    def translate_parts(
        self, lines: Sequence[str], *, beam: int | None, length_penalty: float | None, batch_size: int
    ) -> list[tuple[str, bool]]:
        """The best translation of each line, and whether a sentence of it was too long for one search."""
        sources = [prepare(line, self.rules) for line in lines]
        sentences = [sentence for source in sources for sentence in source.sentences]
        parts = encode_parts(sentences, self.encode, room=self.about["maximum_tokens"] - 1)
        rows = [row for part in parts for row in part]
        found = self.search(rows, beam=beam, length_penalty=length_penalty, batch_size=batch_size)
        texts = iter(self.decode([hypothesis.pieces for hypothesis in found]))
        numbers = iter(map(len, parts))
        translated = []
        for source in sources:
            counts = list(itertools.islice(numbers, len(source.sentences)))
            text = join_parts(itertools.islice(texts, sum(counts)), has_spaces=self.about["has_spaces"])
            translated.append((as_source(text, source, self.rules), any(count > 1 for count in counts)))
        return translated


def best(
    hypotheses: Sequence[Sequence[str]], log_probabilities: Sequence[float], alpha: float, penalty: str
) -> Hypothesis:
    """The finished hypothesis with the highest score under this length penalty, or else an unfinished one."""
    found = []
    for pieces, log_probability in zip(hypotheses, log_probabilities, strict=True):
        is_finished = list(pieces[-1:]) == [END]
        score = log_probability * BASES[penalty](len(pieces)) ** -alpha
        found.append(Hypothesis(list(pieces[: len(pieces) - is_finished]), log_probability, score, is_finished))
    return max(found, key=lambda hypothesis: (hypothesis.is_finished, hypothesis.score))


def read_chunks(stream: Iterable[bytes], size: int) -> Iterator[list[str]]:
    """The lines of a stream, `size` at a time. ValueError names a line that is not UTF-8, after the lines before it."""
    chunk: list[str] = []
    for number, line in enumerate(stream, 1):
        content = line.removesuffix(b"\n").removesuffix(b"\r")
        if number == 1 and line == BYTE_ORDER_MARK:  # a text of no lines
            continue
        try:
            chunk.append((content.removeprefix(BYTE_ORDER_MARK) if number == 1 else content).decode())
        except UnicodeDecodeError as error:
            yield chunk
            byte = content[error.start]
            raise ValueError(f"line {number}: not UTF-8 (byte 0x{byte:02x}): convert the text to UTF-8") from None
        if len(chunk) == size:
            yield chunk
            chunk = []
    yield chunk


def run(options: argparse.Namespace) -> None:
    """Translate standard input. ValueError for a line that cannot be read."""
    translator = Translator(Path(__file__).parent, compute_type=options.compute_type)
    size = 1 if sys.stdin.isatty() else CHUNK
    first = 1
    for lines in read_chunks(iter(sys.stdin.buffer.readline, b""), size):
        translated = translator.translate_parts(
            lines, beam=options.beam, length_penalty=options.length_penalty, batch_size=options.batch_size
        )
        sys.stdout.buffer.write("".join(text + "\n" for text, _ in translated).encode())
        sys.stdout.buffer.flush()
        for number, (_, is_cut) in enumerate(translated, first):
            if is_cut:
                print(f"warning: line {number} has a sentence too long for one search", file=sys.stderr)
        first += len(lines)


def main() -> int:
    """The exit status of the command line: 2 for bad input, and that of a signal if the output is closed."""
    parser = argparse.ArgumentParser(description="Translate with this model: one output line for each input line.")
    parser.add_argument("--beam", type=int, metavar="N", help="hypotheses kept; 1: greedy (default: the run's)")
    parser.add_argument("--length-penalty", type=float, metavar="X", help="exponent; 0: none (default: the run's)")
    parser.add_argument(
        "--batch-size", type=int, metavar="N", default=32, help="sentences searched at once (default 32)"
    )
    parser.add_argument("--compute-type", default="default", help="int8, float32, ... (default: as exported)")
    options = parser.parse_args()
    if min(options.batch_size, 1 if options.beam is None else options.beam) < 1:
        parser.error("--beam and --batch-size: expected at least 1")
    if not 0 <= (options.length_penalty or 0) < math.inf:
        parser.error(f"--length-penalty is {options.length_penalty}: expected a number from 0 on")
    try:
        run(options)
    except BrokenPipeError:  # the reader, such as head, has what it needs
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    except (OSError, RuntimeError, ValueError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

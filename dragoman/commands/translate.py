"""Translate lines of text with a run: one output line for each input line, in order.

    dragoman translate runs/m30k < input.txt > output.txt
    dragoman translate runs/m30k --input input.txt --output output.txt      # resumes after an interruption

From Python, use `from dragoman import Translator`.
"""

import argparse
import contextlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from data.errors import InputError
from data.languages import are_same
from dragoman.commands.compiling import announcing_compilation
from dragoman.commands.options import section_overrides
from dragoman.commands.paths import check_outputs
from dragoman.commands.terms_report import TermsReport, word_notes
from dragoman.commands.translation_options import output_identity, parse_translation_options
from dragoman.messages import ProgressBar, tell
from dragoman.runs.loading import run_of_checkpoint
from dragoman.runs.run import Run
from dragoman.signals import Interrupted, StopRequest
from dragoman.translation.glossary import read_glossary, read_words
from dragoman.translation.guard import count_flags, flags
from dragoman.translation.loaded import Demands
from dragoman.translation.marks import Marks
from dragoman.translation.output.line_stream import LineStream, open_lines
from dragoman.translation.output.resumable_output import Output, StreamOutput, open_output
from dragoman.translation.output.shards import Shard, choose_shard
from dragoman.translation.output.translated_lines import Chunk, Written, write_translations
from dragoman.translation.result import Translation, show_aligned, show_json, without_translation
from dragoman.translation.translator import CHUNK, Translator
from transformer.devices.compilation import use_compilation_cache
from transformer.devices.processes import place_in_job

COMPILING = "compiling the search, once for each length of line; later commands find it in the cache"


class Job:
    """A text to translate, with the counts that `report` prints at the end."""

    def __init__(self, translator: Translator, options: argparse.Namespace, stop: StopRequest):
        self.translator, self.options, self.stop = translator, options, stop
        self.flags: Counter[str] = Counter()
        self.terms = TermsReport()
        self.marks = marks_of(translator) if options.json else None

    def chunk(self, chunk: Chunk, progress: ProgressBar) -> Written:
        """The output for the lines of a chunk. Its companions are prefixes, or translations to score."""
        first, lines = chunk.first, chunk.lines
        prefixes = chunk.beside[0] if chunk.beside and not self.options.score else ()
        if self.options.score:
            found = self.translator.score(lines, chunk.beside[0])
            progress.add(lines=len(lines))
        else:
            found = self.translator.search_chunk(
                lines,
                batch_size=self.options.batch_size,
                progress=progress,
                is_stopping=lambda: self.stop.requested,
                first=first,
                prefixes=prefixes,
            )
        for index, problem in chunk.problems.items():
            found[index] = without_translation(problem)
        flagged = [self.flags_of(line, ranks[0]) for line, ranks in zip(lines, found, strict=True)]
        if self.options.guard == "again":
            self.search_again(first, lines, prefixes, found, flagged)
        self.flags += count_flags(flagged)
        for number, ranks in enumerate(found, first):
            self.terms.add(number, ranks[0].terms)
        return Written(self.show(first, lines, found, flagged), [ranks[0] for ranks in found])

    def flags_of(self, line: str, best: Translation) -> tuple[str, ...]:
        """The guard's flags for a translation."""
        data = self.translator.config.data
        if best.problem:
            return ()
        return flags(line, best.text, skip=("copy",) if are_same(data.source_language, data.target_language) else ())

    def search_again(
        self,
        first: int,
        lines: Sequence[str],
        prefixes: Sequence[str],
        found: list[list[Translation]],
        flagged: list[tuple[str, ...]],
    ) -> None:
        """Replace each flagged translation by that of a more careful search, if the new one has no flags."""
        for index, names in enumerate(flagged):
            if names:
                beginning = prefixes[index : index + 1]
                [anew] = self.translator.search_carefully([lines[index]], first=first + index, prefixes=beginning)
                if not (anew[0].problem or (better := self.flags_of(lines[index], anew[0]))):
                    found[index], flagged[index] = anew, better

    def show(
        self,
        first: int,
        lines: Sequence[str],
        found: Sequence[Sequence[Translation]],
        flagged: Sequence[tuple[str, ...]],
    ) -> list[str]:
        """The output lines: text, scores, alignments or JSON, depending on the options."""
        if not self.options.json and not self.options.alignments:
            return [self.show_plainly(ranks[0]) for ranks in found]
        details = self.translator.details(lines, found)
        if self.options.alignments:
            return [show_aligned(ranks, known) for ranks, known in zip(found, details, strict=True)]
        together = zip(found, details, flagged, strict=True)
        mark = self.marks.mark if self.marks else None
        return [show_json(number, *of_line, mark) for number, of_line in enumerate(together, first)]

    def show_plainly(self, best: Translation) -> str:
        """The text of a translation, or the log-probability of a given one; empty if there is none."""
        return f"{best.log_probability:.6f}" if self.options.score and not best.problem else best.text

    def report(self) -> None:
        """Report how many required terms appeared, which did not, and what the guard found."""
        for line in self.terms.lines():
            tell(line)
        if self.options.guard:
            each = ", ".join(f"{name} {count}" for name, count in sorted(self.flags.items()) if name != "any")
            tell(f"guard: {self.flags['any']} lines flagged" + (f": {each}" if each else ""))


def main(arguments: list[str]) -> int | None:
    """The exit status of the command. It translates a chunk of lines at a time, to stdout or to a resumable file."""
    options = parse_translation_options(arguments, chunk=CHUNK)
    use_compilation_cache()
    process, processes = place_in_job(options.coordinator, options.processes, options.process)
    has_files = bool(options.input and options.output)
    shard = choose_shard(options.shard, process=process, processes=processes, has_files=has_files)
    check_outputs(
        [("--output", shard.path(options.output) if options.output else None)],
        [(f"--{name}", getattr(options, name)) for name in ("input", "prefix", "score", "terms", "banned")],
        runs=[options.run, *options.ensemble],
    )
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        lines = stack.enter_context(open_lines(options.input))
        beside = [stack.enter_context(open_lines(path)) for path in (options.prefix, options.score) if path]
        with contextlib.suppress(Interrupted), announcing_compilation(COMPILING):
            translate_file(lines, beside, shard, options, stop)
    return stop.exit_status


def translate_file(
    lines: LineStream, beside: Sequence[LineStream], shard: Shard, options: argparse.Namespace, stop: StopRequest
) -> None:
    """Translate a shard of a text and print the report. Raises Interrupted after a request to stop."""
    with stop.interrupting():
        total = lines.count()
    part = shard.lines(total, name=lines.name)
    translator = load(options)
    for note in word_notes(translator.terminology.glossary.repeated, translator.unwritable):
        tell(note)
    job = Job(translator, options, stop)
    marks = {"marks": list(job.marks)} if job.marks else {}
    identity = {**translator.identity(), **output_identity(options), **marks, "shard": str(shard)}
    path = shard.path(options.output) if options.output else None
    with open_output(path, identity=identity, restart=options.restart) as output:
        try:
            write_translations(
                job.chunk,
                lines,
                beside,
                output,
                part=part,
                total=None if total is None else len(part),
                chunk=options.chunk,
                limit=translator.limit,
                waiting=stop.interrupting,
            )
        except (Interrupted, InputError):
            tell_progress(output)
            raise
    job.report()


def tell_progress(output: Output) -> None:
    """Say how much of an output is written when it stops early, and how to resume."""
    if output.partial and output.done.lines:
        tell(f"stopped: {output.partial} has {output.done.lines} lines; run the same command to resume")
    elif isinstance(output, StreamOutput):
        tell(
            f"stopped: {output.name} has {output.done.lines} lines, which cannot be resumed: "
            "with --output FILE, the same command resumes"
        )


def marks_of(translator: Translator) -> Marks | None:
    """The thresholds that the run has for this model; None for others, as for an ensemble."""
    run = run_of_checkpoint(Path(translator.run)) or Run(translator.run)
    return Marks.load(run.path, translator.parameters_sha256)


def load(options: argparse.Namespace) -> Translator:
    """The translator that the options describe."""
    return Translator.load(
        options.run,
        checkpoint=options.checkpoint,
        beam=options.beam,
        length_penalty=options.length_penalty,
        n_best=options.n_best,
        decoding=section_overrides(options, "decoding"),
        ensemble=options.ensemble,
        demands=Demands(
            terms=tuple(read_glossary(options.terms, inflections=options.inflections)) if options.terms else (),
            banned=tuple(read_words(options.banned)) if options.banned else (),
            mbr=options.mbr,
        ),
    )

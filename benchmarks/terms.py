"""Translation quality with required terms: BLEU with terms taken from the reference, or with a given glossary.

    python benchmarks/terms.py runs/m30k test.en test.de --lines 300 [--most 2] [--glossary terms.tsv]

By default each line gets terms of its own: up to `--most` words of its reference that the translation without terms
lacks, the longest first, each with the source word that the model aligns it to. Requiring such terms tells the search
something true, so BLEU must rise. With --glossary, its terms are required of all lines instead.

The script prints, without terms and with them: BLEU, the terms met as whole words, the lines in which something follows
the last full stop that did not without terms, the lines flagged as loops, and the seconds that the search took, with
compilation in the first. `--examples` shows changed lines. The last line is JSON.
"""

import json
import re
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from data.lines import read_lines
from dragoman.commands.options import ArgumentParser, run_main
from dragoman.evaluation.metrics import METRICS
from dragoman.translation.glossary import Term, read_glossary
from dragoman.translation.guard import is_loop
from dragoman.translation.loaded import Demands
from dragoman.translation.translator import Translator
from transformer.devices.compilation import use_compilation_cache, use_cores

SHORTEST = 4  # letters of a word that is taken as a term
EDGES = re.compile(r"^\W+|\W+$")
AFTER_THE_END = re.compile(r"[.!?]\s+\S|[^.!?\"')»”]$")


class Outcome(NamedTuple):
    """The translations of one way to search, and the seconds it took."""

    name: str
    texts: list[str]
    seconds: float


def bare(word: str) -> str:
    """A word without the punctuation around it."""
    return EDGES.sub("", word)


def reference_terms(
    translator: Translator, lines: Sequence[str], references: Sequence[str], plain: Sequence[str], most: int
) -> list[list[Term]]:
    """The terms of each line: words of its reference that the plain translation lacks, with their source words."""
    details = translator.details(lines, translator.score(lines, references))
    found = []
    for line, reference, text, [about] in zip(lines, references, plain, details, strict=True):
        sources, targets = line.split(), reference.split()
        known = {bare(word).lower() for word in text.split()}
        terms: dict[str, Term] = {}
        for source, target in sorted(about.alignment, key=lambda link: (-len(bare(targets[link[1]])), link)):
            wanted, own = bare(targets[target]), bare(sources[source])
            if len(wanted) >= SHORTEST and wanted.isalpha() and own.isalpha() and wanted.lower() not in known:
                terms.setdefault(own.lower(), Term(own, wanted))
        found.append(list(terms.values())[:most])
    return found


def with_terms(translator: Translator, lines: Sequence[str], terms: Sequence[Sequence[Term]]) -> Outcome:
    """The translations of lines that have terms of their own: lines whose terms agree share a glossary."""
    start = time.perf_counter()
    texts = [""] * len(lines)
    for group, glossary in groups(lines, terms):
        found = translator.with_(demands=Demands(terms=tuple(glossary))).translate([lines[n] for n in group])
        for n, text in zip(group, found, strict=True):
            texts[n] = text
    return Outcome("terms of the reference", texts, time.perf_counter() - start)


class Group(NamedTuple):
    """Lines whose terms agree: none has the source of another's term, except with the same target."""

    lines: list[int]
    glossary: dict[str, Term]
    words: set[str]

    def agrees(self, words: Collection[str], own: Mapping[str, Term]) -> bool:
        """Whether a line with these words and terms may join."""
        return all(own.get(word) == self.glossary.get(word) for word in words if word in self.glossary) and all(
            self.glossary.get(word) == term for word, term in own.items() if word in self.words
        )


def groups(lines: Sequence[str], terms: Sequence[Sequence[Term]]) -> list[tuple[list[int], list[Term]]]:
    """The lines in groups that can share a glossary, and the glossary of each."""
    found: list[Group] = []
    for n, (line, own_terms) in enumerate(zip(lines, terms, strict=True)):
        words, own = set(re.findall(r"\w+", line.lower())), {term.source.lower(): term for term in own_terms}
        group = next((group for group in found if group.agrees(words, own)), None)
        if group is None:
            found.append(group := Group([], {}, set()))
        group.lines.append(n)
        group.glossary.update(own)
        group.words.update(words)
    return [(group.lines, list(group.glossary.values())) for group in found]


def with_glossary(translator: Translator, lines: Sequence[str], path: str) -> Outcome:
    """The translations under a glossary for all lines."""
    start = time.perf_counter()
    texts = translator.with_(demands=Demands(terms=tuple(read_glossary(path)))).translate(lines)
    return Outcome("glossary", texts, time.perf_counter() - start)


def has_words(text: str, term: Term) -> bool:
    """Whether a text has a term as whole words; independent of the program's own test."""
    return re.search(rf"(?<!\w){re.escape(term.target)}(?!\w)", text) is not None


def in_line(line: str, terms: Sequence[Term]) -> list[Term]:
    """The terms of a glossary whose source a line has as whole words."""
    return [term for term in terms if re.search(rf"(?<!\w){re.escape(term.source)}(?!\w)", line, re.IGNORECASE)]


def measure(
    outcome: Outcome,
    plain: Sequence[str],
    lines: Sequence[str],
    references: Sequence[str],
    terms: Sequence[Sequence[Term]],
    language: str,
) -> dict[str, object]:
    """The figures of one way to search."""
    pairs = [(text, term) for text, own in zip(outcome.texts, terms, strict=True) for term in own]
    changed = list(zip(lines, plain, outcome.texts, strict=True))
    return {
        "search": outcome.name,
        "bleu": METRICS["bleu"].score(outcome.texts, references, language).score,
        "terms": len(pairs),
        "met": sum(has_words(text, term) for text, term in pairs),
        "after_the_end": sum(
            bool(AFTER_THE_END.search(text)) and not AFTER_THE_END.search(before) for _, before, text in changed
        ),
        "loops": sum(is_loop(line, text) and not is_loop(line, before) for line, before, text in changed),
        "seconds": outcome.seconds,
    }


def main(arguments: list[str]) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks/terms.py", description="Translation quality with required terms.")
    parser.add_argument("run", metavar="RUN", help="run directory, or a checkpoint in one")
    parser.add_argument("source", metavar="SOURCE", help="text to translate; plain, .gz or .xz")
    parser.add_argument("reference", metavar="REFERENCE", help="its reference translation")
    parser.add_argument("--lines", metavar="N", type=int, default=300, help="of both (default 300)")
    parser.add_argument("--first", metavar="N", type=int, default=0, help="lines left out before them (default 0)")
    parser.add_argument("--most", metavar="N", type=int, default=2, help="terms for each line (default 2)")
    parser.add_argument("--glossary", metavar="FILE", default="", help="require these terms instead")
    parser.add_argument("--examples", metavar="N", type=int, default=0, help="changed lines to show (default 0)")
    options = parser.parse_args(arguments)
    use_compilation_cache()
    translator = Translator.load(options.run)
    part = slice(options.first, options.first + options.lines)
    lines, references = read_lines(options.source)[part], read_lines(options.reference)[part]
    start = time.perf_counter()
    plain = Outcome("without terms", translator.translate(lines), 0.0)
    plain = plain._replace(seconds=time.perf_counter() - start)
    if options.glossary:
        terms = [in_line(line, read_glossary(options.glossary)) for line in lines]
        outcome = with_glossary(translator, lines, options.glossary)
    else:
        terms = reference_terms(translator, lines, references, plain.texts, options.most)
        outcome = with_terms(translator, lines, terms)
    language = translator.config.data.target_language
    found = [measure(one, plain.texts, lines, references, terms, language) for one in (plain, outcome)]
    affected = [n for n, own in enumerate(terms) if own]
    print(f"{options.run}: {len(lines)} lines, {len(affected)} with terms")
    print(f"{'search':24} {'BLEU':>6} {'terms met':>12} {'after the end':>13} {'loops':>5} {'seconds':>8}")
    for one in found:
        met = f"{one['met']} of {one['terms']}"
        print(
            f"{one['search']:24} {one['bleu']:6.2f} {met:>12} {one['after_the_end']:13} {one['loops']:5} "
            f"{one['seconds']:8.1f}"
        )
    for n in [n for n in affected if plain.texts[n] != outcome.texts[n]][: options.examples]:
        asked = ", ".join(f"{term.source} -> {term.target}" for term in terms[n])
        print(f"\n{lines[n]}\n  terms      {asked}\n  without    {plain.texts[n]}\n  with       {outcome.texts[n]}")
        print(f"  reference  {references[n]}")
    print(json.dumps(found))


if __name__ == "__main__":
    use_cores()
    run_main(main)

"""How well a run translates text as people have it: in capitals, with odd spaces, several sentences on a line.

    python benchmarks/rough_text.py RUN --source test.en --reference test.de [--lines 300]

Translates disturbed copies of a text twice: as each line is, and prepared as the run's knobs say (data.cleaning,
decoding.capitals, decoding.sentences). Scores are lower-cased, so that only words count. Prints a table and one JSON
line. Exits with status 1 if preparing changes a translation of the undisturbed text.
"""

import dataclasses
import json
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sacrebleu.metrics import BLEU, CHRF

from dragoman.commands.options import ArgumentParser, run_main
from dragoman.evaluation.held_out import read_test_set
from dragoman.translation.translator import Translator
from transformer.devices.compilation import use_compilation_cache, use_cores

TOGETHER = 3  # sentences on a line
SPACES = ("\t", "\u00a0", "  ", "\u3000", " \u200b")  # in turn, in place of every third space


def odd_spaces(line: str) -> str:
    """The line with white space and invisible characters that carry no meaning."""
    words = line.split(" ")
    spaces = [SPACES[place // 3 % len(SPACES)] if place % 3 == 0 else " " for place in range(len(words))]
    return f" {''.join(word + space for word, space in zip(words, spaces, strict=True))}"


DISTURBANCES: dict[str, Callable[[str], str]] = {
    "undisturbed": str,
    "UPPER CASE": str.upper,
    "Title Case": str.title,
    "odd spaces": odd_spaces,
}


def main(arguments: list[str]) -> int:
    """Translate, print, judge."""
    parser = ArgumentParser(prog="rough_text.py", description="Translation quality of disturbed text.")
    parser.add_argument("run", metavar="RUN", help="run directory")
    parser.add_argument("--source", metavar="FILE", required=True, help="text to translate, a sentence a line")
    parser.add_argument("--reference", metavar="FILE", required=True, help="its translation")
    parser.add_argument("--lines", metavar="N", type=int, default=300, help="lines taken from the text (default 300)")
    parser.add_argument("--beam", metavar="N", type=int, help="hypotheses kept (default: the run's)")
    options = parser.parse_args(arguments)
    use_compilation_cache()
    test_set = read_test_set(options.source, options.reference)
    sources, references = test_set.sources[: options.lines], test_set.reference[: options.lines]
    prepared = Translator.load(options.run, beam=options.beam)
    translators = {"as it is": unprepared(prepared), "prepared": prepared}
    texts = {name: ([change(line) for line in sources], references) for name, change in DISTURBANCES.items()}
    texts[f"{TOGETHER} sentences a line"] = (together(sources), together(references))
    rows, outputs = [], {}
    print(f"{'':24}{'as it is':>22}{'prepared':>22}\n{'text':24}" + f"{'BLEU':>11}{'chrF':>11}" * 2)
    for name, (lines, expected) in texts.items():
        row: dict[str, dict[str, float]] = {}
        for kind, translator in translators.items():
            start = time.perf_counter()
            outputs[name, kind] = found = translator.translate(lines)
            row[kind] = {**scores(found, expected), "seconds": round(time.perf_counter() - start, 1)}
        rows.append({"text": name, **row})
        print(f"{name:24}" + "".join(f"{row[kind][key]:11.2f}" for kind in translators for key in ("bleu", "chrf")))
    changed = sum(
        one != other for one, other in zip(*(outputs["undisturbed", kind] for kind in translators), strict=True)
    )
    about = {"run": Path(options.run).name, "lines": len(sources), "changed": changed, "machine": platform.platform()}
    print(json.dumps(about | {"rows": rows}))
    return int(changed > 0)


def unprepared(translator: Translator) -> Translator:
    """The same translator, which translates each line as it is."""
    data = translator.config.data.model_copy(update={"cleaning": "none"})
    plain = dataclasses.replace(translator, config=translator.config.model_copy(update={"data": data}))
    return plain.with_(decoding={"sentences": "never", "capitals": "keep"})


def together(lines: Sequence[str]) -> list[str]:
    """The lines, a few joined to one."""
    return [" ".join(lines[first : first + TOGETHER]) for first in range(0, len(lines), TOGETHER)]


def scores(found: Sequence[str], expected: Sequence[str]) -> dict[str, float]:
    """Lower-cased BLEU and chrF."""
    metrics = {"bleu": BLEU(lowercase=True), "chrf": CHRF(lowercase=True)}
    return {name: round(metric.corpus_score(found, [expected]).score, 2) for name, metric in metrics.items()}


if __name__ == "__main__":
    use_cores()
    run_main(main)

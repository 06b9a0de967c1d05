"""How well a run translates text as people have it: in capitals, with odd spaces, several sentences on a line.

    python benchmarks/rough_text.py RUN --source test.en --reference test.de [--lines 300] [--perturb upper,typos]

Translates disturbed copies of a text twice: as each line is, and prepared as the run's knobs say (data.cleaning,
decoding.capitals, decoding.sentences). The copies are those of `dragoman evaluate --perturb`. Scores are lower-cased,
so that only words count. Prints a table and one JSON line. Exits with status 1 if preparing changes a translation of
the undisturbed text.
"""

import dataclasses
import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path

from sacrebleu.metrics import BLEU, CHRF

from dragoman.commands.evaluation_values import perturbations_of
from dragoman.commands.options import ArgumentParser, run_main
from dragoman.evaluation.held_out import read_test_set
from dragoman.evaluation.robustness import disturbed_set
from dragoman.translation.translator import Translator
from transformer.devices.compilation import use_compilation_cache, use_cores

CLEAN = "undisturbed"
PREPARED = "upper,title,spaces,paragraphs"  # the disturbances that preparing is made for


def main(arguments: list[str]) -> int:
    """Translate, print, judge."""
    parser = ArgumentParser(prog="rough_text.py", description="Translation quality of disturbed text.")
    parser.add_argument("run", metavar="RUN", help="run directory")
    parser.add_argument("--source", metavar="FILE", required=True, help="text to translate, a sentence a line")
    parser.add_argument("--reference", metavar="FILE", required=True, help="its translation")
    parser.add_argument("--lines", metavar="N", type=int, default=300, help="lines taken from the text (default 300)")
    parser.add_argument("--beam", metavar="N", type=int, help="hypotheses kept (default: the run's)")
    parser.add_argument(
        "--perturb", metavar="NAMES", default=PREPARED, help=f"as `dragoman evaluate` knows them (default {PREPARED})"
    )
    options = parser.parse_args(arguments)
    kinds = perturbations_of(options)
    use_compilation_cache()
    test_set = read_test_set(options.source, options.reference)
    sources, reference = (lines[: options.lines] for lines in (test_set.sources, test_set.reference))
    clean = test_set._replace(sources=sources, references=[reference])
    prepared = Translator.load(options.run, beam=options.beam)
    languages = prepared.config.data.source_language, prepared.config.data.target_language
    texts = {CLEAN: clean} | {kind: disturbed_set(clean, kind, languages).test_set for kind in kinds}
    translators = {"as it is": unprepared(prepared), "prepared": prepared}
    rows, outputs = [], {}
    print(f"{'':24}{'as it is':>22}{'prepared':>22}\n{'text':24}" + f"{'BLEU':>11}{'chrF':>11}" * 2)
    for name, text in texts.items():
        row: dict[str, dict[str, float]] = {}
        for kind, translator in translators.items():
            start = time.perf_counter()
            outputs[name, kind] = found = translator.translate(text.sources)
            row[kind] = {**scores(found, text.reference), "seconds": round(time.perf_counter() - start, 1)}
        rows.append({"text": name, "lines": len(text.sources), **row})
        print(f"{name:24}" + "".join(f"{row[kind][key]:11.2f}" for kind in translators for key in ("bleu", "chrf")))
    changed = sum(one != other for one, other in zip(*(outputs[CLEAN, kind] for kind in translators), strict=True))
    about = {"run": Path(options.run).name, "lines": len(sources), "changed": changed, "machine": platform.platform()}
    print(json.dumps(about | {"rows": rows}))
    return int(changed > 0)


def unprepared(translator: Translator) -> Translator:
    """The same translator, which translates each line as it is."""
    data = translator.config.data.model_copy(update={"cleaning": "none"})
    plain = dataclasses.replace(translator, config=translator.config.model_copy(update={"data": data}))
    return plain.with_(decoding={"sentences": "never", "capitals": "keep"})


def scores(found: Sequence[str], expected: Sequence[str]) -> dict[str, float]:
    """Lower-cased BLEU and chrF."""
    metrics = {"bleu": BLEU(lowercase=True), "chrf": CHRF(lowercase=True)}
    return {name: round(metric.corpus_score(found, [expected]).score, 2) for name, metric in metrics.items()}


if __name__ == "__main__":
    use_cores()
    run_main(main)

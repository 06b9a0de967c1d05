"""Records made by hand, for tests of what is shown of them.

An evaluation of two systems and a baseline on a small test set, a sweep, and a calibration.
"""

from collections.abc import Sequence

from dragoman.evaluation.calibration import Bin, Calibration, Marked
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.results import Checks, Comparison, Evaluation, MetricResult, Outputs, Result, System
from dragoman.evaluation.sweep import Setting, Sweep
from dragoman.translation.marks import Marks
from dragoman.translation.record import Details

HOSTILE = "<script>document.title='taken'</script><img src=x onerror=alert(1)>\" onmouseover=\"alert(1)"

SOURCES = [
    "Ein Hund läuft durch den Schnee.",
    "Zwei Männer stehen an einer Ampel und unterhalten sich über das Wetter von gestern.",
    "Eine Frau in einem roten Kleid liest ein Buch.",
    "Kinder spielen.",
    "Ein Mann mit Hut und Brille wartet seit einer Stunde vor dem Bahnhof auf den Bus, der nicht kommt.",
    f"Der Hund {HOSTILE} bellt.",
]
REFERENCES = [
    "A dog is running through the snow.",
    "Two men are standing at a traffic light and talking about yesterday's weather.",
    "A woman in a red dress is reading a book.",
    "Children are playing.",
    "A man with a hat and glasses has been waiting for an hour in front of the station for the bus that does not come.",
    f"The dog {HOSTILE} barks.",
]
BASE = [
    "A dog runs through the snow.",
    "Two men are at a light and talk about the weather.",
    "A woman in a red dress reads a book.",
    "Children play.",
    "A man with a hat waits at the station for the bus.",
    "The dog barks.",
]
WIDE = [
    "A dog is running through the snow.",
    "Two men stand at a traffic light and talk about yesterday's weather.",
    "A woman in a red dress is reading a book.",
    "Kids.",
    "A man with a hat and glasses waits for an hour in front of the station for the bus that does not come.",
    f"The dog {HOSTILE} barks.",
]
SIGNATURE = "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"


def details(source: str, hypothesis: str) -> Details:
    """Details that link each word to the source word at its place, with one word of low confidence."""
    words, count = hypothesis.split(), len(source.split())
    confidences = [0.3 if at == 1 else 0.95 for at in range(len(words))]
    return Details([], [], words, confidences, [(min(at, count - 1), at) for at in range(len(words))])


def result(
    system: System, test_set: TestSet, bleu: float, chrf: float, *, p: float | None = None, verdict: str | None = None
) -> Result:
    """A row of the table with BLEU and chrF, and intervals of two points around them."""
    metrics = {
        "bleu": MetricResult("bleu", bleu, SIGNATURE, bleu - 2, bleu + 2, label="BLEU", p=p, verdict=verdict),
        "chrf": MetricResult(
            "chrf", chrf, "nrefs:1|case:mixed", chrf - 2, chrf + 2, label="chrF", p=p, verdict=verdict
        ),
    }
    checks = Checks(0.97, exact=3, empty=0, copied=1, looping=0, long=0, short=1)
    search = {"beam": 5, "length_penalty": 0.6}
    return Result(system, test_set.name, len(test_set.sources), metrics, checks, 4.2, 6, 321.5, search)


def hand_made_evaluation(
    *, first: str = "narrow", second: str = "wide", tests: Sequence[str] = ("flickr 2016",), p: float = 0.012
) -> Evaluation:
    """Two systems, of which the first is the baseline, and the source copied, on test sets of the same six lines."""
    narrow = System(first, "run", "runs/narrow", "4000", 4000, parameters=2_345_678, parameters_sha256="ab" * 32)
    wide = System(second, "average", "runs/wide", "best:5", 6000, averaged=(5000, 6000), parameters=9_876_543)
    copied = System("source copied", "baseline", "source copied")
    outputs, results, comparisons = [], [], []
    for name in tests:
        test_set = TestSet(name, SOURCES, [REFERENCES], "en")
        texts = {narrow: BASE, wide: WIDE, copied: SOURCES}
        found = {
            system: [details(*both) for both in zip(SOURCES, lines, strict=True)] if system is not copied else None
            for system, lines in texts.items()
        }
        outputs += [Outputs(system, test_set, lines, details=found[system]) for system, lines in texts.items()]
        verdict = "better" if p < 0.05 else "no evidence"
        results += [
            result(narrow, test_set, 35.21, 58.4),
            result(wide, test_set, 41.87, 66.1, p=p, verdict=verdict),
            result(copied, test_set, 2.5, 21.0, p=0.0001, verdict="worse"),
        ]
        comparisons += [
            Comparison(second, first, name, "bleu", 6.66, p, verdict, "paired bootstrap", 6),
            Comparison("source copied", first, name, "bleu", -32.71, 0.0001, "worse", "paired bootstrap", 6),
        ]
    return Evaluation(
        [TestSet(name, SOURCES, [REFERENCES], "en") for name in tests],
        outputs,
        results,
        comparisons,
        baseline=first,
        samples=1000,
        trials=10_000,
        seed=12345,
        notes=["3 of 6 lines of flickr 2016 occur in the training text."],
    )


def metrics_of_a_run(best: float) -> list[dict[str, float | int]]:
    """Lines of metrics.jsonl whose curves rise to a score."""
    lines: list[dict[str, float | int]] = []
    for step in range(200, 6001, 200):
        lines.append(
            {"step": step, "time": 1.8e9 + step, "loss": 6 * 0.93 ** (step / 200) + 1.5, "learning_rate": 1e-3}
        )
        if step % 600 == 0:
            score = best * (1 - 0.6 ** (step / 600))
            loss = 4 * 0.8 ** (step / 600) + 1
            lines.append({"step": step, "time": 1.8e9 + step, "loss": loss, "bleu": score, "chrf": score + 20})
    return lines


def hand_made_sweep(*, run: str = "runs/narrow", test_set: str = "val.de val.en", penalty: str = "gnmt") -> Sweep:
    """The scores of a run under two beams, three length penalties and two ways to apply them, the best one last."""
    knobs = [
        {"beam": beam, "length_penalty": value, "penalty": how}
        for how in (penalty, "power")
        for beam in (1, 5)
        for value in (0.6, 1.0, 1.4)
    ]
    settings = [
        Setting(one, {"bleu": 38 + at / 7, "chrf": 60 + at / 9}, 0.97 + at / 400, 400 / (1 + at))
        for at, one in enumerate(knobs)
    ]
    best = len(settings) - 1
    return Sweep(run, "4000", test_set, 1014, "bleu", settings, best, 0.031, is_on_test=True)


def hand_made_calibration(*, system: str = "runs/narrow", test_set: str = "val.de val.en") -> Calibration:
    """A calibration in which chrF, and the share of right words, rise with the confidence."""
    sentences = [Bin(0.35 + 0.06 * at, 40 + 4.2 * at, 101) for at in range(10)]
    words = [Bin(0.25 + 0.08 * at, 0.3 + 0.07 * at, 1203) for at in range(10)]
    marked = [Marked("good", 520, 71.4), Marked("check", 401, 55.0), Marked("redo", 93, 33.1)]
    return Calibration(system, test_set, sentences, words, 0.61, 0.22, 0.86, Marks(0.67, 0.42, "ab" * 32), marked)

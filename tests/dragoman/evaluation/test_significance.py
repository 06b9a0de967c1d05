"""Scores, intervals and p-values are those of sacrebleu's own command on the same files."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from data.lines import read_lines
from dragoman.evaluation.edit_rate import CharacterEditRate
from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.significance import interval, interval_of_seeds, p_over_seeds, paired_tests, show_p, verdict

LINES, SAMPLES, SEED = 30, 60, 7
WORDS = {
    "de": ["ein", "Mann", "mit", "Hut", "läuft", "über", "grüne", "Wiese", "und", "lacht", "laut", ",", "Hund"],
    "zh": list("一只狗在草地上跑两个男人弹吉他"),
    "ja": list("犬が草の上を走っている男人ギター"),
    "ko": ["안녕하세요", "여러분", "개가", "잔디", "위를", "달린다", "남자", "기타"],
    "th": list("สวัสดีชาวโลก"),
}


class Case:
    """Files of a baseline, a system and references, with what sacrebleu's command is told about them."""

    def __init__(self, directory: Path, code: str, *, references: int = 1, empty: int = 0, end="\n", seed=0, wrong=0.3):
        self.code, self.directory = code, directory
        draw, words = random.Random(seed), WORDS[code]
        gap = "" if code in ("zh", "ja", "th") else " "
        lines = [[draw.choice(words) for _ in range(draw.randint(3, 14))] for _ in range(LINES)]

        def disturbed(share: float) -> list[str]:
            return [
                gap.join(draw.choice(words) if draw.random() < share else w for w in line) + "。." for line in lines
            ]

        self.texts = {"base": disturbed(wrong), "system": disturbed(wrong * 0.7)}
        self.texts |= {f"ref{number}": disturbed(0.1 * number) for number in range(references)}
        for number in range(empty):
            self.texts["system"][2 * number] = ""
        for name, text in self.texts.items():
            (directory / name).write_bytes("".join(line + end for line in text).encode())
        self.references = [f"ref{number}" for number in range(references)]

    def arguments(self, *options: str) -> list[str]:
        tokenizer = {"de": "13a", "zh": "zh"}.get(self.code, "char")
        references = [str(self.directory / name) for name in self.references]
        return [*references, "-tok", tokenizer, "-w", "15", "--format", "json", *options]

    def commands(self, name: str) -> list[list[str]]:
        """The arguments of sacrebleu for an interval, for paired bootstrap, and for approximate randomisation."""
        base, system = (str(self.directory / name) for name in ("base", "system"))
        return [
            self.arguments(*OPTIONS[name], "-i", system, "--confidence", "--confidence-n", str(SAMPLES)),
            self.arguments(*OPTIONS[name], "-i", base, system, "--paired-bs", "--paired-bs-n", str(SAMPLES)),
            self.arguments(*OPTIONS[name], "-i", base, system, "--paired-ar", "--paired-ar-n", str(SAMPLES)),
        ]

    @property
    def metrics(self) -> list[str]:
        """All but TER where sacrebleu's splits at spaces, and ours counts characters."""
        return [name for name in OPTIONS if name != "ter" or self.code not in ("zh", "ja", "th")]

    def scored(self, name: str) -> tuple:
        """The scorer of a metric, and the statistics of the system and of the baseline, from the files."""
        texts = {name: list(read_lines(self.directory / name)) for name in self.texts}
        references = [texts[name] for name in self.references]
        scorer = METRICS[name].scorer(self.code, references[0])
        return scorer, *(scorer._extract_corpus_statistics(texts[name], references) for name in ("system", "base"))


CASES = {
    "German": {"code": "de"},
    "German, other lines": {"code": "de", "seed": 1},
    "German, nearly right": {"code": "de", "wrong": 0.05},
    "German, two references": {"code": "de", "references": 2},
    "German, three references": {"code": "de", "references": 3, "seed": 2},
    "German, an empty hypothesis": {"code": "de", "empty": 1},
    "German, CRLF": {"code": "de", "end": "\r\n"},
    "German, CRLF, empty, two references": {"code": "de", "end": "\r\n", "empty": 2, "references": 2},
    "Chinese": {"code": "zh"},
    "Chinese, two references, empty": {"code": "zh", "references": 2, "empty": 1},
    "Japanese": {"code": "ja"},
    "Japanese, CRLF": {"code": "ja", "end": "\r\n"},
    "Korean": {"code": "ko"},
    "Korean, two references": {"code": "ko", "references": 2},
    "Thai, an empty hypothesis": {"code": "th", "empty": 1},
}
OPTIONS = {"bleu": ["-m", "bleu"], "chrf": ["-m", "chrf"], "ter": ["-m", "ter"]}
OPTIONS["chrf++"] = ["-m", "chrf", "--chrf-word-order", "2"]


PROGRAM = """
import json, sys
from sacrebleu.sacrebleu import main
json.JSONEncoder.default = lambda encoder, value: float(value)  # TER's intervals are float32, which JSON cannot hold
kept = []
for arguments in json.load(open(sys.argv[1])):
    sys.argv = ["sacrebleu", *arguments]
    main()
    kept += [sys.stdin, sys.stdout]  # it opens them anew each time
    print("---", flush=True)
"""


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> dict[str, tuple[Case, dict[str, list]]]:
    """Each case with what sacrebleu's command prints for its metrics. One process runs all commands, to save time."""
    made = {name: Case(tmp_path_factory.mktemp("case"), **given) for name, given in CASES.items()}
    asked = [(name, metric) for name, case in made.items() for metric in case.metrics]
    arguments = [one for name, metric in asked for one in made[name].commands(metric)]
    file = tmp_path_factory.mktemp("commands") / "arguments.json"
    file.write_text(json.dumps(arguments))
    environment = os.environ | {"SACREBLEU_SEED": str(SEED)}
    command = [sys.executable, "-c", PROGRAM, str(file)]
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    printed = [json.loads(one) for one in done.stdout.decode().split("---\n")[:-1]]
    found: dict[str, dict[str, list]] = {name: {} for name in made}
    for number, (name, metric) in enumerate(asked):
        found[name][metric] = printed[3 * number : 3 * number + 3]
    return {name: (case, found[name]) for name, case in made.items()}


@pytest.mark.parametrize("name", CASES)
def test_scores_intervals_and_p_values_are_those_of_the_sacrebleu_command(name, cases):
    case, printed = cases[name]
    assert set(printed) >= {"bleu", "chrf", "chrf++"}
    for metric, (theirs, *tests) in printed.items():
        scorer, system, base = case.scored(metric)
        assert scorer._aggregate_and_compute(system).score == pytest.approx(theirs["score"], abs=1e-9)
        low, high = interval(scorer, system, samples=SAMPLES, seed=SEED)
        assert (low + high) / 2 == pytest.approx(theirs["confidence_mean"], abs=1e-9)
        assert (high - low) / 2 == pytest.approx(theirs["confidence_var"], abs=1e-9)
        found = paired_tests(scorer, system, base, samples=SAMPLES, trials=SAMPLES, seed=SEED)
        for ours, (_, second) in zip(found, tests, strict=True):
            [score] = [value for key, value in second.items() if key != "system"]
            assert ours == pytest.approx(score["p_value"], abs=1e-9)


def test_the_character_edit_rate_is_resampled_in_the_same_way():
    scorer = CharacterEditRate()
    hypotheses, references = ["狗", "猫猫", "", "草地上跑"], ["狗", "猫", "草", "草地跑"]
    statistics = scorer._extract_corpus_statistics(hypotheses, [references])
    assert statistics == [[0, 1], [1, 1], [1, 1], [1, 3]]
    drawn = np.random.default_rng(SEED).choice(4, size=(SAMPLES, 4), replace=True)
    rates = sorted(100 * sums[0] / sums[1] for sums in np.array(statistics)[drawn].sum(axis=1))
    half = (rates[-1 - SAMPLES // 40] - rates[SAMPLES // 40]) / 2
    found = interval(scorer, statistics, samples=SAMPLES, seed=SEED)
    assert found == pytest.approx((np.mean(rates) - half, np.mean(rates) + half))


def test_the_seed_of_the_environment_is_put_back(monkeypatch):
    scorer = METRICS["chrf"].scorer("de", ["a b"])
    statistics = scorer._extract_corpus_statistics(["a b", "c"], [["a b", "d"]])
    monkeypatch.setenv("SACREBLEU_SEED", "none")
    first, second = (interval(scorer, statistics, samples=20, seed=seed) for seed in (1, 1))
    assert first == second
    assert os.environ["SACREBLEU_SEED"] == "none"


@pytest.mark.parametrize(
    ("p", "difference", "larger", "expected"),
    [
        (0.01, 1.0, True, "better"),
        (0.01, -1.0, True, "worse"),
        (0.01, -1.0, False, "better"),
        (0.05, 9.0, True, "no evidence"),
        (0.01, 0.0, True, "no evidence"),
    ],
)
def test_a_verdict_needs_a_small_p_and_follows_the_direction_of_the_metric(p, difference, larger, expected):
    assert verdict(p, difference, larger_is_better=larger) == expected


ONE, OTHER = [30.1, 30.4, 29.9], [30.9, 31.2, 31.0, 30.6]


@pytest.mark.parametrize(
    ("p", "shown"),
    [(0.0321, "p = 0.032"), (0.0004, "p < 0.001"), (1.0, "p = 1.000"), (0.0497, "p = 0.0497"), (0.05, "p = 0.050")],
)
def test_p_values_are_shown_as_papers_show_them_and_on_their_own_side_of_the_level(p, shown):
    assert show_p(p) == shown


def test_seeds_are_judged_by_welchs_test():
    expected = scipy.stats.ttest_ind(ONE, OTHER, equal_var=False).pvalue
    assert p_over_seeds(ONE, OTHER) == pytest.approx(expected)
    assert p_over_seeds(OTHER, ONE) == pytest.approx(expected)


def test_a_single_run_is_judged_by_the_spread_of_the_seeds_that_it_is_compared_with():
    """Student's test of two samples, one of which adds nothing to the pooled variance."""
    mean, spread = np.mean(OTHER), np.std(OTHER, ddof=1)
    t = (mean - 30.0) / (spread * np.sqrt(1 + 1 / len(OTHER)))
    expected = 2 * scipy.stats.t.sf(abs(t), len(OTHER) - 1)
    assert p_over_seeds([30.0], OTHER) == pytest.approx(expected)
    assert p_over_seeds(OTHER, [30.0]) == pytest.approx(expected)
    with pytest.raises(ValueError, match="there is no spread"):
        p_over_seeds([1.0], [2.0])


def test_seeds_without_any_spread_differ_or_do_not():
    assert p_over_seeds([1.0, 1.0], [1.0]) == 1
    assert p_over_seeds([1.0, 1.0], [2.0, 2.0]) == 0


def test_the_interval_of_seeds_is_that_of_their_mean():
    expected = scipy.stats.t.interval(0.95, 2, loc=np.mean(ONE), scale=scipy.stats.sem(ONE))
    assert interval_of_seeds(ONE) == pytest.approx(expected)
    assert interval_of_seeds([1.0]) is None

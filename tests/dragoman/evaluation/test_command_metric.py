import json
import shlex
import sys

import pytest

from data.errors import InputError
from dragoman.evaluation.command_metric import LARGEST, CommandMetric
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.significance import interval

TEST_SET = TestSet("news", ["eins", "zwei"], [["one", "two"], ["1", "2"]])


def command(tmp_path, program: str) -> str:
    path = tmp_path / "metric.py"
    path.write_text(f"import json, sys\n{program}\n")
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(path))}"


def test_a_command_reads_json_lines_and_writes_a_score_a_line(tmp_path):
    read = tmp_path / "read"
    program = f"lines = sys.stdin.read()\nopen({str(read)!r}, 'w').write(lines)\nprint('0.5\\n1e-1')"
    metric = CommandMetric("mine", command(tmp_path, program))
    assert metric.sentence_scores(TEST_SET, ["uno", "d\u2028s"]) == [0.5, 0.1]
    assert [json.loads(line) for line in read.read_text().split("\n")[:-1]] == [
        {"source": "eins", "hypothesis": "uno", "references": ["one", "1"]},
        {"source": "zwei", "hypothesis": "d\u2028s", "references": ["two", "2"]},
    ]


def test_the_score_is_the_mean_and_the_signature_names_the_command():
    scorer = CommandMetric("mine", "my command").scorer("de", [])
    scorer.num_refs = 1
    assert scorer._aggregate_and_compute([[0.5, 1], [0.1, 1]]).score == pytest.approx(0.3)
    assert str(scorer.get_signature()) == "command:my command|sentences:mean"


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("print(1)", "--metric mine: wrote 1 lines for 2 sentences: expected one score a line"),
        ("", "--metric mine: wrote 0 lines for 2 sentences"),
        ("print('1\\nnan')", "--metric mine: line 2 of its output is 'nan', expected a number"),
        ("print('a\\n1')", "--metric mine: line 1 of its output is 'a', expected a number"),
        (
            "print('1\\n1e308')",
            "--metric mine: line 2 of its output is '1e308', too large for a mean: expected at most 1",
        ),
        (
            "print('-1e31\\n1')",
            "--metric mine: line 1 of its output is '-1e31', too large for a mean: expected at most 1",
        ),
        ("print('1\\n2\\n3')", "--metric mine: wrote more than 2 lines for 2 sentences, and was stopped: expected one"),
        ("while True: print('nan')", "--metric mine: wrote more than 2 lines for 2 sentences, and was stopped: expect"),
        (
            "while True: print('')",
            r"--metric mine: wrote \d+ bytes for 2 sentences, and was stopped: expected",
        ),
        (
            "while True: print('7', end='')",
            r"--metric mine: wrote \d+ bytes for 2 sentences, and was stopped: expected",
        ),
        ("for _ in range(10**5): print('x', file=sys.stderr)\nsys.exit('end')", "ended with status 1: end"),
        ("sys.exit('x\\nno model')", r"metric\.py' ended with status 1: no model"),
        ("sys.exit(3)", r"metric\.py' ended with status 3: no message"),
    ],
)
def test_what_goes_wrong_in_a_command_is_told_in_one_line(tmp_path, program, problem):
    with pytest.raises(InputError, match=problem):
        CommandMetric("mine", command(tmp_path, program)).sentence_scores(TEST_SET, ["a", "b"])


@pytest.mark.parametrize("wrong", ["no-such-program --x", "'unclosed"])
def test_a_command_that_cannot_run_is_named(wrong):
    with pytest.raises(InputError, match="--metric mine: cannot run"):
        CommandMetric("mine", wrong).sentence_scores(TEST_SET, ["a", "b"])


def test_scores_that_are_large_have_a_finite_interval():
    metric = CommandMetric("mine", "my command").scorer("de", [])
    low, high = interval(metric, [[LARGEST, 1], [-LARGEST, 1], [LARGEST, 1]], samples=100, seed=1)
    assert -LARGEST <= low < high <= 2 * LARGEST


def test_no_sentences_need_no_scores(tmp_path):
    assert CommandMetric("mine", command(tmp_path, "print()")).sentence_scores(TestSet("none", [], [[]]), []) == []


def test_a_command_may_write_blank_lines_around_its_scores_and_need_not_read(tmp_path):
    long = TestSet("long", ["a" * 100] * 3000, [["b" * 100] * 3000])
    metric = CommandMetric("mine", command(tmp_path, "print('\\n\\n' + '0.5\\n' * 3000 + '\\n')"))
    assert metric.sentence_scores(long, ["c" * 100] * 3000) == [0.5] * 3000
    reading = CommandMetric("mine", command(tmp_path, "for line in sys.stdin: print(len(json.loads(line)))"))
    assert reading.sentence_scores(long, ["c" * 100] * 3000) == [3.0] * 3000

"""What evaluate.py cannot do is said in one line, before any work."""

import pytest

from data.errors import InputError
from tests.support.evaluating import evaluate


def test_results_that_could_not_be_written_are_reported_before_any_translation(run, files, tmp_path):
    source, reference = files
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match=r"scores\.json: cannot be written: (File exists|Not a directory)"):
        evaluate("none", "--json", tmp_path / "file" / "scores.json")
    with pytest.raises(InputError, match=r"file: is not a directory, which several translations need"):
        evaluate("none", "--output", tmp_path / "file")
    with pytest.raises(InputError, match=r"--split test with --source: .* give one of them"):
        evaluate("none", "--split", "test", "--source", source, "--reference", reference)
    assert (tmp_path / "file").read_text() == "kept"


def test_files_of_different_lengths_are_refused_with_both_counts(run, files, tmp_path):
    source, reference = files
    short = tmp_path / "short"
    short.write_text("a\nb\n")
    with pytest.raises(
        InputError, match=r"test\.en has 12 lines and .*short has 2: line n of one must translate line n"
    ):
        evaluate(run, "--source", source, "--reference", short)
    with pytest.raises(InputError, match=r"--source without --reference: give both, or neither"):
        evaluate(run, "--source", source)
    with pytest.raises(InputError, match=r"--reference without --source: give both, or neither"):
        evaluate(run, "--reference", reference)


@pytest.mark.parametrize(
    "options",
    [
        *(["--perturb", "typos"], ["--average", "last:0"], ["--checkpoints", "all"], ["--checkpoint", "10"]),
        *(["--beam", "4"], ["--length-penalty", "0"], ["--mbr"], ["--decoding.unrepeated", "3"]),
        *(["--list-overlap", "FILE"], ["--output", "FILE"]),
    ],
)
def test_options_of_a_run_are_refused_for_texts_alone(files, tmp_path, options):
    source, reference = files
    given = ["--source", source, "--reference", reference, "--hypotheses", f"same={reference}", "--baseline", "same"]
    with pytest.raises(InputError, match=f"^{options[0]} needs a run: there are only --hypotheses, which are"):
        evaluate(*given, *(tmp_path / "file" if option == "FILE" else option for option in options))


def test_checkpoints_are_not_chosen_for_an_ensemble_or_a_baseline(run, files):
    source, reference = files
    given = ["--source", source, "--reference", reference, "--hypotheses", f"same={reference}", "--baseline", run]
    with pytest.raises(InputError, match="--average needs a run: --ensemble and --baseline name their own checkpoints"):
        evaluate(*given, "--average", "best:2")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "nothing to evaluate: name a run, or give --system, --ensemble or --hypotheses"),
        (
            ["--hypotheses", "a=b"],
            "--hypotheses needs the files of its test set: give --source and",
        ),
        (
            ["--hypotheses", "SHORT", "--source", "S", "--reference", "R"],
            "short has 2 lines and test set test.en has",
        ),
        (["--hypotheses", "a=b,c", "--source", "S", "--reference", "R"], "names 2 files, and there are 1 test sets"),
        (["--hypotheses", "file", "--source", "S", "--reference", "R"], "--hypotheses file: expected NAME=VALUE"),
        (["RUN", "--test", "a=b"], "--test a=b: expected NAME=SOURCE,REFERENCE"),
        (["RUN", "--metrics", ""], "--metrics is empty: give a value, or leave the option out"),
        (["RUN", "--baseline", ""], "--baseline is empty: give a value, or leave the option out"),
        (["RUN", "--language", "de"], "--language needs the files of a test set"),
        (["RUN", "--checkpoint", "10", "--checkpoints", "all"], "--checkpoint with --checkpoints: give one of them"),
        (["RUN", "--checkpoints", "10,"], "--checkpoints 10,: expected names with commas between"),
        (["RUN", "--seed", "0"], "--seed is 0: expected 1 or more"),
        (["RUN", "--samples", "-1"], "--samples is -1: expected 0 or more"),
        (["RUN", "--samples", "0", "--baseline", "RUN"], "--baseline with --samples 0: p-values need samples"),
        (["RUN", "--metrics", "blue"], "--metrics: blue: unknown metric; did you mean bleu?"),
        (["RUN", "--metric", "bleu=cat"], "--metric bleu: there is a metric of this name already"),
        (["RUN", "--metric", "comet"], "--metric comet: expected NAME=COMMAND"),
        (["RUN", "--lower-is-better", "comet"], "--lower-is-better comet: no --metric has this name"),
        (["RUN", "--system", "a=b,c", "--system", "a=d,e"], "--system a: named twice"),
        (["RUN", "--beam", "2", "--decoding.beam", "3"], "beam is given twice, as decoding.beam too"),
        (["RUN", "--source", "S", "--reference", "R", "--language", "jp"], "--language is 'jp', not a language code"),
        (["--hypotheses", "a=b", "--baselines", "--source", "S", "--reference", "R"], "--baselines needs a run"),
    ],
)
def test_what_cannot_be_evaluated_is_told_in_one_line(run, files, tmp_path, options, problem):
    short = tmp_path / "short"
    short.write_text("a\nb\n")
    words = {"RUN": run, "S": files[0], "R": files[1], "SHORT": f"short={short}"}
    with pytest.raises(InputError) as error:
        evaluate(*(words.get(option, option) for option in options))
    assert problem in str(error.value)


def test_a_report_that_could_not_be_written_is_an_error_before_all_the_work(run, tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(InputError, match=r"report.html: cannot be written: Is a directory"):
        evaluate(run, "--report", tmp_path / "report.html")


def test_a_report_does_not_overwrite_another_file_of_the_command(run, files, tmp_path):
    source, reference = files
    with pytest.raises(InputError, match="--report"):
        evaluate(run, "--source", source, "--reference", reference, "--report", reference)

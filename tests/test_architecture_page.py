"""The examples of docs/architecture.md print what the page shows."""

import doctest
import math
import re

from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "architecture.md"
FRACTION = re.compile(r"-?\d+\.(\d+)")


class ToTheLastDigit(doctest.OutputChecker):
    """Ignores white space and a difference of one in the last decimal, because processors round differently."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        def plain(text: str) -> str:
            return FRACTION.sub("#", " ".join(text.split())).replace("[ ", "[")

        def near(want: re.Match, got: re.Match) -> bool:
            return math.isclose(float(want[0]), float(got[0]), rel_tol=0, abs_tol=1.01 * 10 ** -len(want[1]))

        return plain(want) == plain(got) and all(map(near, FRACTION.finditer(want), FRACTION.finditer(got)))


def test_every_example_prints_what_the_page_shows():
    import jax
    import numpy as np

    text = re.sub("^```.*$", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    page = doctest.DocTestParser().get_doctest(text, {"__name__": "page"}, PAGE.name, str(PAGE), 0)
    report: list[str] = []
    with np.printoptions(), jax.default_matmul_precision("float32"):
        result = doctest.DocTestRunner(checker=ToTheLastDigit(), verbose=False).run(page, out=report.append)
    assert not result.failed, "".join(report)
    assert sum(bool(example.want) for example in page.examples) > 30


def test_printed_numbers_may_differ_by_one_unit_of_the_last_digit_and_by_nothing_else():
    checker = ToTheLastDigit()
    assert checker.check_output("[ 0.12 -3.00]\n", "[0.13  -2.99]\n", 0)
    assert not checker.check_output("[0.12 3.00]\n", "[0.14 3.00]\n", 0)
    assert not checker.check_output("[0.12 3]\n", "[0.12 4]\n", 0)
    assert not checker.check_output("x . .\n", "x x .\n", 0)
    assert not checker.check_output("0.12\n", "", 0)

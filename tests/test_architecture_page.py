"""docs/architecture.md says what is so: its examples print what it shows, and its links lead to what they name.

After code has moved, `python tests/test_architecture_page.py --fix` writes the new line numbers into the page.
"""

import ast
import doctest
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "architecture.md"
LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+)(?:#L(\d+))?\)")
FRACTION = re.compile(r"-?\d+\.(\d+)")


# --- examples --------------------------------------------------------------------------------------------


class ToTheLastDigit(doctest.OutputChecker):
    """Equal but for white space and, in numbers with fractions, one unit of the last digit: there processors differ."""

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


# --- links -----------------------------------------------------------------------------------------------


def definitions(path: Path) -> dict[str, int]:
    """The line of each class, function, method and assigned name of a file: `Transformer.encode`, `POSITIONS`."""

    def walk(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, int]]:
        for node in body:
            match node:
                case ast.ClassDef(name=name):
                    yield prefix + name, node.lineno
                    yield from walk(node.body, f"{prefix}{name}.")
                case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                    yield prefix + name, node.lineno
                case ast.Assign(targets=[ast.Name(id=name)]):
                    yield prefix + name, node.lineno

    return dict(walk(ast.parse(path.read_text(encoding="utf-8")).body, ""))


def wrong_links(text: str) -> list[str]:
    """What is wrong with each link that leads to no file, or not to the line of the name that it shows."""
    wrong = []
    for name, target, line in LINK.findall(re.sub("```.*?```", "", text, flags=re.DOTALL)):
        path = PAGE.parent / target
        if not path.exists():
            wrong.append(f"[{name}]({target}): no such file")
        elif line and definitions(path).get(name) != int(line):
            found = definitions(path).get(name)
            wrong.append(f"[{name}]({target}#L{line}): " + (f"it is at line {found}" if found else "no such name"))
    return wrong


def with_right_lines(text: str) -> str:
    """The page with the line of each name that is still in the file it is linked to."""

    def right(link: re.Match) -> str:
        name, target, line = link.groups()
        path = PAGE.parent / target
        found = definitions(path).get(name) if line and path.exists() else None
        return f"[{name}]({target}#L{found})" if found else link[0]

    return LINK.sub(right, text)


def test_every_link_leads_to_what_it_names():
    wrong = wrong_links(PAGE.read_text(encoding="utf-8"))
    assert not wrong, "run `python tests/test_architecture_page.py --fix`:\n" + "\n".join(wrong)


def test_a_link_that_has_gone_wrong_is_found_and_put_right():
    moved = "[wrong_links](../tests/test_architecture_page.py#L1)"
    assert len(wrong_links(moved)) == 1
    assert not wrong_links(with_right_lines(moved))
    assert "no such name" in wrong_links(with_right_lines("[gone](../tests/test_architecture_page.py#L1)"))[0]
    assert "no such file" in wrong_links(with_right_lines("[gone](../tests/gone.py#L1)"))[0]


if __name__ == "__main__":
    if sys.argv[1:] != ["--fix"]:
        sys.exit("usage: python tests/test_architecture_page.py --fix")
    page = with_right_lines(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(page, encoding="utf-8")
    sys.exit("\n".join(wrong_links(page)) or 0)

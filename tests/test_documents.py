"""The documents: links are valid, tables are where CONTRIBUTING says, recipes load and state their results."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.runs.recipe import read_recipe
from tests.support.paths import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *PAGES]
RECIPES = sorted((ROOT / "configs").glob("*.toml"))


def links(text: str) -> list[tuple[str, str, str]]:
    """Each link of a page as (shown text, path, section), except links to other sites and links in code."""
    found = re.findall(r"\[([^\]]+)\]\(([^)#\s]*)(?:#([^)\s]*))?\)", re.sub("```.*?```", "", text, flags=re.DOTALL))
    return [link for link in found if not link[1].startswith(("https://", "http://"))]


def sections(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them: "## The `auto` knobs" -> "the-auto-knobs"."""
    headings = re.findall(r"^#+ +(.*)$", re.sub("```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def definitions(path: Path) -> set[str]:
    """Each class, function, method and assigned name of a file: {"Transformer", "Transformer.encode", "POSITIONS"}."""

    def walk(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            match node:
                case ast.ClassDef(name=name):
                    yield prefix + name
                    yield from walk(node.body, f"{prefix}{name}.")
                case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                    yield prefix + name
                case ast.Assign(targets=[ast.Name(id=name)]):
                    yield prefix + name

    return set(walk(ast.parse(path.read_text(encoding="utf-8")).body, ""))


def is_python_name(text: str) -> bool:
    """Whether a link shows a Python name such as `Embedding.logits`, and not a file name."""
    return all(part.isidentifier() for part in text.split(".")) and not text.endswith(".py")


def wrong_links(page: Path) -> Iterator[str]:
    """A message for each link that does not lead to the file, section or Python name that it shows."""
    for shown, target, section in links(page.read_text(encoding="utf-8")):
        path, name = page.parent / target if target else page, shown.strip("`").removesuffix("()")
        if not path.exists():
            yield f"[{shown}]({target}): no such file"
        elif section and (path.suffix != ".md" or section not in sections(path.read_text(encoding="utf-8"))):
            yield f"[{shown}]({target}#{section}): no such section; name a function, not its line"
        elif path.suffix == ".py" and is_python_name(name) and name not in definitions(path):
            yield f"[{shown}]({target}): no {name} is defined there"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_what_it_names(document):
    assert not list(wrong_links(document))


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("[a page](gone.md)", "no such file"),
        ("[a section](page.md#three)", "no such section"),
        ("[`Box.size`](code.py#L3)", "no such section; name a function, not its line"),
        ("[`Box.shape`](code.py)", r"no Box\.shape is defined there"),
        ("[make](code.py)", "no make is defined there"),
    ],
)
def test_a_link_that_has_gone_wrong_is_found(link, problem, tmp_path):
    (tmp_path / "code.py").write_text("TABLE = {}\n\nclass Box:\n    def size(self): ...\n", encoding="utf-8")
    right = "[code.py](code.py) [`Box.size`](code.py) [TABLE](code.py) [the box](code.py) [one](#one-and-two)"
    page = tmp_path / "page.md"
    page.write_text(f"## One, and `two`\n{right}\n```\n[no link](in.code)\n```\n{link}\n", encoding="utf-8")
    [wrong] = wrong_links(page)
    assert re.search(problem, wrong)


def test_every_page_is_linked_from_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [page.name for page in PAGES if f"(docs/{page.name})" not in text]


def test_the_tables_that_are_named_for_contributors_are_where_it_says():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"\(([\w/]+)\.py\): ((?:`[A-Z_]+`(?:, )?)+)", text)
    tables = {(module.removesuffix("/__init__").replace("/", "."), name) for module, names in named
              for name in re.findall(r"`([A-Z_]+)`", names)}  # fmt: skip
    assert {name for _, name in tables} >= {
        "ASSEMBLIES",
        "COMMANDS",
        "STRATEGIES",
        "SOURCES",
        "METRICS",
        "PARTITION_RULES",
    }
    for module, name in tables:
        assert getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_its_head_says_how_to_run_it_and_what_came_out(recipe):
    read_recipe(recipe)
    head = recipe.read_text(encoding="utf-8").partition("\n[")[0]
    assert f"dragoman train configs/{recipe.name}" in head
    assert "NOT YET RUN" in head or "Measured" in head


def test_the_readme_has_no_placeholders():
    assert "@@" not in (ROOT / "README.md").read_text(encoding="utf-8")

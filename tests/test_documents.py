"""The documents: links lead somewhere, tables are where the README says, and recipes load and say what came out."""

import importlib
import re

import pytest

from dragoman.runs.recipe import read_recipe
from tests.support.paths import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *PAGES]
RECIPES = sorted((ROOT / "configs").glob("*.toml"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_to_a_file_that_exists(document):
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not missing


def test_every_page_is_linked_from_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [page.name for page in PAGES if f"(docs/{page.name})" not in text]


def test_the_tables_named_in_the_readme_are_where_it_says():
    named = re.findall(r"\(([\w/]+)\.py\): ((?:`[A-Z_]+`(?:, )?)+)", (ROOT / "README.md").read_text(encoding="utf-8"))
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
    assert f"python train.py configs/{recipe.name}" in head
    assert "NOT YET RUN" in head or "Measured" in head


def test_the_readme_has_no_open_places():
    assert "@@" not in (ROOT / "README.md").read_text(encoding="utf-8")

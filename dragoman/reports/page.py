"""A page from a template and its values, as one file that loads nothing else."""

import functools
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from dragoman import __version__
from dragoman.files import write_atomically, write_text


def render(template: str, **values: Any) -> str:
    """A page. Values are escaped by the template, except what is markup already, such as a chart."""
    return environment().get_template(template).render(values)


def write_page(path: Path, html: str) -> None:
    """Write a page to a file that the user named. InputError if it cannot be written."""
    write_text(path, encodable(html))


def replace_page(path: Path, html: str) -> None:
    """Replace a page that people may have open. OSError if it cannot be written; the former page then stays."""
    write_atomically(path, encodable(html).encode())


def encodable(html: str) -> str:
    """The page with "?" for what UTF-8 cannot hold: lone surrogates, which stand for odd bytes of a file's name."""
    return html.encode("utf-8", "replace").decode("utf-8")


@functools.cache
def environment() -> jinja2.Environment:
    """The templates. A name that a template does not know is an error, not an empty string."""
    loader = jinja2.FunctionLoader(lambda name: (files("dragoman.reports") / "templates" / name).read_text("utf-8"))
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["count"] = "{:,}".format
    made.globals["version"] = __version__
    return made

"""The shape of the repository: one arrow from data/ to transformer/, no dangerous calls, no dead knobs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from data.sources.corpus import Split
from tests.support.paths import ROOT
from transformer.config import Config

PROGRAMS = [ROOT / name for name in ("train.py", "translate.py", "evaluate.py")]
SHARED = {"data.batch", "data.config", "data.errors"}


def modules(*folders: str) -> list[Path]:
    """The files of these packages; a program that lies in one joins the two sides as those beside them do."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py") if path not in PROGRAMS)


def nodes(paths: list[Path]) -> Iterator[tuple[str, ast.AST]]:
    """Every syntax node of the files, with where it stands."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node


def imports(paths: list[Path]) -> Iterator[tuple[str, str]]:
    """Every import as (where, dotted name); `from data import batch` is data.batch, relative ones start with dots."""
    for where, node in nodes(paths):
        if isinstance(node, ast.Import):
            yield from ((where, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((where, f"{module}.{alias.name}") for alias in node.names)


def forbidden_calls(paths: list[Path]) -> Iterator[str]:
    """What may run code from a file or break parallel text apart, and how to do it instead."""
    attributes = {
        "torch.load": "runs code from the file",
        "yaml.load": "builds any object: yaml.safe_load",
        "os.system": "goes through a shell: subprocess.run([...])",
        "os.popen": "goes through a shell: subprocess.run([...])",
    }
    for where, node in nodes(paths):
        match node:
            case ast.Call(func=ast.Name(id="eval" | "exec" as name)):
                yield f"{where}: {name}() runs text as code"
            case ast.keyword(arg="shell" | "allow_pickle" as name, value=ast.Constant(value=True)):
                yield f"{where}: {name}=True"
            case ast.Attribute(attr="splitlines"):
                yield f'{where}: splitlines also splits at U+2028, form feeds and more: split("\\n")'
            case ast.Attribute(value=ast.Name(id=module), attr=name) if f"{module}.{name}" in attributes:
                yield f"{where}: {module}.{name} {attributes[f'{module}.{name}']}"
    for where, name in imports(paths):
        if name.partition(".")[0] in {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}:
            yield f"{where}: {name} runs code from the file: arrays with orbax, everything else as JSON or TOML"


def test_the_text_side_imports_no_part_of_the_array_side():
    array_side = {"jax", "jaxlib", "flax", "optax", "orbax", "transformer"}
    assert not [found for found in imports(modules("data")) if found[1].partition(".")[0] in array_side]


def test_the_text_side_works_where_jax_cannot_be_imported():
    """Grain looks for JAX and does without it, so that a look at sys.modules would not tell."""
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules("data")]
    program = "import importlib, sys; sys.modules['jax'] = None; [importlib.import_module(n) for n in sys.argv[1:]]"
    done = subprocess.run([sys.executable, "-c", program, *names], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_array_side_takes_only_the_contract_from_the_text_side():
    from_data = [found for found in imports(modules("transformer")) if found[1].partition(".")[0] == "data"]
    assert not [found for found in from_data if ".".join(found[1].split(".")[:2]) not in SHARED]


def test_neither_side_imports_the_programs():
    programs = {"dragoman", *(path.stem for path in PROGRAMS)}
    assert not [found for found in imports(modules("data", "transformer")) if found[1].partition(".")[0] in programs]


def test_nothing_runs_code_from_files_or_splits_lines_wrongly():
    assert not list(forbidden_calls(modules("data", "transformer", "dragoman", "benchmarks") + PROGRAMS))


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "yaml.load(text)",
        "eval(text)",
        "exec(text)",
        "os.system(line)",
        "run(line, shell=True)",
        "numpy.load(path, allow_pickle=True)",
        "text.splitlines()",
    ],
)
def test_the_search_for_forbidden_calls_finds(line, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "example.py").write_text(f"{line}\nmodel.eval()\n", encoding="utf-8")
    assert len(list(forbidden_calls([tmp_path / "example.py"]))) == 1


def test_every_knob_is_read_outside_the_config_files():
    paths = [path for path in modules("data", "transformer", "dragoman") if path.name != "config.py"]
    read = {node.attr for _, node in nodes(paths) if isinstance(node, ast.Attribute)}
    read |= set(get_args(Split))  # sources read getattr(config, split)
    knobs = {
        f"{section}.{knob}": knob
        for section, field in Config.model_fields.items()
        for knob in field.annotation.model_fields
    }
    assert not [name for name, knob in knobs.items() if knob not in read]

"""The shape of the repository: three rooms, imports in one direction, no dangerous calls, no knob that nothing reads.

    dragoman -> transformer -> data.batch, data.config, data.errors        dragoman -> data

Nothing points back. Within dragoman, commands/ imports everything else and is imported by nothing.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from data.sources.corpus import Split
from tests.support.paths import ROOT
from transformer.config import Config

ROOMS = ("data", "transformer", "dragoman")
PROGRAMS = [ROOT / name for name in ("train.py", "translate.py", "evaluate.py", "explain.py")]
CONTRACT = {"data.batch", "data.config", "data.errors"}
ARRAYS = {"jax", "jaxlib", "flax", "optax", "orbax"}

WITHOUT_A_MODULE = {
    "tests/benchmarks/test_benchmarks.py": "the help of every script in benchmarks/, and gpu.sh",
    "tests/dragoman/commands/test_decoder_only.py": "decoder-only runs, through the commands",
    "tests/dragoman/commands/test_processes.py": "jobs of several processes, through the commands",
    "tests/dragoman/exchange/test_export.py": "the export command, for both formats",
}
"""Tests that belong to no single module, and their subjects. Tests directly in tests/ cover the whole repository."""


def modules(*folders: str) -> list[Path]:
    """The Python files below these folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def nodes(paths: list[Path]) -> Iterator[tuple[str, ast.AST]]:
    """Every syntax node of the files, with its location."""
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
    """The calls that may run code from a file or misalign parallel text, each with what to use instead."""
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


def imports_of(*folders: str) -> list[tuple[str, str]]:
    """The imports of the three packages, of JAX and of its libraries, in the files below these folders."""
    return [found for found in imports(modules(*folders)) if found[1].partition(".")[0] in (*ROOMS, *ARRAYS)]


def first_two(name: str) -> str:
    """The first two parts of a dotted name: "data.batch.Pair" -> "data.batch"."""
    return ".".join(name.split(".")[:2])


def test_data_imports_neither_the_other_rooms_nor_jax():
    assert not [found for found in imports_of("data") if found[1].partition(".")[0] != "data"]


def test_data_works_where_jax_cannot_be_imported():
    """Checking sys.modules would not be enough: Grain imports JAX if it is there, and works without it."""
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules("data")]
    program = "import importlib, sys; sys.modules['jax'] = None; [importlib.import_module(n) for n in sys.argv[1:]]"
    done = subprocess.run([sys.executable, "-c", program, *names], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_transformer_imports_only_the_contract_of_data_and_nothing_of_dragoman():
    found = [found for found in imports_of("transformer") if found[1].partition(".")[0] in ("data", "dragoman")]
    assert not [(where, name) for where, name in found if first_two(name) not in CONTRACT]


def test_within_dragoman_nothing_imports_the_commands():
    found = [found for found in imports_of("dragoman") if first_two(found[1]) == "dragoman.commands"]
    assert not [where for where, _ in found if not where.startswith(("dragoman/commands/", "dragoman/__main__.py:"))]


def test_the_programs_at_the_top_import_only_the_command_line():
    assert {name for _, name in imports(PROGRAMS)} == {"dragoman.commands.main.run"}


def test_no_room_imports_a_program_a_benchmark_or_a_test():
    outside = {"benchmarks", "tests", *(path.stem for path in PROGRAMS)}
    assert not [found for found in imports(modules(*ROOMS)) if found[1].partition(".")[0] in outside]


def test_every_import_of_our_own_leads_to_a_module_that_exists():
    """Also imports within functions, and those that a type checker ignores."""
    for where, name in imports([*modules(*ROOMS, "benchmarks", "tests"), *PROGRAMS]):
        if name.partition(".")[0] in ROOMS:
            paths = [ROOT / dotted.replace(".", "/") for dotted in (name, name.rpartition(".")[0])]
            found = [path for path in paths if Path(f"{path}.py").is_file() or (path / "__init__.py").is_file()]
            assert found, f"{where}: no module {name}"


def test_every_folder_of_a_room_is_a_package():
    """Installation finds packages by their `__init__.py`."""
    assert not [path for path in modules(*ROOMS) if not (path.parent / "__init__.py").is_file()]


def test_the_docstring_of_a_package_names_each_of_its_files():
    """Those of the three rooms themselves name their folders."""
    for path in modules(*ROOMS):
        if path.name == "__init__.py":
            named = set(re.findall(r"\w+", ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""))
            own = {file.parent.name for file in path.parent.glob("*/__init__.py")}
            if path.parent.parent != ROOT:
                own |= {file.stem for file in path.parent.glob("*.py")} - {"__init__"}
            assert own <= named, path


def subject(path: Path) -> Path | None:
    """The module that a test file is about, by its path: tests/data/test_lines.py -> data/lines.py.

    It is a module or a package, the package of its folder, or a module whose tests are a folder.
    """
    folder = ROOT / path.parent.relative_to(ROOT / "tests")
    name = path.stem.removeprefix("test_")
    candidates = [folder / f"{name}.py", folder / name / "__init__.py", folder.with_suffix(".py")]
    if folder.name == name:
        candidates.append(folder / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def test_tests_mirror_the_packages():
    paths = (ROOT / "tests").glob("*/**/test_*.py")
    without = {str(path.relative_to(ROOT)) for path in paths if subject(path) is None}
    assert without == set(WITHOUT_A_MODULE)


def test_nothing_runs_code_from_files_or_splits_lines_wrongly():
    assert not list(forbidden_calls(modules(*ROOMS, "benchmarks") + PROGRAMS))


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
    paths = [path for path in modules(*ROOMS) if path.name != "config.py"]
    read = {node.attr for _, node in nodes(paths) if isinstance(node, ast.Attribute)}
    read |= set(get_args(Split))  # sources read getattr(config, split)
    knobs = {
        f"{section}.{knob}": knob
        for section, field in Config.model_fields.items()
        for knob in field.annotation.model_fields
    }
    assert not [name for name, knob in knobs.items() if knob not in read]

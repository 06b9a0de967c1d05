"""Makes sure that `data` and `transformer` are our packages: their names are common, and other files may have them."""

import importlib
import importlib.machinery
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("data", "transformer")


def use_own_packages() -> None:
    """Import our packages from beside this one, whatever else has their names on the path. For commands."""
    for name in NAMES:
        found = importlib.machinery.PathFinder.find_spec(name, [str(ROOT)])
        if not is_own(name) and found is not None and found.loader is not None:
            module = importlib.util.module_from_spec(found)
            sys.modules[name] = module
            found.loader.exec_module(module)


def check_own_packages() -> None:
    """ImportError if another file has the name of one of our packages: a script that imports us may need that file."""
    for name in NAMES:
        if not is_own(name):
            other = getattr(importlib.import_module(name), "__file__", None) or f"a directory {name}"
            raise ImportError(
                f"dragoman has a package {name}, and Python finds {other} in its place: rename that file, or take its "
                "directory from sys.path"
            )


def is_own(name: str) -> bool:
    """Whether importing a name gives, or gave, our package."""
    if (module := sys.modules.get(name)) is not None:
        origin = getattr(module, "__file__", None)
    else:
        found = importlib.util.find_spec(name)
        origin = found.origin if found else None
    return origin is not None and Path(origin).resolve() == ROOT / name / "__init__.py"

"""Machine translation from Python and from the command line.

    from dragoman import Translator
    Translator.load("runs/mine").translate(["A man is sleeping."])

commands     train, translate, generate, fill, explain, evaluate, prepare, cache, export
runs         the run directory: recipe, config, checkpoints
preparation  the text of a recipe prepared ahead of training, and surveyed
training     the course of a run
translation  lines of text to translations
explanation  one sentence followed through a model
evaluation   metrics and baselines
reports      HTML pages of training and evaluation
exchange     export to other programs

`files` writes files that survive a crash, `messages` prints lines and progress, and `signals` stops a program at a
point where nothing is lost. `own_packages` makes sure that `data` and `transformer` are ours.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.translation.translator import Translator

__all__ = ["Translator"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`Translator`, imported on first access, because a command must set up its process before JAX is imported."""
    if name == "Translator":
        from dragoman.own_packages import check_own_packages

        check_own_packages()
        from dragoman.translation.translator import Translator

        return Translator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

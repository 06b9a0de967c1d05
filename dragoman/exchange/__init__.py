"""A run as other programs read it: a directory of its own, with the tokenizer and a few words on how to use it.

    dragoman export RUN DIRECTORY --format ctranslate2

To add a format: write a function like `write_safetensors` in a file of its own, and a line in FORMATS. It must refuse
by name, as InputError, whatever of the architecture, or of the search if it has one, the format cannot express.
"""

from collections.abc import Callable

from dragoman.exchange.ctranslate2_model import write_ctranslate2
from dragoman.exchange.safetensors_file import write_safetensors
from dragoman.exchange.trained import Trained

FORMATS: dict[str, Callable[..., None]] = {"ctranslate2": write_ctranslate2, "safetensors": write_safetensors}

__all__ = ["FORMATS", "Trained"]

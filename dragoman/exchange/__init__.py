"""Exports a run for other programs: a directory with the model, the tokenizer and a short README.

    dragoman export RUN DIRECTORY --format ctranslate2

trained                            what every format is given: a trained model with its vocabularies
ctranslate2_model ctranslate2_spec CTranslate2: the directory, and the model in it
standalone                         the translate.py that an export to CTranslate2 carries
safetensors_file                   the parameters for any program
readme                             the README.md of an export
reference parity                   the run's own translations, and the comparison of an export with them

To add a format, write a function like `write_safetensors` in a separate file and add a line to FORMATS. The function
must raise an InputError that names any option of the architecture, or of the search if it exports one, that the format
cannot express.
"""

from collections.abc import Callable

from dragoman.exchange.ctranslate2_model import write_ctranslate2
from dragoman.exchange.safetensors_file import write_safetensors
from dragoman.exchange.trained import Trained

FORMATS: dict[str, Callable[..., None]] = {"ctranslate2": write_ctranslate2, "safetensors": write_safetensors}

__all__ = ["FORMATS", "Trained"]

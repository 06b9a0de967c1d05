"""An argument of the wrong type is named, as a Python program sees it: in a process whose types nothing else checks."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

CASES = {
    "load(RUN, ensemble='runs/b')": "ensemble: expected a list of runs, found one: pass ['runs/b']",
    "load(RUN, ensemble=Path('runs/b'))": "ensemble: expected a list of runs, found one: pass [PosixPath('runs/b')]",
    "load(RUN, ensemble=None)": "ensemble is None: expected a list of runs",
    "load(RUN, ensemble=['runs/b', 3])": "ensemble, item 2 is 3: expected a list of runs",
    "load(RUN, n_best=1.5)": "n_best is 1.5: expected a whole number",
    "load(RUN, decoding='beam')": "decoding is 'beam': expected a dict",
    "load(RUN, demands=None)": "demands is None: expected Demands, of dragoman.translation.loaded",
    "one.with_(n_best='2')": "n_best is '2': expected a whole number",
    "one.with_(decoding='beam')": "decoding is 'beam': expected a dict",
    "one.with_(demands=('Hund',))": "demands is ('Hund',): expected Demands, of dragoman.translation.loaded",
    "one.with_(demands=Demands(banned='Hund'))": "demands.banned: expected a list of strings, found one: pass ['Hund']",
    "one.with_(demands=Demands(terms=('ab',)))": "demands.terms, item 1 is 'ab': expected a list of Term",
    "one.with_(demands=Demands(terms=3))": "demands.terms is 3: expected a list of Term",
    "one.search(['a'], n_best=1.5)": "n_best is 1.5: expected a whole number",
    "one.search(['a'], n_best=1.0)": "n_best is 1.0: expected a whole number",
    "one.search(['a'], n_best='2')": "n_best is '2': expected a whole number",
    "one.search(['a'], n_best=True)": "n_best is True: expected a whole number",
    "one.search(['a'], batch_size='8')": "batch_size is '8': expected a whole number",
    "one.translate(None)": "expected a list of strings, one for each line, found None",
    "one.search(['a'], prefixes=7)": "expected a list of strings, one for each prefix, found 7",
    "one.explain(None)": "sentence is None: expected a string",
    "one.explain('a', ['b'])": "reference is ['b']: expected a string",
    "one.generate(7)": "beginning is 7: expected a string",
    "one.generate('a', length=1.5)": "length is 1.5: expected a whole number",
    "fill_text(None, 7)": "text is 7: expected a string",
    "fill_text(None, 'a [MASK]', top='5')": "top is '5': expected a whole number",
    "len(one.search([''], n_best=numpy.int64(1)))": 1,
}
PROGRAM = """
import json, sys
from pathlib import Path
import numpy
from dragoman import Translator
from dragoman.translation.filling import fill_text
from dragoman.translation.loaded import Demands

RUN, load, found = sys.argv[1], Translator.load, {}
one = load(RUN)
for case in json.load(sys.stdin):
    try:
        found[case] = eval(case)
    except TypeError as error:
        found[case] = str(error)
    except Exception as error:
        found[case] = repr(error)
print(json.dumps(found, default=repr))
"""


@pytest.fixture(scope="module")
def messages(tmp_path_factory) -> dict[str, object]:
    run = shutil.copytree(ROOT / "tests" / "golden" / "run", tmp_path_factory.mktemp("arguments") / "run")
    command = [sys.executable, "-c", PROGRAM, run]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    given = json.dumps(list(CASES))
    done = subprocess.run(command, input=given, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", CASES)
def test_an_argument_of_another_type_is_named(messages, case):
    assert messages[case] == CASES[case]

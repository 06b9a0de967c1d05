"""One run and one translator for all tests of translate.py, so that they share compiled programs."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import pytest

import dragoman.commands.translate as program
from data.sources import load_corpora
from dragoman.translation.translator import Translator
from tests.support.tiny_run import CONFIG, make_run

DEVICES = 2


@pytest.fixture(scope="package", autouse=True)
def few_devices():
    """Translators search on two of the eight devices, because each adds work and there may be only two cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "local_devices", lambda *_, **__: jax.devices()[:DEVICES])
        yield


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("translate") / "run", bleu={10: 1.0, 20: 3.0, 30: 2.0})


@pytest.fixture(scope="session")
def lines() -> list[str]:
    return [pair.source for pair in load_corpora(CONFIG.data, "test")[0].pairs][:32]


@pytest.fixture(scope="package")
def translator(run) -> Translator:
    return Translator.load(run)


@pytest.fixture
def command(monkeypatch) -> Callable[..., int | None]:
    """Runs translate.py in this process."""

    def call(arguments, *, stdin: bytes = b"") -> int | None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        return program.main([str(argument) for argument in arguments])

    return call

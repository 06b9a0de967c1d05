"""Intermediate arrays of a model, shown by name: nothing is computed twice, or differently, to be looked at.

    with tap() as shown:
        features = model.features(batch)
    shown["encoder/0/self_attention/weights"]

Layers call `show` at two places, in `attend` and in `Residual`. Outside of `tap` that does nothing. Inside a function
that JAX compiles, what is shown are that function's tracers: return them from it.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import NamedTuple

from jaxtyping import Array


class Tap(NamedTuple):
    """What is shown so far, and which names are wanted."""

    shown: dict[str, Array]
    is_wanted: Callable[[str], bool]


_TAP: ContextVar[Tap | None] = ContextVar("tap", default=None)
_PATH: ContextVar[str] = ContextVar("path", default="")


@contextlib.contextmanager
def tap(is_wanted: Callable[[str], bool] = lambda name: True) -> Iterator[dict[str, Array]]:
    """Within it, every array that a layer shows under a wanted name is in the dict."""
    shown: dict[str, Array] = {}
    token = _TAP.set(Tap(shown, is_wanted))
    try:
        yield shown
    finally:
        _TAP.reset(token)


def is_tapped() -> bool:
    """Whether anyone looks: layers then run one by one, and remember what they computed."""
    return _TAP.get() is not None


@contextlib.contextmanager
def scope(name: object) -> Iterator[None]:
    """Within it names are shown below `name`: "encoder/0/self_attention"."""
    token = _PATH.set(f"{_PATH.get()}{name}/")
    try:
        yield
    finally:
        _PATH.reset(token)


def show(name: str, array: Callable[[], Array]) -> None:
    """Shows an array under the current scope; it is made only if someone wants it."""
    current = _TAP.get()
    if current is not None and current.is_wanted(name := _PATH.get() + name):
        current.shown[name] = array()

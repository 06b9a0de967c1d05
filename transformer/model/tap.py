"""Access to intermediate arrays of a model by name, from the forward pass itself.

    with tap() as shown:
        features = model.features(batch)
    shown["encoder/0/self_attention/weights"]

Layers call `show` in two places: `attend` shows its weights, and `Residual` its input and what is added to it. The
weights are computed for the tap alone, as no kernel returns them; the others are the layers' own arrays. Outside `tap`,
`show` does nothing. Inside a function that JAX compiles, the arrays are tracers: return them from that function.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import NamedTuple

from jaxtyping import Array


class Tap(NamedTuple):
    """The arrays shown so far, and which names are wanted."""

    shown: dict[str, Array]
    is_wanted: Callable[[str], bool]


_TAP: ContextVar[Tap | None] = ContextVar("tap", default=None)
_PATH: ContextVar[str] = ContextVar("path", default="")


@contextlib.contextmanager
def tap(is_wanted: Callable[[str], bool] = lambda name: True) -> Iterator[dict[str, Array]]:
    """A context whose dict collects every array that a layer shows under a wanted name."""
    shown: dict[str, Array] = {}
    token = _TAP.set(Tap(shown, is_wanted))
    try:
        yield shown
    finally:
        _TAP.reset(token)


def is_tapped() -> bool:
    """Whether a `tap` is active; layers are then unrolled and not rematerialised."""
    return _TAP.get() is not None


@contextlib.contextmanager
def scope(name: object) -> Iterator[None]:
    """A context in which names are prefixed with `name`: "encoder/0/self_attention"."""
    token = _PATH.set(f"{_PATH.get()}{name}/")
    try:
        yield
    finally:
        _PATH.reset(token)


def show(name: str, array: Callable[[], Array]) -> None:
    """Shows an array under the current scope. `array` is called only if the name is wanted."""
    current = _TAP.get()
    if current is not None and current.is_wanted(name := _PATH.get() + name):
        current.shown[name] = array()


@contextlib.contextmanager
def also_showing(name: str, shown_as: str, derive: Callable[[Array], Array]) -> Iterator[None]:
    """A context in which the array that is shown as `shown_as` is also shown as `name`, after `derive`."""
    current = _TAP.get()
    if current is None or not current.is_wanted(_PATH.get() + name):
        yield
        return
    full = _PATH.get() + shown_as
    within: dict[str, Array] = {}
    token = _TAP.set(Tap(within, lambda one: one == full or current.is_wanted(one)))
    try:
        yield
    finally:
        _TAP.reset(token)
    current.shown.update((one, array) for one, array in within.items() if current.is_wanted(one))
    show(name, lambda: derive(within[full]))

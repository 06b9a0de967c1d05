"""The task of hops, with a small model."""

import jax
import pytest

from benchmarks.questions import toy
from tests.support.hops import SMALL


@pytest.fixture(scope="session")
def task():
    """Hops, with a model that compiles quickly, and two updates."""
    return toy.hops(2).with_model(**SMALL)


@pytest.fixture
def batch(task):
    return jax.tree.map(lambda x: x[:8], task.held_out[0].batch)

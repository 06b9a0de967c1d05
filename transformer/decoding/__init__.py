"""Search for the best translation, over a step function: it knows tokens, scores and a cache, and no model.

To add a strategy: write a function like `greedy_search` in a file of its own, and a line in STRATEGIES.
"""

from transformer.decoding.beam import beam_search
from transformer.decoding.greedy import greedy_search
from transformer.decoding.search import Hypotheses, Settings, Stepper

STRATEGIES = {"greedy": greedy_search, "beam": beam_search}

__all__ = ["STRATEGIES", "Hypotheses", "Settings", "Stepper"]

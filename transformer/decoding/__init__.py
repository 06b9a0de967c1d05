"""Search for the best translation. A search calls a step function; it knows tokens, scores and a cache, but no model.

To add a strategy, write a function like `greedy_search` in a new file, and add its line to STRATEGIES.

plan request      what a search is asked: for all sentences, and for one
stepper scores    the model as a search sees it; the score of a hypothesis
greedy beam diverse terminology sampling
                  strategies; `hypotheses`, `slots` and `top_k` are what they share
terms             the terms of rows, and how much of them hypotheses contain
rules attending   restrictions on the next token, and attention to the source, around any stepper
spelling utf8     rules of the vocabulary: how an output begins, and which bytes may follow each other
ensemble          one model or several as a stepper
batches searcher  sentences to batches, and batches through encoder and search
scoring           the probability of translations that are given
"""

from transformer.decoding.beam import beam_search
from transformer.decoding.diverse import diverse_search
from transformer.decoding.greedy import greedy_search
from transformer.decoding.hypotheses import Hypotheses
from transformer.decoding.plan import Capacities, SearchPlan
from transformer.decoding.request import Request
from transformer.decoding.sampling import sampling_search
from transformer.decoding.stepper import Stepper
from transformer.decoding.terminology import terminology_search

STRATEGIES = {
    "greedy": greedy_search,
    "beam": beam_search,
    "diverse": diverse_search,
    "terminology": terminology_search,
    "sampling": sampling_search,
}

__all__ = ["STRATEGIES", "Capacities", "Hypotheses", "Request", "SearchPlan", "Stepper"]

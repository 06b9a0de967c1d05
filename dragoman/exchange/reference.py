"""The run's own translations in float32, and the log-probability of each of their tokens."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from dragoman.exchange.trained import Trained
from transformer.decoding import SearchPlan, Stepper
from transformer.decoding.batches import in_order
from transformer.decoding.ensemble import Ensemble, ensemble_stepper
from transformer.decoding.request import make_request
from transformer.decoding.scoring import forced_pair, score_pairs
from transformer.decoding.searcher import Hypothesis, search_sentences
from transformer.decoding.stepper import Cache
from transformer.model import Assembly, abstract

BEAM = 5
ROWS_PER_BATCH = 16


class Reference(NamedTuple):
    """A run's model in float32, and its translations of some sources."""

    trained: Trained
    graph: nnx.GraphDef
    sources: Sequence[Sequence[int]]  # EOS included
    numbers: Sequence[int]  # line numbers, counted from 1
    searches: dict[float, list[Hypothesis]]  # by length penalty, with the conventions of CTranslate2
    own: list[Hypothesis]  # with the run's own search
    targets: list[list[int]]  # without EOS
    scores: list[Float[np.ndarray, " T"]]  # of the targets' tokens and their EOS

    @property
    def length_penalty(self) -> float:
        """The run's length penalty."""
        return self.trained.config.decoding.length_penalty


def make_reference(trained: Trained, sources: Sequence[Sequence[int]], numbers: Sequence[int]) -> Reference:
    """Everything that an exported model is compared with. No source may be longer than the model allows."""
    config = trained.config.model.model_copy(update={"precision": "float32"})
    graph, _ = abstract(config, len(trained.source_vocabulary), len(trained.target_vocabulary))
    alpha = trained.config.decoding.length_penalty
    searches = {
        penalty: search(trained, graph, sources, penalty, stepper_without_special_tokens)
        for penalty in sorted({0.0, alpha})
    }
    own = search(trained, graph, sources, alpha, ensemble_stepper)
    targets = [found.tokens[: config.maximum_length - 1] for found in own]
    scores = token_scores(trained, graph, sources, targets)
    return Reference(trained, graph, sources, numbers, searches, own, targets, scores)


def search(
    trained: Trained,
    graph: nnx.GraphDef,
    sources: Sequence[Sequence[int]],
    alpha: float,
    make_stepper: Callable[[Sequence[Assembly]], Stepper],
) -> list[Hypothesis]:
    """Our translation of each source, with the beam of the comparison."""
    decoding = trained.config.decoding.model_copy(update={"beam": BEAM, "length_penalty": alpha})
    plan = SearchPlan(decoding, maximum_length=trained.config.model.maximum_length)
    ensemble = Ensemble.of((graph, trained.parameters))
    requests = [make_request(plan, source) for source in sources]
    batches = search_sentences(ensemble, requests, plan, make_stepper=make_stepper)
    return [hypotheses[0] for hypotheses in in_order(batches, len(sources))]


def stepper_without_special_tokens(models: Sequence[Assembly]) -> Stepper:
    """A stepper that, like CTranslate2, redistributes the probability of PAD, UNK and BOS to the other tokens."""
    usual = ensemble_stepper(models)

    def step(
        tokens: Int[Array, "B K"], positions: Int[Array, " B"], caches: tuple[Cache, ...]
    ) -> tuple[Float[Array, "B K V"], tuple[Cache, ...]]:
        log_probabilities, caches = usual.step(tokens, positions, caches)
        return jax.nn.log_softmax(log_probabilities, axis=-1), caches

    return usual._replace(step=step)


def token_scores(
    trained: Trained, graph: nnx.GraphDef, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> list[Float[np.ndarray, " T"]]:
    """The log-probability of each token of the targets and of the final EOS, by forced decoding."""
    pairs = [forced_pair(source, target) for source, target in zip(sources, targets, strict=True)]
    longest = trained.config.model.maximum_length
    batches = score_pairs(graph, trained.parameters, pairs, rows=ROWS_PER_BATCH, maximum_length=longest)
    return in_order(batches, len(pairs))

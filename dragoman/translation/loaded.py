"""A loaded model, complete once it is made: all that translating, scoring and explaining lines needs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
from flax import nnx

from data.errors import InputError
from data.vocabulary.tokenizer import Tokenizer
from dragoman.translation.glossary import Term, spellings
from transformer.config import Config
from transformer.decoding import Capacities, SearchPlan
from transformer.decoding.searcher import Ensemble
from transformer.model import Parameters


class Demands(NamedTuple):
    """What is asked of all translations besides the knobs of the `decoding` section."""

    terms: tuple[Term, ...] = ()  # where a line has a source term, its translation has the target term
    banned: tuple[str, ...] = ()  # words or phrases that are never written
    mbr: bool = False  # of all hypotheses or samples, the one that agrees most with the others


NO_DEMANDS = Demands()


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model, or several that vote, on its devices, with its tokenizer and what is asked of its translations.

    InputError for demands that contradict each other or the knobs.
    """

    ensemble: Ensemble
    config: Config
    tokenizer: Tokenizer
    n_best: int = 1
    demands: Demands = NO_DEMANDS
    run: str = ""
    checkpoint: str = ""
    step: int = 0
    parameters_sha256: str = ""
    plan: SearchPlan = field(init=False)  # how lines without prefixes are searched

    def __post_init__(self) -> None:
        decoding = self.config.decoding
        if not 1 <= self.n_best <= decoding.beam:
            raise InputError(
                f"n-best is {self.n_best} with a beam of {decoding.beam}: expected 1 to {decoding.beam}; "
                "raise the beam for more"
            )
        plan = SearchPlan(
            decoding,
            maximum_length=self.config.model.maximum_length,
            keep=decoding.beam if self.demands.mbr else self.n_best,
            banned=spell(self.demands.banned, self.tokenizer),
            capacities=Capacities(terms=bool(self.demands.terms)),
        )
        object.__setattr__(self, "plan", plan)

    @property
    def limit(self) -> int:
        """The longest source in tokens that is translated whole, EOS counted."""
        return min(self.config.data.maximum_tokens, self.config.model.maximum_length)

    @property
    def graph(self) -> nnx.GraphDef:
        """The structure of the first model."""
        return self.ensemble.graphs[0]

    @property
    def parameters(self) -> Parameters:
        """The parameters of the first model, on the first device."""
        first: Parameters = jax.tree.map(lambda array: array.addressable_data(0), self.ensemble.parameters[0])
        return first


def spell(words: Sequence[str], tokenizer: Tokenizer) -> tuple[tuple[int, ...], ...]:
    """Every spelling of words in pieces. InputError for a word that the vocabulary cannot write."""
    pieces = {piece: id_ for id_, piece in enumerate(tokenizer.target_vocabulary())} if words else {}
    found: list[tuple[int, ...]] = []
    for word in words:
        if not (ways := spellings(word, pieces)):
            raise InputError(f"banned word {word!r} cannot be written with this vocabulary: leave it out")
        found += ways
    return tuple(found)

"""A loaded model with everything needed to translate lines, score translations and explain them."""

import functools
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import jax
from flax import nnx

from data.errors import InputError
from data.languages import language_of
from data.text.preparation import SourceRules
from data.text.statistics import SourceStatistics
from data.vocabulary.spelling import Speller, byte_ids, unwritable_ids
from data.vocabulary.tokenizer import Tokenizer
from dragoman.translation.arguments import check_is_list, check_is_number
from dragoman.translation.glossary import Term
from dragoman.translation.requirements import Terminology
from dragoman.translation.spelling import spell
from transformer.config import Config
from transformer.decoding import Capacities, SearchPlan
from transformer.decoding.ensemble import Ensemble
from transformer.model import Parameters


class Demands(NamedTuple):
    """Requirements for all translations, in addition to the knobs of the `decoding` section."""

    terms: tuple[Term, ...] = ()  # if a line has the source term, its translation must have the target term
    banned: tuple[str, ...] = ()  # words or phrases that are never written
    mbr: bool = False  # choose the hypothesis or sample that agrees most with the others


def check_demands(demands: Demands) -> None:
    """TypeError for what are no demands, or demands of another type."""
    if not isinstance(demands, Demands):
        raise TypeError(f"demands is {demands!r:.40}: expected Demands, of dragoman.translation.loaded")
    check_is_list("demands.terms", demands.terms, Term, of="Term")
    check_is_list("demands.banned", demands.banned, str, of="strings")


NO_DEMANDS = Demands()
NO_STATISTICS = SourceStatistics()
MULTI_SENTENCE = 0.1  # of the training lines: from there on, the model knows lines of several sentences


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model or an ensemble on its devices, with its tokenizer and the demands on its translations.

    InputError if demands contradict each other or the knobs, TypeError if they are none.
    """

    ensemble: Ensemble
    config: Config
    tokenizer: Tokenizer
    statistics: SourceStatistics = NO_STATISTICS
    n_best: int = 1
    demands: Demands = NO_DEMANDS
    run: str = ""
    checkpoint: str = ""
    step: int = 0
    parameters_sha256: str = ""
    plan: SearchPlan = field(init=False)  # of the search for lines without prefixes, whose terms are not required
    rules: SourceRules = field(init=False)  # how lines are prepared
    terminology: Terminology = field(init=False)
    unwritable: tuple[str, ...] = field(init=False)  # banned words that the vocabulary cannot write anyway
    admitted: set[SearchPlan] = field(default_factory=set)  # those whose programs fit in memory, of models of one shape

    def __post_init__(self) -> None:
        decoding = self.config.decoding
        if self.config.model.assembly == "denoising_encoder":
            raise InputError(
                f'{self.run or "the model"}: model.assembly is "denoising_encoder", which writes no translations: '
                "dragoman fill fills masked places with it, and model.start_encoder starts an encoder-decoder from it"
            )
        check_demands(self.demands)
        check_is_number("n_best", self.n_best)
        if not 1 <= self.n_best <= decoding.beam:
            raise InputError(
                f"n-best is {self.n_best} with a beam of {decoding.beam}: expected 1 to {decoding.beam}; "
                "raise the beam for more"
            )
        banned = spell(self.demands.banned, self.tokenizer)
        pieces = self.tokenizer.target_vocabulary()
        plan = SearchPlan(
            decoding,
            maximum_length=self.config.model.maximum_length,
            keep=decoding.beam if self.demands.mbr else self.n_best,
            banned=tuple(ids for ways in banned.values() for ids in ways),
            byte_tokens=byte_ids(pieces),
            unwritable=unwritable_ids(pieces),
        )
        if self.demands.terms:
            replace(plan, capacities=Capacities(terms=True))  # rejects knobs of another strategy now
        object.__setattr__(self, "plan", plan)
        object.__setattr__(self, "rules", source_rules(self.config, self.statistics))
        object.__setattr__(self, "terminology", Terminology(self.demands.terms, self.tokenizer))
        object.__setattr__(self, "unwritable", tuple(word for word, ways in banned.items() if not ways))

    @functools.cached_property
    def speller(self) -> Speller:
        """The alphabetical order of the target pieces."""
        return Speller(self.tokenizer.target_vocabulary())

    @property
    def limit(self) -> int:
        """The length in tokens, including EOS, of the longest source that is translated as a whole."""
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


def source_rules(config: Config, statistics: SourceStatistics) -> SourceRules:
    """How a run prepares the lines that it translates."""
    several = (statistics.several_sentences or 0.0) + config.data.augment_joined
    splits = {"always": True, "never": False, "auto": several < MULTI_SENTENCE}
    return SourceRules(
        cleans=config.data.cleaning != "none",
        splits=splits[config.decoding.sentences],
        capitals=config.decoding.capitals,
        language=language_of(config.data.source_language).primary,
        target_language=language_of(config.data.target_language).primary,
        usual=statistics.usual,
    )

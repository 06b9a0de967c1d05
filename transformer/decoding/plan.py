"""The static settings of a search, known before any sentence: programs are compiled for them."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax

from data.errors import InputError
from transformer.config import DecodingConfig


class Capacities(NamedTuple):
    """What sentences may ask for: a program has room for it only if it was compiled with it set."""

    prefixes: bool = False
    terms: bool = False


NO_CAPACITIES = Capacities()


@dataclass(frozen=True)
class SearchPlan:
    """How every sentence of a text is searched. A program is compiled for each plan, and for each bucket of lengths.

    Searches read their knobs from `decoding`. With `bucket` 0 there is one program, with room for the longest output
    from the start. Raises InputError if knobs and capacities ask for two strategies.
    """

    decoding: DecodingConfig
    maximum_length: int  # the model's limit for either side, including EOS
    keep: int = 1  # hypotheses to return for each sentence, at most `decoding.beam`
    banned: tuple[tuple[int, ...], ...] = ()  # token sequences that no output may contain
    capacities: Capacities = NO_CAPACITIES
    joins: tuple[int, ...] = ()  # tokens that continue the word before them: a term does not end before one
    byte_tokens: tuple[int, ...] = ()  # those of the bytes 0 to 255, for a vocabulary that has them
    unwritable: tuple[int, ...] = ()  # tokens that are no text, such as control characters
    ranks: tuple[int, ...] = ()  # with prefixes: the place of each token in the alphabetical order of the vocabulary
    bucket: int = 0  # the length to which sources are padded
    factors: Any = field(default=None, compare=False, repr=False)  # within a program: its table for `scores_of`

    def __post_init__(self) -> None:
        if self.capacities.terms and (self.decoding.sampling or self.decoding.groups > 1):
            raise InputError("terminology needs beam search: it cannot be combined with sampling or groups")

    @property
    def stages(self) -> tuple[int, ...]:
        """The lengths to which the cache grows, in order; the last is the longest output."""
        if not self.bucket:
            return (self.maximum_length,)
        longest = self.limit(self.bucket)
        return (self.bucket, longest) if self.bucket < longest else (longest,)

    @property
    def length(self) -> int:
        """The longest output of the program in tokens, including EOS."""
        return self.stages[-1]

    @property
    def slots(self) -> int:
        """The number of rows that a step computes."""
        return self.decoding.rows or usual_rows()

    @property
    def strategy(self) -> str:
        """The name in STRATEGIES of the strategy that the knobs ask for."""
        if self.capacities.terms:
            return "terminology"
        if self.decoding.sampling:
            return "sampling"
        if self.decoding.groups > 1:
            return "diverse"
        return "greedy" if self.decoding.beam == 1 else "beam"

    @property
    def may_be_unsatisfiable(self) -> bool:
        """Whether the requirements may leave a sentence without any output."""
        return any(self.capacities) or bool(self.banned) or self.decoding.unrepeated > 0

    def limit(self, source_length: int) -> int:
        """The longest output for a source of this many tokens, including EOS on both sides."""
        longest = int(source_length * self.decoding.maximum_ratio) + self.decoding.maximum_extra
        return max(1, min(longest, self.maximum_length))

    def minimum(self, source_length: int) -> int:
        """The fewest tokens required before EOS, for a source of this many tokens including EOS."""
        return int(self.decoding.minimum_ratio * (source_length - 1)) + self.decoding.minimum_length

    @property
    def program(self) -> "SearchPlan":
        """The plan that the program is compiled for, which is the same for every length penalty: it is an argument."""
        return self.with_decoding(length_penalty=1.0, penalty="gnmt")

    def with_decoding(self, **knobs: Any) -> "SearchPlan":
        """The plan with these changes to its knobs, which are not validated."""
        return dataclasses.replace(self, decoding=self.decoding.model_copy(update=knobs))


def usual_rows() -> int:
    """The default number of rows in a step: 8 on CPUs, to fit the cache; 128 on accelerators, to keep them busy."""
    return 8 if jax.default_backend() == "cpu" else 128

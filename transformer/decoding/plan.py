"""What is known of a search before any sentence: the static side of its programs."""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from data.errors import InputError
from transformer.config import DecodingConfig


class Capacities(NamedTuple):
    """What sentences may ask for: a program has room for it only if it was compiled with it."""

    prefixes: bool = False
    terms: bool = False


NO_CAPACITIES = Capacities()


@dataclass(frozen=True)
class SearchPlan:
    """How every sentence of a text is searched. A program is compiled for each value, and each bucket of lengths.

    Searches read the knobs from `decoding` itself. With `bucket` 0 there is one program, with room for the longest
    output at once. InputError for knobs and capacities that ask for two strategies.
    """

    decoding: DecodingConfig
    maximum_length: int  # the model's own limit, on both sides, EOS counted
    keep: int = 1  # hypotheses returned for a sentence, at most `decoding.beam`
    banned: tuple[tuple[int, ...], ...] = ()  # token sequences that are never written
    capacities: Capacities = NO_CAPACITIES
    bucket: int = 0  # the length that sources are padded to

    def __post_init__(self) -> None:
        if self.capacities.terms and (self.decoding.sampling or self.decoding.groups > 1):
            raise InputError("terminology needs beam search: it goes with neither sampling nor groups")

    @property
    def stages(self) -> tuple[int, ...]:
        """Lengths to which the cache grows; the last is the longest output."""
        if not self.bucket:
            return (self.maximum_length,)
        longest = self.limit(self.bucket)
        return (self.bucket, longest) if self.bucket < longest else (longest,)

    @property
    def length(self) -> int:
        """The longest output of the program in tokens, EOS counted."""
        return self.stages[-1]

    @property
    def slots(self) -> int:
        """Rows that a step computes."""
        return self.decoding.rows or usual_rows()

    @property
    def strategy(self) -> str:
        """The strategy in STRATEGIES that the knobs ask for."""
        if self.capacities.terms:
            return "terminology"
        if self.decoding.sampling:
            return "sampling"
        if self.decoding.groups > 1:
            return "diverse"
        return "greedy" if self.decoding.beam == 1 else "beam"

    def limit(self, source_length: int) -> int:
        """The longest output for a source of this many tokens, EOS counted on both sides."""
        longest = int(source_length * self.decoding.maximum_ratio) + self.decoding.maximum_extra
        return max(1, min(longest, self.maximum_length))

    def minimum(self, source_length: int) -> int:
        """The fewest tokens before EOS that are asked for, for a source of this many, EOS counted."""
        return int(self.decoding.minimum_ratio * (source_length - 1)) + self.decoding.minimum_length

    def with_decoding(self, **knobs: Any) -> "SearchPlan":
        """The plan with these knobs, which are not checked again."""
        return dataclasses.replace(self, decoding=self.decoding.model_copy(update=knobs))


def usual_rows() -> int:
    """Rows of a step where a config leaves them open: 8 on CPUs, to fit the cache; 128 elsewhere, to keep them busy."""
    return 8 if jax.default_backend() == "cpu" else 128

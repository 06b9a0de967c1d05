"""Disturbs training pairs as people disturb text: capitals, Title Case, typing errors, several sentences on a line.

Each function is pure: its randomness comes from the generator that it is given.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from data.batch import Pair
from data.config import DataConfig
from data.languages import language_of
from data.text.casing import capitalise, upper
from data.text.joining import join_parts

KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
NEIGHBOURS = {
    key: row[max(0, place - 1) : place] + row[place + 1 : place + 2]
    for row in KEYBOARD
    for place, key in enumerate(row)
}
LETTERS_PER_TYPO = 20  # on average; a line with typing errors has at least one


class Languages(NamedTuple):
    """The two-letter codes of both sides, and whether spaces separate their words."""

    source: str = ""
    target: str = ""
    source_has_spaces: bool = True
    target_has_spaces: bool = True


def in_capitals(pair: Pair, languages: Languages, random: Random) -> Pair:
    """Both sides in capitals: "A dog.", "Ein Hund." -> "A DOG.", "EIN HUND."."""
    return Pair(upper(pair.source, languages.source), upper(pair.target, languages.target))


def in_title_case(pair: Pair, languages: Languages, random: Random) -> Pair:
    """Both sides with a capital on every word: "A black dog." -> "A Black Dog."."""
    sides = ((pair.source, languages.source), (pair.target, languages.target))
    source, target = (" ".join(capitalise(word, code) for word in side.split(" ")) for side, code in sides)
    return Pair(source, target)


def with_typos(pair: Pair, languages: Languages, random: Random) -> Pair:
    """The source with a typing error in every twentieth letter or so; the target is unchanged: "A dgo runs."."""
    places = [place for place, letter in enumerate(pair.source) if letter.isalpha()]
    if not places:
        return pair
    count = max(1, round(len(places) / LETTERS_PER_TYPO * random.uniform(0.5, 1.5)))
    source = list(pair.source)
    for place in sorted(random.sample(places, min(count, len(places))), reverse=True):
        random.choice(TYPOS)(source, place, random)
    return pair._replace(source="".join(source))


def leave_out(letters: list[str], place: int, random: Random) -> None:
    """Remove a letter: dog -> dg."""
    del letters[place]


def repeat(letters: list[str], place: int, random: Random) -> None:
    """Repeat a letter: dog -> doog."""
    letters.insert(place, letters[place])


def swap(letters: list[str], place: int, random: Random) -> None:
    """Exchange a letter with the next one, if that is a letter too: dog -> dgo."""
    if place + 1 < len(letters) and letters[place + 1].isalpha():
        letters[place : place + 2] = letters[place + 1], letters[place]
    else:
        repeat(letters, place, random)


def miss(letters: list[str], place: int, random: Random) -> None:
    """Replace a letter by one beside it on an English keyboard, or leave it out: dog -> dig."""
    beside = NEIGHBOURS.get(letters[place].lower())
    letters[place : place + 1] = [random.choice(beside)] if beside else []


TYPOS = (leave_out, repeat, swap, miss)

AUGMENTATIONS: dict[str, Callable[[Pair, Languages, Random], Pair]] = {
    "augment_capitals": in_capitals,
    "augment_titles": in_title_case,
    "augment_typos": with_typos,
}
"""What is done to a pair, by the knob of the data section that says how often: after joining, in this order."""


@dataclass(frozen=True)
class Augmentation:
    """A function that disturbs pairs as the knobs of a recipe say. It can be sent to another process."""

    rates: Mapping[str, float]  # of each augmentation, from 0 to 1, by its knob
    languages: Languages

    @classmethod
    def of(cls, config: DataConfig) -> "Augmentation | None":
        """The augmentation of a recipe; None if it asks for none."""
        rates = {
            "augment_joined": config.augment_joined,
            "augment_capitals": config.augment_capitals,
            "augment_titles": config.augment_titles,
            "augment_typos": config.augment_typos,
        }
        source, target = language_of(config.source_language), language_of(config.target_language)
        languages = Languages(source.primary, target.primary, source.has_spaces, target.has_spaces)
        return cls(rates, languages) if any(rates.values()) else None

    def __call__(self, pairs: Sequence[Pair], randoms: Sequence[Random]) -> list[Pair]:
        """The pairs, each disturbed by its own generator. One of the others may be joined to a pair."""
        return [
            augment(pair, random.choice(pairs), self.rates, self.languages, random)
            for pair, random in zip(pairs, randoms, strict=True)
        ]


def augment(pair: Pair, following: Pair, rates: Mapping[str, float], languages: Languages, random: Random) -> Pair:
    """The pair, disturbed by each augmentation with its probability. `following` may be joined to it.

    One number is drawn for each augmentation, whatever its rate, so that changing one does not change the others.
    """
    if random.random() < rates["augment_joined"]:
        source = join_parts([pair.source, following.source], has_spaces=languages.source_has_spaces)
        target = join_parts([pair.target, following.target], has_spaces=languages.target_has_spaces)
        pair = Pair(source, target)
    for name, change in AUGMENTATIONS.items():
        seed = random.getrandbits(32)
        if random.random() < rates[name]:
            pair = change(pair, languages, Random(seed))
    return pair

"""Held-out text: the validation and test sets of a run, as training scores them, and files that a user names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from data.batch import Pair
from data.errors import InputError
from data.lines import read_lines
from data.sources import load_corpora
from dragoman.messages import warn
from transformer.config import Config

HeldOut = Literal["validation", "test"]


class TestSet(NamedTuple):
    """Sources, and the references that their translations are compared with: references[r][n] is one of line n."""

    name: str
    sources: Sequence[str]
    references: Sequence[Sequence[str]]  # each has a line for each source; there is at least one
    language: str = ""  # the code of the language of the references; "" if it is not known
    source_language: str = ""  # of the sources, likewise
    split: HeldOut | None = None  # of a run's recipe; None for files that a user named

    @property
    def reference(self) -> Sequence[str]:
        """The first reference of each line."""
        return self.references[0]


TestSet.__test__ = False  # type: ignore[attr-defined]  # or else pytest takes it for a test


def read_test_set(
    source: str, *references: str, name: str = "", language: str = "", source_language: str = ""
) -> TestSet:
    """A test set from a file of sources and files of references, with the same number of lines."""
    sources = read_lines(source)
    read = [read_lines(reference) for reference in references]
    for file, lines in zip(references, read, strict=True):
        if len(lines) != len(sources):
            raise InputError(
                f"{source} has {len(sources)} lines and {file} has {len(lines)}: "
                "line n of one must translate line n of the other"
            )
    return TestSet(name or Path(source).name, sources, read, language, source_language)


def own_test_sets(config: Config, split: HeldOut) -> list[TestSet]:
    """The validation or test sets of a run's recipe, one for each corpus."""
    return [
        TestSet(
            name,
            [pair.source for pair in pairs],
            [[pair.target for pair in pairs]],
            config.data.target_language,
            config.data.source_language,
            split,
        )
        for name, pairs in held_out_pairs(config, split)
    ]


def own_test_set(config: Config, split: HeldOut) -> TestSet:
    """The validation or test set of a run's recipe, all its corpora as one."""
    sets = own_test_sets(config, split)
    return sets[0] if len(sets) == 1 else together(sets, all_of(split))


def all_of(split: HeldOut) -> str:
    """The name of several sets of a split as one: "all of test"."""
    return f"all of {split}"


def held_out_pairs(config: Config, split: HeldOut) -> list[tuple[str, list[Pair]]]:
    """The name and the pairs of each corpus of a held-out split, in order. InputError if there are no pairs.

    Of the validation set, only the first `training.validation_sentences` pairs; a corpus that is cut says so in its
    name. Warns of pairs that the source left out. Training validates on these pairs, all together.
    """
    corpora = load_corpora(config.data, split)
    left = config.training.validation_sentences if split == "validation" else 0
    left = left or sum(len(corpus.pairs) for corpus in corpora)
    if not left:
        raise InputError(f"the {split} set has no pairs: see data.{split} and data.directory")
    sets = []
    for corpus in corpora:
        for reason, count in corpus.dropped.items():
            if count:
                warn(f"{split} set {corpus.name}: {count} pairs left out: {reason}")
        pairs = list(corpus.pairs[:left])
        left -= len(pairs)
        if pairs:
            is_cut = len(pairs) < len(corpus.pairs)
            sets.append((f"{corpus.name}, first {len(pairs)}" if is_cut else corpus.name, pairs))
    return sets


def together(test_sets: Sequence[TestSet], name: str) -> TestSet:
    """Several test sets as one, in order. They have the same number of references."""
    sources = [source for test_set in test_sets for source in test_set.sources]
    references = zip(*(test_set.references for test_set in test_sets), strict=True)
    joined = [[line for lines in one for line in lines] for one in references]
    return test_sets[0]._replace(name=name, sources=sources, references=joined)

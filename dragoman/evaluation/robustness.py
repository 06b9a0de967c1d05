"""How much worse a system translates disturbed text: test sets made from a clean one, and their scores beside its own.

perturbations   the same lines, disturbed        single_words, paragraphs   less than a sentence, and more
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from data.errors import InputError
from data.languages import join_texts
from dragoman.evaluation.decoding import Model
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.paragraphs import lost_sentences, paragraphs_of
from dragoman.evaluation.perturbations import PERTURBATIONS, perturb
from dragoman.evaluation.results import Outputs
from dragoman.evaluation.single_words import overlong, single_words
from dragoman.signals import never

OTHER_SETS = {
    "words": "the test set's frequent words, one a line, against a dictionary learned from the test set",
    "paragraphs": "three consecutive lines in one, as sentences of a paragraph; counts those that get lost",
}
KINDS = {name: one.about for name, one in PERTURBATIONS.items()} | OTHER_SETS
"""What `--perturb` knows, each with what it does."""

COMPARED = ("bleu", "chrf")


class DisturbedSet(NamedTuple):
    """A test set made from a clean one."""

    kind: str  # a key of KINDS
    test_set: TestSet  # its name is that of the clean one and the kind: "test.en, typos"
    members: list[list[int]]  # the lines of the clean one that each line is made of, from 0 on; none for words


class Robustness(NamedTuple):
    """The scores of a system's translations of a disturbed test set, beside those of the same text undisturbed.

    Both are scored alike: in lower case if the perturbation is one of case; for paragraphs, over whole paragraphs.
    """

    system: str
    test_set: str  # the clean one
    kind: str
    lines: int
    clean: dict[str, float]  # by metric; empty for words, which have no clean translations
    disturbed: dict[str, float]
    signatures: dict[str, str]
    sentences: int | None = None  # of paragraphs: the lines of the clean test set that they are made of
    lost: list[int] | None = None  # of paragraphs: those of them that got lost, by their numbers from 0 on
    overlong: list[int] | None = None  # of words: the numbers of those for which the system wrote more

    def as_json(self) -> dict[str, Any]:
        """The record for JSON, its lines counted from 1: see docs/json.md."""
        known = {name: value for name, value in self._asdict().items() if value is not None}
        numbers = {name: [n + 1 for n in known[name]] for name in ("lost", "overlong") if name in known}
        return known | numbers


def disturbed_set(clean: TestSet, kind: str, languages: tuple[str, str]) -> DisturbedSet:
    """A test set disturbed in one way. `languages` are the codes of both sides. InputError for an unknown kind."""
    if kind not in KINDS:
        raise InputError(f"--perturb: unknown kind {kind!r}; known are {', '.join(KINDS)}")
    name, sources, references = f"{clean.name}, {kind}", clean.sources, clean.references
    members = [[number] for number in range(len(sources))]
    if kind == "words":
        found = single_words(sources, clean.reference)
        sources, references, members = found.sources, [found.references], []
    elif kind == "paragraphs":
        sources, references, members = paragraphs_of(sources, references, languages)
    else:
        sources = perturb(sources, kind, languages[0])
    return DisturbedSet(kind, clean._replace(name=name, sources=sources, references=references), members)


def robustness(
    system: str, clean: TestSet, disturbed: DisturbedSet, hypotheses: Sequence[str], found: Sequence[str], language: str
) -> Robustness:
    """The comparison of a system's translations `found` of a disturbed test set with those of the clean one.

    `hypotheses` are the system's translations of the clean test set, `language` is the code of the target language.
    """
    kind, test_set = disturbed.kind, disturbed.test_set
    beside = [join_texts([hypotheses[number] for number in numbers], language) for numbers in disturbed.members]
    before = scores(kind, beside, test_set, language) if beside else {}
    after = scores(kind, found, test_set, language)
    return Robustness(
        system,
        clean.name,
        kind,
        len(test_set.sources),
        {name: score for name, (score, _) in before.items()},
        {name: score for name, (score, _) in after.items()},
        {name: signature for name, (_, signature) in after.items()},
        sentences=sum(map(len, disturbed.members)) if kind == "paragraphs" else None,
        lost=lost_sentences(found, hypotheses, disturbed.members) if kind == "paragraphs" else None,
        overlong=overlong(found, test_set.reference) if kind == "words" else None,
    )


class Disturbed:
    """Collects how systems translate disturbed copies of test sets. `kinds` are keys of KINDS."""

    def __init__(self, kinds: Sequence[str]):
        self.found: list[Robustness] = []
        self.notes: list[str] = []  # why a copy could not be made, such as paragraphs of lines without full stops
        self._kinds = kinds
        self._sets: dict[tuple[str, str], DisturbedSet | None] = {}

    def add(self, model: Model, clean: Outputs, *, is_stopping: Callable[[], bool] = never) -> None:
        """Translates the disturbed copies of a test set by a system whose outputs of the clean one are given."""
        for kind in self._kinds:
            if (disturbed := self._set(clean.test_set, kind)) is not None:
                outputs = model.outputs(disturbed.test_set, is_stopping=is_stopping)
                texts = clean.hypotheses, outputs.hypotheses
                language = clean.test_set.language
                self.found.append(robustness(clean.system.name, clean.test_set, disturbed, *texts, language))

    def _set(self, test_set: TestSet, kind: str) -> DisturbedSet | None:
        key = test_set.name, kind
        if key not in self._sets:
            try:
                self._sets[key] = disturbed_set(test_set, kind, (test_set.source_language, test_set.language))
            except InputError as error:
                self._sets[key] = None
                self.notes.append(f"{test_set.name}: {error}")
        return self._sets[key]


def scores(kind: str, hypotheses: Sequence[str], test_set: TestSet, language: str) -> dict[str, tuple[float, str]]:
    """The score and signature by each of the COMPARED metrics, in lower case if the kind ignores case.

    Single words have no BLEU, which counts runs of four.
    """
    compared = [name for name in COMPARED if (kind, name) != ("words", "bleu")]
    ignores_case = kind in PERTURBATIONS and PERTURBATIONS[kind].ignores_case
    texts = [
        [line.lower() for line in lines] if ignores_case else lines for lines in (hypotheses, *test_set.references)
    ]
    found = {name: METRICS[name].score_against(texts[0], texts[1:], language) for name in compared}
    how = "|prepared:lowercase" if ignores_case else ""
    return {name: (one.score, one.signature + how) for name, one in found.items()}


def robustness_table(found: Sequence[Robustness]) -> list[list[str]]:
    """Rows for a table, the first its header: clean and disturbed scores, and what was counted."""
    rows = [["system", "test set", "disturbed by", "lines", *(f"{m} clean" for m in COMPARED), *COMPARED, ""]]
    for one in found:
        before, after = (
            [f"{scores[name]:.2f}" if name in scores else "-" for name in COMPARED]
            for scores in (one.clean, one.disturbed)
        )
        rows.append([one.system, one.test_set, one.kind, str(one.lines), *before, *after, counted(one)])
    return rows


def counted(one: Robustness) -> str:
    """What was counted in a disturbed test set: "4 of 948 sentences lost"."""
    if one.lost is not None:
        return f"{len(one.lost)} of {one.sentences} sentences lost"
    if one.overlong is not None:
        return f"{len(one.overlong)} of {one.lines} longer than a word"
    return ""

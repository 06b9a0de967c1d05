"""Evaluates systems on test sets: translations, scores, intervals, comparisons, in one record."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from data.sources import load_corpora
from dragoman.evaluation.baselines import copy_source, learn_dictionary, spread, word_for_word
from dragoman.evaluation.checks import notes_about
from dragoman.evaluation.comparisons import with_comparisons
from dragoman.evaluation.decoding import Admitted, Model, together
from dragoman.evaluation.held_out import HeldOut, TestSet, all_of, own_test_sets
from dragoman.evaluation.held_out import together as joined_test_set
from dragoman.evaluation.kept import Kept, hash_of
from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.results import Evaluation, Outputs, System
from dragoman.evaluation.robustness import Disturbed
from dragoman.evaluation.scoring import AnyMetric, Evaluator
from dragoman.evaluation.seeds import with_seeds
from dragoman.evaluation.significance import SAMPLES, SEED, TRIALS
from dragoman.evaluation.supplements import with_supplements
from dragoman.evaluation.systems import Candidate, find_baseline
from dragoman.signals import Interrupted, never
from dragoman.translation.loaded import NO_DEMANDS, Demands

NO_TEXTS: Mapping[str, Sequence[Sequence[str]]] = {}
BASELINES = ("source copied", "word for word")


class Task(NamedTuple):
    """What is evaluated, and how.

    Without test sets, each run is evaluated on those of its recipe; `texts` then has nothing to be compared with.
    """

    candidates: Sequence[Candidate] = ()
    texts: Mapping[str, Sequence[Sequence[str]]] = NO_TEXTS  # by the name of a system, its lines for each test set
    test_sets: Sequence[TestSet] = ()
    split: HeldOut = "test"  # of the runs' own sets
    metrics: Sequence[AnyMetric] = tuple(METRICS.values())
    baseline: str = ""  # the system that the others are compared with, as `find_baseline` takes it
    samples: int = SAMPLES
    trials: int = TRIALS
    seed: int = SEED
    demands: Demands = NO_DEMANDS
    has_baselines: bool = False  # also the source copied, and a word-for-word translation
    has_perplexity: bool = True
    perturb: Sequence[str] = ()  # how test sets are disturbed, by the names in `robustness.KINDS`
    reads_training_text: bool = False  # of runs that keep no hashes of it, however large it is
    has_details: bool = False  # words, confidences and alignments of outputs


def evaluate(task: Task, kept: Kept, *, is_stopping: Callable[[], bool] = never) -> Evaluation:
    """All outputs, scores and comparisons. After a request to stop, those of the outputs that are finished."""
    baseline = find_baseline(task.baseline, systems_of(task)) if task.baseline else ""
    outputs, disturbed, is_complete = translate_all(task, kept, is_stopping)
    test_sets = list({one.test_set.name: one.test_set for one in outputs}.values())
    evaluators = {
        test_set.name: Evaluator(
            test_set, task.metrics, kept, samples=task.samples, trials=task.trials, seed=task.seed
        )
        for test_set in test_sets
    }  # fmt: skip
    rows = [evaluators[one.test_set.name].result(one) for one in outputs]
    results = with_seeds(rows)
    found = Evaluation(test_sets, outputs, results, baseline=baseline, is_complete=is_complete)
    found = found._replace(samples=task.samples, trials=task.trials, seed=task.seed)
    found = found._replace(notes=[*disturbed.notes, *(note for one in outputs for note in notes_about(one))])
    if disturbed.found:
        found = found._replace(supplements={"robustness": disturbed.found})
    found = with_supplements(found, task.candidates, evaluators, reads_text=task.reads_training_text)
    return with_comparisons(found, evaluators) if baseline else found


def systems_of(task: Task) -> list[System]:
    """All systems of a task, by the names that they have in its results."""
    systems = [candidate.system for candidate in task.candidates]
    groups = dict.fromkeys(system.seed_of for system in systems if system.seed_of)
    systems += [System(name, "text", run=name) for name in task.texts]
    systems += [System(name, "seeds", run=name) for name in groups]
    return systems + [System(name, "baseline", run=name) for name in BASELINES if task.has_baselines]


# --- translations ------------------------------------------------------------------------------------------


def translate_all(task: Task, cache: Kept, is_stopping: Callable[[], bool]) -> tuple[list[Outputs], Disturbed, bool]:
    """The outputs of all systems, in the order in which they were named, and whether all are finished.

    Between them, what each makes of disturbed test sets.
    """
    outputs: list[Outputs] = []
    disturbed = Disturbed(task.perturb)
    admitted: Admitted = {}
    known = TestSets()
    try:
        for candidate in task.candidates:
            model = Model(candidate, cache, admitted, demands=task.demands)
            test_sets = task.test_sets or known.of(model, task.split)
            if task.has_baselines:
                outputs += baselines(model, test_sets, task.split, known, outputs)
            for one in translate(model, test_sets, task, known, is_stopping):
                outputs.append(one)
                if one.test_set in test_sets:  # and not all of them together
                    disturbed.add(model, one, is_stopping=is_stopping)
    except Interrupted:
        return outputs, disturbed, False
    for name, texts in task.texts.items():
        system = System(name, "text", run=name)
        outputs += [Outputs(system, *pair) for pair in zip(task.test_sets, texts, strict=True)]
    return outputs, disturbed, True


class TestSets:
    """The runs' own test sets. Sets with the same lines are one; others of the same name get that of the run, too."""

    __test__ = False  # pytest takes the name for a test

    def __init__(self) -> None:
        self._known: dict[str, TestSet] = {}

    def of(self, model: Model, split: HeldOut) -> list[TestSet]:
        """The test sets of a run's recipe."""
        return [self.known(test_set, model.system.name) for test_set in own_test_sets(model.config, split)]

    def known(self, test_set: TestSet, run: str) -> TestSet:
        """The test set with these lines, whatever run had it first."""
        content = hash_of(test_set.sources, *test_set.references)
        if content not in self._known:
            if test_set.name in [one.name for one in self._known.values()]:
                test_set = test_set._replace(name=f"{test_set.name} ({run})")
            self._known[content] = test_set
        return self._known[content]

    def all_of(self, test_sets: Sequence[TestSet], split: HeldOut, run: str) -> TestSet:
        """Several sets as one: "all of test"."""
        return self.known(joined_test_set(test_sets, all_of(split)), run)


def translate(
    model: Model, test_sets: Sequence[TestSet], task: Task, known: TestSets, is_stopping: Callable[[], bool]
) -> Iterator[Outputs]:
    """A system's outputs for each test set; for several of a run's own, also for all of them together.

    The lines of a run's own sets are numbered together, as training numbers them; those of others begin at 1.
    """
    parts: list[Outputs] = []
    for test_set in test_sets:
        first = 1 + (0 if task.test_sets else sum(len(part.hypotheses) for part in parts))
        found = model.outputs(test_set, is_stopping=is_stopping, first=first)
        if task.has_perplexity:
            found = model.with_references(found)
        parts.append(model.with_details(found, first=first) if task.has_details else found)
        yield parts[-1]
    if len(parts) > 1 and not task.test_sets:
        yield together(parts, known.all_of(test_sets, task.split, model.system.name))


def baselines(
    model: Model, test_sets: Sequence[TestSet], split: HeldOut, known: TestSets, before: Sequence[Outputs]
) -> list[Outputs]:
    """The outputs that a model should beat, for test sets that have none yet: the source copied, and word for word."""
    done = {one.test_set.name for one in before if one.system.kind == "baseline"}
    sets = list(test_sets)
    if len(sets) > 1 and sets[0].split is not None:
        sets.append(known.all_of(test_sets, split, model.system.name))
    if not (wanted := [test_set for test_set in sets if test_set.name not in done]):
        return []
    dictionary = learn_dictionary(spread([corpus.pairs for corpus in load_corpora(model.config.data, "train")]))
    copied, replaced = (System(name, "baseline", run=name) for name in BASELINES)
    found = []
    for test_set in wanted:
        found.append(Outputs(copied, test_set, copy_source(test_set.sources)))
        words = word_for_word(test_set.sources, dictionary, model.config.data.target_language)
        found.append(Outputs(replaced, test_set, words))
    return found

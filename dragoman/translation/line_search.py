"""Searches for the translations of several lines together: from text to requests, and from hypotheses to text."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from data.batch import EOS
from data.errors import InputError
from data.text.cleaning import one_line
from data.text.long_lines import encode_parts
from data.text.preparation import SourceLine, as_source, prepare, with_prefix
from dragoman.messages import ProgressBar
from dragoman.signals import Interrupted
from dragoman.translation.consensus import by_expected_utility
from dragoman.translation.guard import is_long, is_loop
from dragoman.translation.loaded import LoadedModel
from dragoman.translation.requirements import Requirement, term_results
from dragoman.translation.result import PartIds, Translation, join
from transformer.decoding import Request, SearchPlan
from transformer.decoding.request import TermRequest, make_request
from transformer.decoding.searcher import Hypothesis, search_sentences

BEAM_WITH_TERMS = 10  # hypotheses kept, at least, where terms are required


class Sentence(NamedTuple):
    """A line, or a part of a long one, that is searched by itself."""

    line: int  # counted from 0 among the lines that are searched together
    part: int
    source: Sequence[int]
    prefix: Sequence[int]  # with which the translation begins
    requirements: Sequence[Requirement]


def search_lines(
    model: LoadedModel,
    lines: Sequence[str],
    *,
    batch_size: int,
    progress: ProgressBar,
    is_stopping: Callable[[], bool],
    first: int,
    prefixes: Sequence[str],
) -> list[list[Translation]]:
    """The translations of lines that are searched together. After a request to stop, raises Interrupted.

    Sentences are first searched as if no terms were required; those that lack terms are then searched again with them.
    So a sentence without terms, or whose translation has them anyway, is translated as without a glossary. `first` is
    the number of the first line; line numbers and `decoding.seed` determine samples. `prefixes`, if given, are the
    beginnings of the translations.
    """
    sources = [prepare(line, model.rules) for line in lines]
    if prefixes:
        begun = [with_prefix(*pair, model.rules) for pair in zip(sources, prefixes, strict=True)]
        sources, prefixes = [source for source, _ in begun], [prefix for _, prefix in begun]
    parts = source_parts(model, sources)
    plan = replace(model.plan, capacities=model.plan.capacities._replace(prefixes=bool(prefixes)))
    sentences = list(sentences_of(model, plan, sources, parts, first=first, prefixes=prefixes))
    waiting = Counter(sentence.line for sentence in sentences)
    progress.add(lines=len(lines) - len(waiting))
    found: dict[int, list[Translation]] = {}

    def search(plan: SearchPlan, chosen: Sequence[int]) -> Iterator[tuple[int, list[Translation]]]:
        """The translations of the chosen sentences, each with its index."""
        requests = [request_of(sentences[index], plan, first=first) for index in chosen]
        for places, batch in search_sentences(model.ensemble, requests, plan, batch_size=batch_size):
            if is_stopping():
                raise Interrupted
            for place, hypotheses in zip(places, batch, strict=True):
                yield chosen[place], read(model, sentences[chosen[place]], hypotheses)

    for index, translations in search(plan, range(len(sentences))):
        found[index] = translations
        waiting[sentences[index].line] -= 1
        progress.add(lines=int(waiting[sentences[index].line] == 0), tokens=translations[0].tokens)
    lacking = [index for index, sentence in enumerate(sentences) if lacks_terms(found[index][0], sentence)]
    for index, translations in search(plan_with_terms(model, plan), lacking):
        line = sources[sentences[index].line].text
        found[index] = better(line, found[index], translations)
    in_order = (found[index] for index in range(len(sentences)))
    language = model.config.data.target_language
    joined = [join([next(in_order) for _ in rows], language) for rows in parts]
    return [finish(model, source, ranks) for source, ranks in zip(sources, joined, strict=True)]


def finish(model: LoadedModel, source: SourceLine, ranks: list[Translation]) -> list[Translation]:
    """The translations of a line as its writer sees them: in capitals if the line was."""
    return [
        one._replace(text=as_source(one.text, source, model.rules), sentences=len(source.sentences)) for one in ranks
    ]


def source_parts(model: LoadedModel, sources: Sequence[SourceLine]) -> list[list[list[int]]]:
    """The parts of each line that are searched one by one, as ids that end with EOS: sentences, long ones in parts."""

    def encode(texts: Sequence[str]) -> list[list[int]]:
        return [row[:-1] for row in model.tokenizer.encode_source(texts)]

    sentences = [sentence for source in sources for sentence in source.sentences]
    parts = iter(encode_parts(sentences, encode, room=model.limit - 1))
    return [[[*row, EOS] for _ in source.sentences for row in next(parts)] for source in sources]


def sentences_of(
    model: LoadedModel,
    plan: SearchPlan,
    lines: Sequence[SourceLine],
    parts: Sequence[Sequence[Sequence[int]]],
    *,
    first: int,
    prefixes: Sequence[str],
) -> Iterator[Sentence]:
    """Each part of each line. The prefix belongs to the first part, a term to the part that has it.

    InputError if a prefix is too long.
    """
    begun = model.tokenizer.encode_target(prefixes) if prefixes else [[] for _ in lines]
    for number, (line, rows, prefix) in enumerate(zip(lines, parts, begun, strict=True)):
        for part, row in enumerate(rows):
            text = line.text if len(rows) == 1 else model.tokenizer.decode_source([row])[0]
            own = prefix if part == 0 else []
            check_prefix(own, plan.limit(len(row)), line=first + number)
            yield Sentence(number, part, row, own, model.terminology.requirements(text, row))


def plan_with_terms(model: LoadedModel, plan: SearchPlan) -> SearchPlan:
    """The plan of a search for sentences that lack terms. Its beam is wider, as the terms divide it among them."""
    capacities = plan.capacities._replace(terms=True)
    plan = replace(plan, capacities=capacities, joins=model.terminology.joins)
    return plan.with_decoding(beam=max(plan.decoding.beam, BEAM_WITH_TERMS))


def request_of(sentence: Sentence, plan: SearchPlan, *, first: int) -> Request:
    """The request for a sentence, with its terms if the plan has room for them."""
    terms = [TermRequest(one.choices, one.places) for one in sentence.requirements if one.choices]
    return make_request(
        plan,
        sentence.source,
        line=first + sentence.line,
        part=sentence.part,
        prefix=sentence.prefix,
        terms=terms if plan.capacities.terms else (),
    )


def check_prefix(prefix: Sequence[int], limit: int, *, line: int) -> None:
    """InputError if a prefix leaves no room for EOS within the length limit."""
    if len(prefix) >= limit:
        raise InputError(
            f"line {line}: its prefix has {len(prefix)} tokens, and its translation at most {limit}, EOS counted: "
            "shorten the prefix, or raise decoding.maximum_extra or decoding.maximum_ratio"
        )


def lacks_terms(translation: Translation, sentence: Sentence) -> bool:
    """Whether a translation lacks a term that can be asked for."""
    pairs = zip(translation.terms, sentence.requirements, strict=True)
    return any(not result.is_met and required.choices for result, required in pairs)


def better(line: str, plain: list[Translation], with_terms: list[Translation]) -> list[Translation]:
    """The translations that were searched with terms, if the best one has more of them and went not astray for it."""
    before, after = plain[0], with_terms[0]
    is_astray = any(check(line, after.text) and not check(line, before.text) for check in (is_loop, is_long))
    return with_terms if after.terms_met > before.terms_met and after.is_finished and not is_astray else plain


def read(model: LoadedModel, sentence: Sentence, hypotheses: Sequence[Hypothesis]) -> list[Translation]:
    """The hypotheses as translations, best first: by score, or by agreement with the others (minimum Bayes risk).

    With minimum Bayes risk, those with more of the required terms come first.
    """
    texts = [one_line(text) for text in model.tokenizer.decode([hypothesis.tokens for hypothesis in hypotheses])]
    found = [
        Translation(
            text,
            hypothesis.log_probability,
            hypothesis.score,
            len(hypothesis.tokens),
            hypothesis.is_finished,
            1,
            (PartIds(sentence.source, hypothesis.tokens, hypothesis.is_finished),),
            terms=term_results(text, sentence.requirements),
        )
        for text, hypothesis in zip(texts, hypotheses, strict=True)
    ]
    if model.demands.mbr:
        found = sorted((found[rank] for rank in by_expected_utility(texts)), key=lambda one: -one.terms_met)
    return found[: model.n_best]

"""Searches for the translations of several lines together: from text to requests, and from hypotheses to text."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from data.batch import EOS, UNK
from data.errors import InputError
from data.languages import language_of
from data.text.cleaning import one_line
from data.text.long_lines import encode_parts
from data.text.preparation import SourceLine, as_source, prepare, with_prefix
from data.vocabulary.spelling import Beginning
from dragoman.messages import ProgressBar
from dragoman.signals import Interrupted
from dragoman.translation.consensus import by_expected_utility
from dragoman.translation.guard import is_long, is_loop
from dragoman.translation.loaded import LoadedModel
from dragoman.translation.requirements import Requirement, term_results
from dragoman.translation.result import PartIds, Translation, join, without_translation
from dragoman.translation.search_memory import check_fits, within_memory
from transformer.decoding import Request, SearchPlan
from transformer.decoding.batches import bucket_of
from transformer.decoding.request import TermRequest, make_request
from transformer.decoding.searcher import Hypothesis, compile_search, search_sentences

BEAM_WITH_TERMS = 10  # hypotheses kept, at least, where terms are required
UNSATISFIABLE = "no translation within the length limit meets everything that is required of it"


class Sentence(NamedTuple):
    """A line, or a part of a long one, that is searched by itself."""

    line: int  # counted from 0 among the lines that are searched together
    part: int
    source: Sequence[int]
    begin: Beginning  # with which the translation begins
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
    beginnings of the translations. A line that cannot be translated has one blank translation with a `problem`.
    """
    sources, prefixes, plan = prepared(model, lines, prefixes)
    parts = source_parts(model, sources)
    sentences, problems = sentences_of(model, plan, sources, parts, prefixes=prefixes)
    parts = [[] if line in problems else rows for line, rows in enumerate(parts)]
    waiting = Counter(sentence.line for sentence in sentences)
    progress.add(lines=len(lines) - len(waiting))
    found: dict[int, list[Translation]] = {}
    search = partial(search_chosen, model, sentences, batch_size=batch_size, is_stopping=is_stopping, first=first)

    for index, translations in search(plan, range(len(sentences))):
        found[index] = translations
        waiting[sentences[index].line] -= 1
        progress.add(lines=int(waiting[sentences[index].line] == 0), tokens=sum(one.tokens for one in translations[:1]))
        if not translations:
            problems[sentences[index].line] = UNSATISFIABLE
    lacking = [index for index in found if any(lacks_terms(one, sentences[index]) for one in found[index][:1])]
    again = plan_with_terms(model, plan) if lacking else plan
    for index, translations in search(again, sorted(lacking)):
        line = sources[sentences[index].line].text
        found[index] = better(line, found[index], translations)
    in_order = (found[index] for index in range(len(sentences)))
    joined = [join([next(in_order) for _ in rows], model.config.data.target_language) for rows in parts]
    return [
        without_translation(problems[line]) if line in problems else finish(model, source, ranks)
        for line, (source, ranks) in enumerate(zip(sources, joined, strict=True))
    ]


def search_chosen(
    model: LoadedModel,
    sentences: Sequence[Sentence],
    plan: SearchPlan,
    chosen: Sequence[int],
    *,
    batch_size: int,
    is_stopping: Callable[[], bool],
    first: int,
) -> Iterator[tuple[int, list[Translation]]]:
    """The translations of the chosen sentences, each with its index. After a request to stop, raises Interrupted."""
    requests = [request_of(sentences[index], plan, first=first) for index in chosen]
    for places, batch in search_within_memory(model, requests, plan, batch_size=batch_size):
        if is_stopping():
            raise Interrupted
        for place, hypotheses in zip(places, batch, strict=True):
            yield chosen[place], read(model, sentences[chosen[place]], hypotheses)


def prepared(
    model: LoadedModel, lines: Sequence[str], prefixes: Sequence[str]
) -> tuple[list[SourceLine], Sequence[str], SearchPlan]:
    """The lines and prefixes as they are searched, and the plan of that search, which has room for prefixes if any."""
    sources = [prepare(line, model.rules) for line in lines]
    if not prefixes:
        return sources, (), model.plan
    begun = [with_prefix(*pair, model.rules) for pair in zip(sources, prefixes, strict=True)]
    plan = replace(model.plan, capacities=model.plan.capacities._replace(prefixes=True), ranks=model.speller.ranks)
    return [source for source, _ in begun], [prefix for _, prefix in begun], plan


def search_within_memory(
    model: LoadedModel, requests: Sequence[Request], plan: SearchPlan, *, batch_size: int
) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
    """As `search_sentences`. InputError if a program needs more memory than there is, known before it runs."""
    with within_memory(plan):
        if model.run:  # training has planned the memory of its own model
            buckets = {bucket_of(len(request.source), plan.maximum_length) for request in requests}
            for bucket in sorted(buckets):
                if (of_bucket := replace(plan, bucket=bucket).program) not in model.admitted:
                    check_fits(of_bucket, compile_search(model.ensemble, plan, bucket))
                    model.admitted.add(of_bucket)
        yield from search_sentences(model.ensemble, requests, plan, batch_size=batch_size)


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
    prefixes: Sequence[str],
) -> tuple[list[Sentence], dict[int, str]]:
    """Each part of each line, and why lines that cannot be translated have none, by their index.

    The prefix belongs to the first part, a term to the part that has it.
    """
    sentences: list[Sentence] = []
    problems: dict[int, str] = {}
    for number, (line, rows, prefix) in enumerate(zip(lines, parts, prefixes or [""] * len(lines), strict=True)):
        begin = Beginning()
        if prefix.strip() and rows:
            try:
                begin = begin_with(model, prefix, limit=plan.limit(len(rows[0])))
            except InputError as error:
                problems[number] = str(error)
                continue
        for part, row in enumerate(rows):
            text = line.text if len(rows) == 1 else model.tokenizer.decode_source([row])[0]
            own = Beginning() if part else begin
            sentences.append(Sentence(number, part, row, own, model.terminology.requirements(text, row)))
    return sentences, problems


def begin_with(model: LoadedModel, prefix: str, *, limit: int) -> Beginning:
    """How an output begins with a prefix. InputError if it cannot be written, or leaves no room for EOS."""
    begin, size = spell_beginning(model, prefix, language=model.config.data.target_language, name="its prefix")
    if size >= limit:
        raise InputError(
            f"its prefix has {size} tokens, and its translation at most {limit}, EOS counted: "
            "shorten the prefix, or raise decoding.maximum_extra or decoding.maximum_ratio"
        )
    return begin


def spell_beginning(model: LoadedModel, text: str, *, language: str, name: str) -> tuple[Beginning, int]:
    """How an output begins with a text in a language, and the number of the text's tokens.

    InputError, in which the text is called `name`, if the vocabulary cannot write it.
    """
    if not language_of(language).has_spaces:
        text = text.rstrip(" \t")  # a space does not end a word there
    encode = model.tokenizer.encode_target
    begin = model.speller.beginning(text, encode)
    if begin is None:
        unknown = next(one for one in text if not one.isspace() and UNK in encode([one])[0])
        raise InputError(f"{name} has {unknown!r}, which is not in the vocabulary: leave this character out")
    return begin, len(encode([text.strip()])[0])


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
        prefix=sentence.begin.pieces,
        ranges=sentence.begin.ranges,
        steps=sentence.begin.steps,
        terms=terms if plan.capacities.terms else (),
    )


def lacks_terms(translation: Translation, sentence: Sentence) -> bool:
    """Whether a translation lacks a term that can be asked for."""
    pairs = zip(translation.terms, sentence.requirements, strict=True)
    return any(not result.is_met and required.choices for result, required in pairs)


def better(line: str, plain: list[Translation], with_terms: list[Translation]) -> list[Translation]:
    """The translations that were searched with terms, if the best of them has more terms, and is not worse otherwise.

    It is worse if it met the length limit, or is a loop or too long where the translation without terms is not.
    """
    if not with_terms:
        return plain
    before, after = plain[0], with_terms[0]
    is_worse = any(check(line, after.text) and not check(line, before.text) for check in (is_loop, is_long))
    return with_terms if after.terms_met > before.terms_met and after.is_finished and not is_worse else plain


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

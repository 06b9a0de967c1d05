"""Searches for the translations of several lines together: from text to requests, and from hypotheses to text."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from data.batch import EOS
from data.errors import InputError
from data.text.cleaning import one_line
from data.text.long_lines import encode_parts
from data.text.preparation import SourceLine, as_source, prepare, with_prefix
from dragoman.messages import ProgressBar
from dragoman.signals import Interrupted
from dragoman.translation.consensus import by_expected_utility
from dragoman.translation.glossary import terms_in
from dragoman.translation.loaded import LoadedModel
from dragoman.translation.result import PartIds, Translation, join
from transformer.decoding import Request, SearchPlan
from transformer.decoding.request import LONGEST_TERM, MOST_TERMS, make_request
from transformer.decoding.searcher import Hypothesis, search_sentences


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

    `first` is the number of the first line; line numbers and `decoding.seed` determine samples. `prefixes`, if given,
    are the beginnings of the translations.
    """
    sources = [prepare(line, model.rules) for line in lines]
    if prefixes:
        begun = [with_prefix(*pair, model.rules) for pair in zip(sources, prefixes, strict=True)]
        sources, prefixes = [source for source, _ in begun], [prefix for _, prefix in begun]
    parts = source_parts(model, sources)
    plan = replace(model.plan, capacities=model.plan.capacities._replace(prefixes=bool(prefixes)))
    requests = list(line_requests(model, plan, sources, parts, first=first, prefixes=prefixes))
    rows = [row for rows in parts for row in rows]
    owners = [line for line, rows in enumerate(parts) for _ in rows]
    waiting = [len(rows) for rows in parts]
    progress.add(lines=waiting.count(0))
    found: dict[int, list[Translation]] = {}
    for indices, batch in search_sentences(model.ensemble, requests, plan, batch_size=batch_size):
        if is_stopping():
            raise Interrupted
        for index, hypotheses in zip(indices, batch, strict=True):
            found[index] = read(model, rows[index], hypotheses)
            waiting[owners[index]] -= 1
            progress.add(lines=int(waiting[owners[index]] == 0), tokens=found[index][0].tokens)
    in_order = (found[index] for index in range(len(owners)))
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


def line_requests(
    model: LoadedModel,
    plan: SearchPlan,
    lines: Sequence[SourceLine],
    parts: Sequence[Sequence[Sequence[int]]],
    *,
    first: int,
    prefixes: Sequence[str],
) -> Iterator[Request]:
    """A request for each part of each line. The prefix belongs to the first part, a term to the part that has it.

    InputError if a prefix is too long, or if terms are too many or too long.
    """
    begun = model.tokenizer.encode_target(prefixes) if prefixes else [[] for _ in lines]
    for number, (line, rows, prefix) in enumerate(zip(lines, parts, begun, strict=True), first):
        for part, row in enumerate(rows):
            text = line.text if len(rows) == 1 else model.tokenizer.decode_source([row])[0]
            own = prefix if part == 0 else []
            check_prefix(own, plan.limit(len(row)), line=number)
            terms = required_terms(model, text, line=number)
            yield make_request(plan, row, line=number, part=part, prefix=own, terms=terms)


def check_prefix(prefix: Sequence[int], limit: int, *, line: int) -> None:
    """InputError if a prefix leaves no room for EOS within the length limit."""
    if len(prefix) >= limit:
        raise InputError(
            f"line {line}: its prefix has {len(prefix)} tokens, and its translation at most {limit}, EOS counted: "
            "shorten the prefix, or raise decoding.maximum_extra or decoding.maximum_ratio"
        )


def required_terms(model: LoadedModel, text: str, *, line: int) -> list[list[int]]:
    """The target terms that the translation of a text must contain, as tokens. InputError if they do not fit."""
    targets = [term.target for term in terms_in(text, model.demands.terms)]
    terms = [ids for ids in model.tokenizer.encode_target(targets) if ids] if targets else []
    if len(terms) > MOST_TERMS or any(len(ids) > LONGEST_TERM for ids in terms):
        raise InputError(
            f"line {line}: {len(terms)} terms, the longest of {max(map(len, terms))} tokens: at most "
            f"{MOST_TERMS} terms of {LONGEST_TERM} tokens can be required of a sentence"
        )
    return terms


def read(model: LoadedModel, source: Sequence[int], hypotheses: Sequence[Hypothesis]) -> list[Translation]:
    """The hypotheses as translations, best first: by score, or by agreement with the others (minimum Bayes risk)."""
    texts = [one_line(text) for text in model.tokenizer.decode([hypothesis.tokens for hypothesis in hypotheses])]
    order = by_expected_utility(texts) if model.demands.mbr else range(len(texts))
    return [
        Translation(
            texts[rank],
            hypotheses[rank].log_probability,
            hypotheses[rank].score,
            len(hypotheses[rank].tokens),
            hypotheses[rank].is_finished,
            1,
            (PartIds(source, hypotheses[rank].tokens, hypotheses[rank].is_finished),),
        )
        for rank in list(order)[: model.n_best]
    ]

"""How a sentence is read: the pieces of its text, and the merges that made them."""

from collections.abc import Sequence
from typing import NamedTuple

from data.batch import EOS
from data.errors import InputError, check_is_text
from data.text.cleaning import clean
from data.text.preparation import SourceLine, prepare
from dragoman.translation.line_search import (
    finish,
    read,
    request_of,
    search_within_memory,
    sentences_of,
    source_parts,
)
from dragoman.translation.loaded import LoadedModel
from transformer.decoding import Request


class Reading(NamedTuple):
    """One sentence as the model reads it, and as it translates it."""

    line: SourceLine
    request: Request
    source: list[int]  # with EOS
    target: list[int]  # with EOS, unless the length limit came first
    translation: str
    score: float
    merges: list[list[tuple[str, str]]]  # that made each source piece, in order; none for a unigram vocabulary


def check_can_be_explained(model: LoadedModel) -> None:
    """InputError, in one line, for a model or a search that an explanation cannot follow."""
    name, decoding = model.run or "the model", model.config.decoding
    if (assembly := model.config.model.assembly) != "encoder_decoder":
        raise InputError(f'{name}: model.assembly is "{assembly}": only an "encoder_decoder" can be explained so far')
    if len(model.ensemble.graphs) > 1:
        raise InputError("an explanation follows one model, and this is an ensemble: load one run")
    if model.plan.strategy not in ("beam", "greedy") or model.demands.mbr or model.demands.terms:
        raise InputError(
            f"{name}: an explanation follows beam search: leave out decoding.sampling, decoding.groups "
            f"(now {decoding.groups}), required terms and mbr"
        )


def read_sentence(model: LoadedModel, text: str) -> Reading:
    """The sentence, prepared, split into pieces and translated, as `Translator.translate` does it.

    InputError for a text without a sentence, or with more than one, or too long to be translated as a whole.
    """
    check_is_text(text, "the text")
    line = prepare(text, model.rules)
    [parts] = source_parts(model, [line])
    if len(parts) != 1:
        what = f"is searched in {len(parts)} parts" if parts else "is blank"
        raise InputError(
            f"the text {what}: an explanation follows one sentence of at most {model.limit} pieces, its end included"
        )
    [sentence], _ = sentences_of(model, model.plan, [line], [parts], prefixes=())
    request = request_of(sentence, model.plan, first=1)
    [(_, [found])] = search_within_memory(model, [request], model.plan, batch_size=1)
    source = list(sentence.source)
    best = finish(model, line, read(model, sentence, found))[0]
    target = [*found[0].tokens, *[EOS] * found[0].is_finished]
    return Reading(line, request, source, target, best.text, best.score, model.tokenizer.source_merges(source))


def forced_target(model: LoadedModel, reference: str) -> list[int]:
    """The reference as ids, with EOS. InputError if it is blank, or too long for the model."""
    check_is_text(reference, "the reference")
    [row] = model.tokenizer.encode_target([clean(reference) if model.rules.cleans else reference])
    if not row:
        raise InputError("the reference is blank: leave --reference out, or give the right translation")
    if len(row) + 1 > (most := model.plan.maximum_length):
        raise InputError(f"the reference has {len(row) + 1} pieces with its end; the model reads at most {most}")
    return [*row, EOS]


def source_pieces(model: LoadedModel, ids: Sequence[int]) -> list[str]:
    """The pieces of source ids."""
    vocabulary = model.tokenizer.source_vocabulary()
    return [vocabulary[id_] for id_ in ids]

"""Text that a decoder-only model writes without a source: it continues a beginning, by the search that translates."""

from dataclasses import replace
from typing import NamedTuple

from data.batch import EOS
from data.errors import InputError
from data.text.cleaning import one_line
from data.vocabulary.spelling import Beginning
from dragoman.translation.arguments import check_is_number, check_is_string
from dragoman.translation.line_search import search_within_memory, spell_beginning
from dragoman.translation.loaded import LoadedModel
from transformer.decoding.request import make_request


class Generated(NamedTuple):
    """A text, its given beginning included."""

    text: str
    log_probability: float  # of all its tokens, and of its end
    is_finished: bool  # False: the length limit came before the end
    pieces: list[str]  # EOS included


def write_texts(model: LoadedModel, beginning: str = "", *, length: int = 0) -> list[Generated]:
    """Up to `n_best` texts of up to `length` tokens, EOS counted (0: as the longest in training), best score first.

    The search gets an empty source, so a text begins where sources begin in training. InputError if the model needs a
    source, for a beginning that the vocabulary cannot write, and for a length that the model does not have.
    """
    check_is_string("beginning", beginning)
    check_is_number("length", length)
    config = model.config.model
    if config.assembly != "decoder_only":
        raise InputError(
            f'{model.run or "the model"}: model.assembly is "{config.assembly}", which writes nothing without a '
            'source: only a "decoder_only" model generates'
        )
    length = length or model.limit
    if not 1 < length <= config.maximum_length:
        raise InputError(f"--length is {length}: expected 2 to {config.maximum_length} tokens (model.maximum_length)")
    begin = begin_with(model, beginning, length=length)
    plan = replace(
        model.plan.with_decoding(maximum_ratio=0.0, maximum_extra=length, minimum_ratio=0.0),
        capacities=model.plan.capacities._replace(prefixes=True),
        ranks=model.speller.ranks,
    )
    request = make_request(plan, [], prefix=begin.pieces, ranges=begin.ranges, steps=begin.steps)
    [(_, [found])] = search_within_memory(model, [request], plan, batch_size=1)
    texts = model.tokenizer.decode([one.tokens for one in found])
    pieces = [model.tokenizer.target_pieces([*one.tokens, *[EOS] * one.is_finished]) for one in found]
    return [
        Generated(one_line(text), one.log_probability, one.is_finished, spelled)
        for text, one, spelled in zip(texts, found, pieces, strict=True)
    ]


def language_written(model: LoadedModel) -> str:
    """The code of the language in which a model writes without a source: that of sources, if it has learned them."""
    data, objective = model.config.data, model.config.training.objective
    return data.source_language if objective == "both_sides" else data.target_language


def begin_with(model: LoadedModel, text: str, *, length: int) -> Beginning:
    """How a text begins. InputError if the vocabulary cannot write it, or if it leaves no room for EOS."""
    begin, size = spell_beginning(model, text, language=language_written(model), name="the text")
    if size >= length:
        raise InputError(
            f"the text has {size} tokens, and --length allows {length} with its end: shorten it, or raise --length"
        )
    return begin

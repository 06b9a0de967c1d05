"""Pieces, words, confidences and alignments of translations, and scores of given ones, by forced decoding."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from data.errors import InputError
from data.languages import join_texts
from data.text.cleaning import one_line
from data.text.preparation import prepare, sentence_pairs
from dragoman.translation.alignment import usual_alignment_layer
from dragoman.translation.loaded import LoadedModel
from dragoman.translation.record import Details, Part, details_of
from dragoman.translation.result import PartIds, Translation, join, without_translation
from dragoman.translation.search_memory import within_memory
from transformer.decoding.batches import in_order
from transformer.decoding.scores import inverse_length_penalties
from transformer.decoding.scoring import ForcedPair, attend_pairs, forced_pair, longest_side, score_pairs


def details_of_lines(
    model: LoadedModel, lines: Sequence[str], found: Sequence[Sequence[Translation]]
) -> list[list[Details]]:
    """The details of each translation of each line, by the first model."""
    searched = [ids for ranks in found for one in ranks for ids in one.ids]
    pairs = [forced_pair(one.source, one.target, is_finished=one.is_finished) for one in searched]
    at = usual_alignment_layer(model.config.model.decoder_layers)
    scores, attention = token_scores(model, pairs), token_attention(model, pairs, layer=at.layer)
    vocabulary = model.tokenizer.source_vocabulary()
    parts = []
    for pair, scored, looked in zip(pairs, scores, attention, strict=True):
        pieces = model.tokenizer.target_pieces(pair.labels)
        parts.append(Part([vocabulary[id_] for id_ in pair.source], pieces, scored, looked))
    remaining = iter(parts)
    return [
        [
            details_of(
                model.tokenizer.source_words(source.text),
                model.tokenizer.target_words(searched_text(model, one) if source.in_capitals else one.text),
                [next(remaining) for _ in one.ids],
                shift=at.shift,
            )
            for one in ranks
        ]
        for source, ranks in zip([prepare(line, model.rules) for line in lines], found, strict=True)
    ]


def searched_text(model: LoadedModel, one: Translation) -> str:
    """The text that a translation has in the search, which is not in capitals."""
    texts = [one_line(text) for text in model.tokenizer.decode([ids.target for ids in one.ids])]
    return join_texts(texts, model.config.data.target_language)


def score_lines(model: LoadedModel, lines: Sequence[str], translations: Sequence[str]) -> list[list[Translation]]:
    """The given translations with their scores. One that is too long for the model has none, but a `problem`.

    The sentences of a line are scored one by one, as they are translated, if the translation has as many. InputError
    if there is not one translation for each line.
    """
    if len(lines) != len(translations):
        raise InputError(
            f"{len(lines)} lines and {len(translations)} translations to score: translation n belongs to line n"
        )
    given = [
        sentence_pairs(prepare(line, model.rules), text, model.rules)
        for line, text in zip(lines, translations, strict=True)
    ]
    sources = model.tokenizer.encode_source([source for own in given for source, _ in own])
    targets = model.tokenizer.encode_target([target for own in given for _, target in own])
    pairs = [forced_pair(source, target) for source, target in zip(sources, targets, strict=True)]
    fitting = [pair for pair in pairs if longest_side(pair) <= model.plan.maximum_length]
    scores = iter(token_scores(model, fitting))
    factors = inverse_length_penalties(model.plan)
    parts = iter([scored(model, pair, scores, factors) for pair in pairs])
    language = model.config.data.target_language
    return [whole(text, [next(parts) for _ in own], language) for text, own in zip(translations, given, strict=True)]


def whole(text: str, parts: Sequence[list[Translation]], language: str) -> list[Translation]:
    """A given translation from the scores of its sentences. If one of them has a problem, so has the whole."""
    failed = next((part for part in parts if part[0].problem), None)
    return failed or [join(parts, language)[0]._replace(text=text, sentences=len(parts))]


def scored(
    model: LoadedModel,
    pair: ForcedPair,
    scores: Iterator[Float[np.ndarray, " T"]],
    factors: Float[np.ndarray, " lengths"],
) -> list[Translation]:
    """The next of the scores as that of a pair, or, if it is too long for the model, why it has none."""
    if longest_side(pair) > (longest := model.plan.maximum_length):
        return without_translation(
            f"{len(pair.source)} source and {len(pair.labels)} target tokens, EOS counted; the model scores at most "
            f"{longest} on a side: leave it out, or score its sentences separately"
        )
    total = float(next(scores).sum(dtype="float64"))
    target = pair.labels[:-1]
    score = total * float(factors[len(pair.labels)])
    return [Translation("", total, score, len(target), True, 1, (PartIds(pair.source, target, True),))]


def token_scores(model: LoadedModel, pairs: Sequence[ForcedPair]) -> list[Float[np.ndarray, " T"]]:
    """The log-probability of every label of every pair, by the first model."""
    plan = model.plan
    with within_memory(plan):
        batches = score_pairs(model.graph, model.parameters, pairs, rows=plan.slots, maximum_length=plan.maximum_length)
        return in_order(batches, len(pairs))


def token_attention(model: LoadedModel, pairs: Sequence[ForcedPair], *, layer: int) -> list[Float[np.ndarray, "T S"]]:
    """The cross-attention of a decoder layer of the first model when it predicts each label of each pair."""
    plan = model.plan
    with within_memory(plan):
        batches = attend_pairs(
            model.graph, model.parameters, pairs, layer=layer, rows=plan.slots, maximum_length=plan.maximum_length
        )
        return in_order(batches, len(pairs))

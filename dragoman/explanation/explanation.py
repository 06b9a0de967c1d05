"""Everything that an explanation shows, as one record, and as plain numbers for JSON."""

from typing import Any, NamedTuple

import jax
import numpy as np

from dragoman.explanation.back_propagation import BackPropagation, back_propagation
from dragoman.explanation.cache_costs import CacheCosts, cache_costs
from dragoman.explanation.heads import Head, describe_heads
from dragoman.explanation.lens import LensReading, landing, logit_lens, path
from dragoman.explanation.residual import SublayerSize, residual_sizes
from dragoman.explanation.search_tree import Tree, search_tree
from dragoman.explanation.sentence import (
    Reading,
    check_can_be_explained,
    forced_target,
    read_sentence,
    source_pieces,
)
from dragoman.explanation.trace import Trace, trace
from dragoman.explanation.vectors import Positions, describe_positions, neighbours, source_table
from dragoman.translation.arguments import check_is_string
from dragoman.translation.loaded import LoadedModel

Attention = list[np.ndarray]  # the weights [N T S] of each layer
Heads = list[list[Head]]


class Referenced(NamedTuple):
    """A given right translation, and what training would learn from it."""

    text: str
    pieces: list[str]
    learned: BackPropagation


class Explanation(NamedTuple):
    """One sentence followed through a model. Everything is the model's own forward pass and search."""

    model: LoadedModel
    sentence: str
    reading: Reading
    pieces: list[str]  # of the source, EOS included
    target_inputs: list[str]  # what the decoder reads: BOS, then all target pieces but the last
    target_pieces: list[str]  # what it predicts
    neighbours: list[list[tuple[str, float]]]
    positions: Positions
    encoder_attention: Attention
    decoder_self_attention: Attention
    cross_attention: Attention
    heads: dict[str, Heads]  # by the name of the attention
    residual: dict[str, list[SublayerSize]]  # of "encoder" and "decoder"
    lens: list[list[LensReading]]  # of each position, before the first layer and after each
    path: np.ndarray  # [sub-layers + 1, T, 2]
    path_share: float
    tree: Tree
    costs: CacheCosts
    reference: Referenced | None

    def numbers(self) -> dict[str, Any]:
        """The same as plain values for JSON; docs/explaining.md explains the keys."""
        return numbers_of(self)


def explain(model: LoadedModel, sentence: str, reference: str = "") -> Explanation:
    """A sentence followed through a model, from its pieces to its translation, and, with a reference, back again.

    InputError for a model, a search or a sentence that cannot be followed. TypeError for what is no string.
    """
    check_is_string("sentence", sentence)
    check_is_string("reference", reference)
    check_can_be_explained(model)
    labels = forced_target(model, reference) if reference else []
    reading = read_sentence(model, sentence)
    traced = trace(model, reading.source, reading.target)
    pieces = source_pieces(model, reading.source)
    vocabulary, target_inputs = model.tokenizer.target_vocabulary(), np.asarray(traced.batch.target_inputs[0]).tolist()
    inputs, targets = model.tokenizer.target_pieces(target_inputs), model.tokenizer.target_pieces(reading.target)
    attention = attention_of(traced)
    points, share = path(traced)
    return Explanation(
        model=model,
        sentence=sentence,
        reading=reading,
        pieces=pieces,
        target_inputs=inputs,
        target_pieces=targets,
        neighbours=neighbours(source_table(traced), reading.source, model.tokenizer.source_vocabulary()),
        positions=describe_positions(traced, model.config.model),
        **attention,
        heads=heads_of(attention, pieces, inputs),
        residual={stack: residual_sizes(traced, stack) for stack in ("encoder", "decoder")},
        lens=logit_lens(traced, vocabulary),
        path=points,
        path_share=share,
        tree=search_tree(model, reading.request),
        costs=cache_costs(model.config.model, model.tokenizer.target_size, source=len(pieces), target=len(targets)),
        reference=refer(model, reading, reference, labels) if reference else None,
    )


def attention_of(traced: Trace) -> dict[str, Attention]:
    """The weights of the three kinds of attention."""
    return {
        "encoder_attention": traced.weights("encoder", "self_attention"),
        "decoder_self_attention": traced.weights("decoder", "self_attention"),
        "cross_attention": traced.weights("decoder", "cross_attention"),
    }


def heads_of(attention: dict[str, Attention], pieces: list[str], inputs: list[str]) -> dict[str, Heads]:
    """What each head seems to do."""
    sides = {
        "encoder_attention": (pieces, pieces, {"is_self": True}),
        "decoder_self_attention": (inputs, inputs, {"is_self": True, "is_causal": True}),
        "cross_attention": (inputs, pieces, {"is_self": False}),
    }
    return {
        name: describe_heads(attention[name], queries, keys, **kind) for name, (queries, keys, kind) in sides.items()
    }


def refer(model: LoadedModel, reading: Reading, reference: str, labels: list[int]) -> Referenced:
    """What training would learn from the reference."""
    learned = back_propagation(model, reading.source, labels)
    return Referenced(reference, model.tokenizer.target_pieces(labels), learned)


# --- numbers -------------------------------------------------------------------------------------------------


def numbers_of(found: Explanation) -> dict[str, Any]:
    """The keys and values of the JSON."""
    return {
        "run": found.model.run,
        "checkpoint": found.model.checkpoint,
        "step": found.model.step,
        "sentence": found.sentence,
        "translation": found.reading.translation,
        "pieces": found.pieces,
        "ids": found.reading.source,
        "merges": found.reading.merges,
        "target_inputs": found.target_inputs,
        "target_pieces": found.target_pieces,
        "target_ids": found.reading.target,
        "neighbours": [named(one, "cosine") for one in found.neighbours],
        "positions": {key: listed(value) for key, value in found.positions._asdict().items()},
        "encoder_attention": listed(found.encoder_attention),
        "decoder_self_attention": listed(found.decoder_self_attention),
        "cross_attention": listed(found.cross_attention),
        "heads": {
            name: [[head._asdict() for head in heads] for heads in layers] for name, layers in found.heads.items()
        },
        "residual": {stack: [size._asdict() for size in sizes] for stack, sizes in found.residual.items()},
        "logit_lens": [[lens_numbers(one) for one in readings] for readings in found.lens],
        "landing": [landing(readings) for readings in found.lens],
        "path": {"points": listed(found.path), "share": found.path_share},
        "beam": beam_numbers(found),
        "cache": {**found.costs._asdict(), "saved": found.costs.saved},
        "reference": reference_numbers(found.reference) if found.reference else None,
        "device": jax.devices()[0].device_kind,
    }


def named(pairs: list[tuple[str, float]], name: str) -> list[dict[str, Any]]:
    """Pieces with a number, as objects."""
    return [{"piece": piece, name: value} for piece, value in pairs]


def listed(value: Any) -> Any:
    """Arrays as nested lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [listed(one) for one in value] if isinstance(value, list) else value


def lens_numbers(one: LensReading) -> dict[str, Any]:
    """One reading of the output layer."""
    return {"top": named(one.top, "probability"), "entropy": one.entropy, "probability": one.probability}


def beam_numbers(found: Explanation) -> dict[str, Any]:
    """The tree of the search, with its best hypothesis as text."""
    tree, tokenizer = found.tree, found.model.tokenizer
    pieces = tokenizer.target_vocabulary()
    best = tree.tokens(tree.best)
    return {
        "beam": tree.beam,
        "steps": tree.steps,
        "best": tree.best,
        "best_ids": best,
        "best_text": tokenizer.decode([best])[0],
        "agrees": best == found.reading.target,
        "nodes": [{"piece": pieces[node.token], **node._asdict()} for node in tree.nodes],
    }


def reference_numbers(reference: Referenced) -> dict[str, Any]:
    """The loss of a reference, and its gradient."""
    learned = reference.learned
    parts = {name: {"gradient": slope, "parameters": size} for name, (slope, size) in learned.gradients.items()}
    return {
        "text": reference.text,
        "pieces": reference.pieces,
        "losses": learned.losses,
        "gradients": parts,
        "losses_after": learned.losses_after,
    }

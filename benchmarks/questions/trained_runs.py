"""Question 4 asked of trained runs: what translation loses without each head and each layer. It is evaluation only."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Bool, Float

from benchmarks.questions.heads import Describe, Model, Place, add_pruning
from benchmarks.questions.results import Findings
from benchmarks.questions.task import HeldOut, Task
from data.batch import Batch, Pair
from data.batching.pipeline import evaluation_batches
from data.errors import InputError
from data.sources import load_corpora
from dragoman.explanation.heads import Head, describe_head, kinds_of_keys
from dragoman.translation.translator import Translator
from transformer.model import Parameters, merge
from transformer.model.tap import tap

BATCH_TOKENS = 1024
ATTENTIONS = {"encoder": ("self_attention",), "decoder": ("self_attention", "cross_attention")}


def ask(runs: Sequence[Path], *, directory: str, sentences: int, note: Any = print) -> Findings:
    """What each head and each layer of the runs is for, on the first sentences of their validation set.

    The runs are seeds of one recipe. InputError if they differ in model or are no encoder-decoders.
    """
    loaded = [Translator.load(run) for run in runs]
    for run, one in zip(runs, loaded, strict=True):
        if one.config.model.assembly != "encoder_decoder":
            raise InputError(f'{run}: model.assembly is "{one.config.model.assembly}", expected "encoder_decoder"')
        if one.config.model != loaded[0].config.model:
            raise InputError(f"{run}: its model differs from that of {runs[0]}: give seeds of one recipe")
    first = loaded[0]
    data = first.config.data.model_copy(update={"directory": directory or first.config.data.directory})
    pairs = [pair for corpus in load_corpora(data, "validation") for pair in corpus.pairs][:sentences]
    task = validation_task(first, pairs)
    models = [Model(one.graph, one.parameters) for one in loaded]
    seeds = [one.config.training.seed for one in loaded]
    about = (
        f"{len(runs)} runs, steps {', '.join(str(one.step) for one in loaded)}: loss on {len(pairs)} validation pairs"
    )
    findings = Findings("What are many heads, and many layers, for?", about, seeds)
    describe = pieces_describer(first, pairs)
    add_pruning(findings, task, models, heads=first.config.model.heads, describe=describe, note=note)
    return findings


def validation_task(model: Translator, pairs: Sequence[Pair]) -> Task:
    """Validation pairs as held-out text. Nothing is trained on it."""
    found = evaluation_batches(pairs, model.tokenizer, model.config.data, batch_tokens=BATCH_TOKENS)
    held_out = [
        HeldOut(jax.tree.map(jax.numpy.asarray, one), np.zeros(one.target_labels.shape)) for one in found.batches
    ]
    return Task(
        name="validation",
        model=model.config.model,
        training=model.config.training,
        vocabulary=model.tokenizer.target_size,
        train=lambda seed: [],
        held_out=held_out,
        groups=("all tokens",),
        about="",
    )


# --- what heads look at ----------------------------------------------------------------------------------


class Attended(NamedTuple):
    """The weights of an attention's heads, and which keys count for which kind. Queries may be of many sentences."""

    weights: Float[np.ndarray, "N T S"]
    kinds: dict[str, Bool[np.ndarray, "T S"]]
    visible: Bool[np.ndarray, "T S"]

    def padded(self, keys: int) -> "Attended":
        """The same with more keys, which no query sees."""
        more = ((0, 0), (0, keys - self.weights.shape[2]))
        kinds = {name: np.pad(kind, more) for name, kind in self.kinds.items()}
        return Attended(np.pad(self.weights, ((0, 0), *more)), kinds, np.pad(self.visible, more))


def pieces_describer(model: Translator, pairs: Sequence[Pair]) -> Describe:
    """What heads look at, over the tokens of many sentences, by the kinds of keys that `dragoman explain` names."""
    one_length = model.config.data.model_copy(update={"batching": "bucketed", "buckets": 1})  # one pair a row
    batches = evaluation_batches(pairs, model.tokenizer, one_length, batch_tokens=BATCH_TOKENS).batches

    def describe(one: Model) -> dict[Place, list[Head]]:
        compiled = jax.jit(partial(shown_weights, one.graph))
        shown = [(batch, compiled(one.parameters, batch)) for batch in batches]
        places = [(stack, layer, kind) for stack, kinds in ATTENTIONS.items()
                  for layer in range(len(one.parameters[stack])) for kind in kinds]  # fmt: skip
        return {place: describe_attention(model, shown, place) for place in places}

    return describe


def shown_weights(graph: nnx.GraphDef, parameters: Parameters, batch: Batch) -> dict[str, jax.Array]:
    """All attention weights of a batch."""
    with tap(lambda name: name.endswith("/weights")) as shown:
        merge(graph, parameters).features(batch)
    return shown


def describe_attention(
    model: Translator, shown: Sequence[tuple[Batch, dict[str, jax.Array]]], place: Place
) -> list[Head]:
    """The role of each head of one attention, measured over the tokens of all sentences together."""
    stack, layer, kind = place
    found: list[Attended] = []
    for batch, by_name in shown:
        weights = np.asarray(by_name[f"{stack}/{layer}/{kind}/weights"])
        rows = [row for row in range(len(weights)) if batch.source_segments[row].any()]
        found += [attended(model, batch, row, weights[row], place) for row in rows]
    keys = max(one.weights.shape[2] for one in found)
    all_ = [one.padded(keys) for one in found]
    kinds = {name: np.concatenate([one.kinds[name] for one in all_]) for name in all_[0].kinds}
    visible = np.concatenate([one.visible for one in all_])
    return [describe_head(head, kinds, visible) for head in np.concatenate([one.weights for one in all_], axis=1)]


def attended(model: Translator, batch: Batch, row: int, weights: Float[np.ndarray, "N T S"], place: Place) -> Attended:
    """The weights of the sentence in a row, without padding."""
    stack, _, kind = place
    source = batch.source[row][batch.source_segments[row] > 0].tolist()
    target = batch.target_inputs[row][batch.target_segments[row] > 0].tolist()
    is_self, is_causal = kind == "self_attention", (stack, kind) == ("decoder", "self_attention")
    queries, keys = source if stack == "encoder" else target, target if is_causal else source
    visible = (
        np.tril(np.ones((len(queries), len(keys)), bool)) if is_causal else np.ones((len(queries), len(keys)), bool)
    )
    named = kinds_of_keys(*map(model.tokenizer.target_pieces, (queries, keys)), is_self=is_self)
    kinds = {name: kind & visible for name, kind in named.items() if not (is_causal and name == "next")}
    return Attended(weights[:, : len(queries), : len(keys)], kinds, visible)

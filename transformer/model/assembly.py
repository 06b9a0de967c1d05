"""The interface of a model for training and search: an assembly of layers that predicts a target from a source."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from flax import nnx
from jaxtyping import Array, Float, Int

from data.batch import Batch
from transformer.config import ModelConfig
from transformer.model.dense import Dense
from transformer.model.dropout import DropoutKey
from transformer.model.embeddings import Embedding
from transformer.model.kernels import Kernel

Parameters = dict[str, Any]
"""Nested dicts of float32 arrays, keyed by the names of modules. They are updated, sharded, averaged and saved."""

Cache = Any
"""The state of decoding: a pytree of arrays whose first axis is the rows. Only the assembly looks inside."""


class BatchSize(NamedTuple):
    """The sizes that decide the operations of a batch: its real tokens and the lengths of its rows."""

    source_tokens: float
    target_tokens: float
    source_length: int
    target_length: int


@runtime_checkable
class Assembly(Protocol):
    """A model as training and search see it.

    Training and scoring call `features`, which reads whole targets at once. Search calls `begin`, `step`, `reorder` and
    `grow`, which read one token of each hypothesis at a time and keep a cache. Both give the same probabilities.
    """

    def features(self, batch: Batch, *, dropout_key: DropoutKey | None = None) -> Float[Array, "B T D"]:
        """The features from which the output layer predicts `batch.target_labels`. Without a key there is no dropout.

        Features at padding are finite but meaningless.
        """
        ...

    def output(self) -> Embedding:
        """The output layer, whose table holds a vector for each token of the target vocabulary."""
        ...

    def embeddings(self) -> tuple[Embedding, Embedding]:
        """The word embeddings of the source and of the target; the same object if they share a table."""
        ...

    def begin(self, source: Int[Array, "B S"], *, beams: int) -> Cache:
        """The cache before the first token, without room for any. Each row is one source sentence, padded with PAD."""
        ...

    def step(
        self, tokens: Int[Array, "B K"], positions: Int[Array, " B"], cache: Cache
    ) -> tuple[Float[Array, "B K V"], Cache]:
        """The logits of the token after each hypothesis's newest one, at its row's position, and the new cache."""
        ...

    @staticmethod
    def reorder(cache: Cache, parents: Int[Array, "B K"]) -> Cache:
        """The cache in which hypothesis k of a row continues hypothesis `parents[k]`."""
        ...

    @staticmethod
    def grow(cache: Cache, length: int) -> Cache:
        """The cache with room for hypotheses of `length` tokens."""
        ...

    @staticmethod
    def alignment_name(layer: int) -> str:
        """The name under which `tap` shows the attention of decoder layer `layer`, counted from 0, to the source."""
        ...

    @staticmethod
    def forward_flops(config: ModelConfig, target_vocabulary: int, size: BatchSize) -> float:
        """Floating-point operations of a forward pass over the real tokens of a batch."""
        ...

    @staticmethod
    def rough_activations(config: ModelConfig, length: int) -> int:
        """Roughly how many values an update keeps for its gradients, for each token of a row on each side."""
        ...


# --- modules as plain pytrees ----------------------------------------------------------------------------


def _renamed(tree: Any, rename: Any) -> Any:
    return {rename(k): _renamed(v, rename) for k, v in tree.items()} if isinstance(tree, dict) else tree


def split(model: Assembly) -> tuple[nnx.GraphDef, Parameters]:
    """The model's static structure, and its parameters as nested dicts with string keys."""
    graph, state = nnx.split(model, nnx.Param)
    return graph, _renamed(nnx.to_pure_dict(state), str)


def merge(graph: nnx.GraphDef, parameters: Parameters, *, kernel: Kernel = "xla") -> Assembly:
    """The model with these parameters: the inverse of `split`. `kernel` computes attention over whole sequences."""
    state = _renamed(parameters, lambda key: int(key) if key.isdigit() else key)
    model = nnx.merge(graph, nnx.State(jax.tree.map(nnx.Param, state)))
    if kernel != "xla":
        model.set_attributes(attention_kernel=kernel)
    return model


def round_parameters(model: Assembly) -> None:
    """Rounds the parameters of products to the types in which they are used, which changes no result.

    A program does this before a loop, because on a GPU XLA would round them again in every step.
    """
    for _, part in list(nnx.iter_graph(model)):
        if isinstance(part, Dense | Embedding):
            part.round_parameters()

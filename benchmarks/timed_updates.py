"""Updates of a model on the text of a recipe, timed one by one."""

import time
from collections.abc import Iterator
from itertools import islice

import jax
from flax import nnx

from data.batch import Batch
from data.batching.packing import Share
from data.batching.pipeline import training_batches
from data.sources import load_corpora
from data.vocabulary.tokenizer import Tokenizer
from transformer.config import Config
from transformer.devices.flops import update_flops
from transformer.devices.mesh import MeshStrategy
from transformer.model import BatchSize, build, split


class TimedUpdates:
    """A new model, its training batches, and what its updates took.

    The first update of each shape of batches compiles: it counts in `compile_seconds`, and in nothing else.
    """

    def __init__(self, config: Config, tokenizer: Tokenizer):
        self.config, self.vocabulary = config, tokenizer.target_size
        sizes = {"source_vocabulary": tokenizer.source_size, "target_vocabulary": self.vocabulary}
        graph, parameters = split(build(config.model, **sizes, rngs=nnx.Rngs(0)))
        self.parameters = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), parameters)
        self.strategy = MeshStrategy(graph, config)
        self.state = self.strategy.init_state(parameters)
        stream = training_batches(
            load_corpora(config.data, "train"),
            tokenizer,
            config.data,
            batch_tokens=int(config.training.batch_tokens),
            share=Share(row_multiple=self.strategy.row_devices),
            seed=0,
        )
        self._stream = iter(stream)
        self.batches: Iterator[Batch] = self._stream
        self.tokens: list[float] = []  # of each timed update
        self.seconds: list[float] = []
        self.operations: list[float] = []  # on real tokens
        self.shapes: set[tuple[int, ...]] = set()
        self.compile_seconds = 0.0

    @property
    def rates(self) -> list[float]:
        """The real target tokens a second of each timed update."""
        return [tokens / seconds for tokens, seconds in zip(self.tokens, self.seconds, strict=True)]

    @property
    def parameter_count(self) -> int:
        """The number of the model's parameters."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.parameters))

    def read(self, count: int) -> list[Batch]:
        """Reads this many batches now, for as many updates, which then take no time for reading."""
        batches = list(islice(self.batches, count))
        self.close()
        self.batches = iter(batches)
        return batches

    def update(self) -> None:
        """Reads a batch, computes an update on it, and records how long both took."""
        start = time.perf_counter()
        batch = next(self.batches)
        trained = self.strategy.train_step(self.state, batch, jax.random.key(0))
        self.state, metrics = jax.block_until_ready(trained)
        seconds = time.perf_counter() - start
        if batch.target_inputs.shape in self.shapes:
            self.tokens.append(float(metrics.tokens))
            self.seconds.append(seconds)
            self.operations.append(batch_flops(self.config, self.vocabulary, batch))
        else:
            self.shapes.add(batch.target_inputs.shape)
            self.compile_seconds += seconds

    def close(self) -> None:
        """Ends the processes that read batches."""
        self._stream.close()


def batch_flops(config: Config, vocabulary: int, batch: Batch) -> float:
    """The operations of an update on the real tokens of a batch."""
    tokens = [float((segments != 0).sum()) for segments in (batch.source_segments, batch.target_segments)]
    size = BatchSize(tokens[0], tokens[1], batch.source.shape[1], batch.target_inputs.shape[1])
    return update_flops(config, vocabulary, size)

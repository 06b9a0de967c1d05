"""A run directory as training writes it, with a tiny model of random weights, for tests of what follows training."""

from pathlib import Path

import jax
import numpy as np
from flax import nnx

from data.batch import EOS
from data.config import DataConfig
from data.sources import load_corpora
from data.text.statistics import measure
from data.vocabulary.tokenizer import Tokenizer, learn_tokenizer
from dragoman.files import file_hash
from dragoman.runs.checkpoint import Checkpointer
from dragoman.runs.identity import config_hash
from dragoman.runs.run import Run
from transformer.config import Config, DecodingConfig, ModelConfig
from transformer.model import Parameters, build, split

SHARPNESS = 3.0  # larger than initial weights, so that outputs differ between sentences

OUTPUTS = ("output_embedding", "target_embedding", "embedding")  # the first that a model has is its output layer

CONFIG = Config(
    data=DataConfig(corpus="toy", toy_pairs=300, vocabulary_size=310, maximum_tokens=32, row_length=32),
    model=ModelConfig(
        encoder_layers=1,
        decoder_layers=2,
        width=32,
        heads=2,
        feed_forward=48,
        maximum_length=48,
        precision="float32",
    ),
    decoding=DecodingConfig(beam=4, rows=8),
)


def tiny_parameters(
    config: Config, tokenizer: Tokenizer, seed: int, *, ends: float = 1.0, bytes_: float = 1.0
) -> tuple[nnx.GraphDef, Parameters]:
    """The graph and parameters of a random model.

    With `ends` above 1, its outputs end sooner. With `bytes_` of 0, no byte is among its likeliest tokens.
    """
    model = build(
        config.model,
        source_vocabulary=tokenizer.source_size,
        target_vocabulary=tokenizer.target_size,
        rngs=nnx.Rngs(seed),
    )
    graph, parameters = split(model)
    parameters = jax.tree.map(lambda x: x * SHARPNESS if x.ndim > 1 else x, parameters)
    output = next(parameters[name] for name in OUTPUTS if name in parameters)
    is_byte = np.array([piece.startswith("<0x") for piece in tokenizer.target_vocabulary()])
    output["table"] = output["table"].at[EOS].multiply(ends).at[is_byte].multiply(bytes_)
    return graph, parameters


def make_run(
    directory: Path,
    config: Config = CONFIG,
    *,
    bleu: dict[int, float] | None = None,
    ends: float = 1.0,
    bytes_: float = 1.0,
) -> Path:
    """A run with a checkpoint for each step in `bleu`, its validation BLEU. Weights differ between steps."""
    run = Run(directory)
    run.save_config(config)
    corpora = load_corpora(config.data, "train")
    tokenizer = learn_tokenizer(config.data, corpora)
    tokenizer.save(directory)
    run.save_statistics(measure(pair.source for pair in corpora[0].pairs))
    hashes = {"config": config_hash(config), "tokenizer": file_hash(run.tokenizer_paths(config)), "data": "0" * 64}
    with Checkpointer(run.checkpoints, keep_last=9, keep_best=9, hashes=hashes) as checkpointer:
        for step, score in (bleu or {10: 1.0}).items():
            _, parameters = tiny_parameters(config, tokenizer, seed=step, ends=ends, bytes_=bytes_)
            optimizer = {"count": jax.numpy.zeros((), jax.numpy.int32)}
            checkpointer.save(step, parameters, optimizer, progress={}, validation={"bleu": score})
    return directory

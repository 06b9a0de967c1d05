"""Tiny models to export, and the export command."""

from pathlib import Path

import jax
import numpy as np

from data.sources import load_corpora
from data.text.preparation import SourceRules
from data.vocabulary.tokenizer import Tokenizer
from dragoman.commands import export as program
from dragoman.exchange import Trained
from tests.support.tiny_run import CONFIG, tiny_parameters
from transformer.config import Config

LINES = [pair.source for pair in load_corpora(CONFIG.data, "validation")[0].pairs if len(pair.source) < 13][:24]
ENDS = 2.0  # a random model rarely writes EOS without this


def config_with(vocabulary: str = "joint", **model: object) -> Config:
    """The tiny config with changed options, no length penalty, and a cache of one stage, so that less is compiled."""
    return Config(
        data=CONFIG.data.model_copy(update={"vocabulary": vocabulary, "vocabulary_size": 300}),
        model=CONFIG.model.model_copy(update=model),
        decoding=CONFIG.decoding.model_copy(update={"length_penalty": 0.0, "maximum_ratio": 1.0, "maximum_extra": 0}),
    )


def random_model(directory: Path, config: Config, seed: int = 6) -> tuple[Trained, Tokenizer]:
    """A model in which every parameter is random, even those that training starts at 0 or 1; no output is too likely.

    With this seed, some translations finish under every option.
    """
    tokenizer = Tokenizer.load(directory)
    _, parameters = tiny_parameters(config, tokenizer, seed, ends=2 * ENDS)
    generator = np.random.default_rng(seed)
    parameters = jax.tree.map(
        lambda x: np.asarray(x / 2 if x.ndim > 1 else x + 0.2 * generator.standard_normal(x.shape, np.float32)),
        parameters,
    )
    trained = Trained(
        config=config,
        parameters=parameters,
        source_vocabulary=tokenizer.source_vocabulary(),
        target_vocabulary=tokenizer.target_vocabulary(),
        rules=SourceRules(),
        tokenizers=sorted(directory.glob("tokenizer*.model")),
        run="random",
        step=1,
    )
    return trained, tokenizer


def export(*arguments: object) -> int:
    return program.main([str(argument) for argument in arguments])

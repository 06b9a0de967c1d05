"""A peer for benchmarks/train.py: updates of JoeyNMT by its own trainer, timed one by one.

It runs in an environment of its own, never in the project's: joeynmt 2.3.0, importlib_metadata, subword_nmt and
sentencepiece 0.2.0. Text, vocabulary, sizes, label smoothing and tokens in a batch are those of the other systems; the
loop, the batches and the update are JoeyNMT's. The time of an update lasts until the next one begins, so it includes
making a batch.
"""

import tempfile
from argparse import Namespace
from itertools import pairwise
from pathlib import Path
from typing import Any

import sentencepiece
from joeynmt.config import parse_global_args, set_validation_args
from joeynmt.prediction import prepare
from joeynmt.training import TrainManager
from peer import LONGEST, WARM_UP, answer, now, parse, read

SPECIAL = 4


class TimedTrainer(TrainManager):
    """JoeyNMT's trainer, recording when each update begins and how many target tokens it has. It saves nothing."""

    begun: list[tuple[float, int]]

    def _train_step(self, batch: Any) -> tuple[float, int]:
        self.begun.append((now(), int(batch.ntokens)))
        return super()._train_step(batch)

    def _save_checkpoint(self, new_best: bool, score: float) -> None:
        del new_best, score


def write_data(options: Namespace, directory: Path) -> None:
    """Writes the text, uncompressed, and the vocabulary as JoeyNMT expects it, without special pieces."""
    for path, side in ((options.source, "source"), (options.target, "target")):
        (directory / f"train.{side}").write_bytes(read(path))
    pieces = sentencepiece.SentencePieceProcessor(model_file=options.tokenizer)
    words = [pieces.id_to_piece(number) for number in range(SPECIAL, pieces.get_piece_size())]
    (directory / "vocabulary").write_text("\n".join(words) + "\n", encoding="utf-8")


def settings(options: Namespace, directory: Path) -> dict[str, Any]:
    """JoeyNMT's configuration."""
    side = {
        "voc_file": str(directory / "vocabulary"),
        "level": "bpe",
        "tokenizer_type": "sentencepiece",
        "tokenizer_cfg": {"model_file": options.tokenizer},
        "max_length": LONGEST,
    }
    stack = {
        "type": "transformer",
        "num_layers": options.layers,
        "num_heads": options.heads,
        "hidden_size": options.width,
        "ff_size": options.feed_forward,
        "embeddings": {"embedding_dim": options.width, "scale": True, "dropout": options.dropout},
        "dropout": options.dropout,
        "layer_norm": "pre",
    }
    return {
        "name": "peer",
        "model_dir": str(directory),
        "data": {
            "train": str(directory / "train"),
            "dataset_type": "plain",
            "src": {"lang": "source", **side},
            "trg": {"lang": "target", **side},
        },
        "testing": {},
        "training": {
            "optimizer": "adamw",
            "scheduling": "warmupinversesquareroot",
            "learning_rate_warmup": 4000,
            "learning_rate": 0.001,
            "learning_rate_min": 0.0,
            "adam_betas": [0.9, 0.98],
            "clip_grad_norm": 1.0,
            "label_smoothing": 0.1,
            "normalization": "tokens",
            "batch_size": options.batch_tokens,
            "batch_type": "token",
            "epochs": 1000,
            "updates": options.steps + WARM_UP + 1,
            "logging_freq": 10**6,
            "validation_freq": 10**6,
        },
        "model": {"tied_embeddings": True, "tied_softmax": True, "encoder": stack, "decoder": stack},
    }


def main() -> None:
    """The command line."""
    options = parse(["float32"])
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_data(options, directory)
        config = parse_global_args(settings(options, directory), mode="train")
        model, text, _, _ = prepare(config, rank=0, mode="train")
        trainer = TimedTrainer(
            rank=0,
            model=model,
            model_dir=directory,
            device=config.device,
            n_gpu=config.n_gpu,
            num_workers=config.num_workers,
            autocast=config.autocast,
            seed=config.seed,
            train_args=config.train,
            dev_args=set_validation_args(config.test),
        )
        trainer.begun = []
        trainer.train_and_validate(train_data=text, valid_data=text)
    times, tokens = zip(*trainer.begun, strict=True)
    seconds = [end - start for start, end in pairwise(times)]
    answer("JoeyNMT", "float32", model, list(tokens[:-1]), seconds)


if __name__ == "__main__":
    main()

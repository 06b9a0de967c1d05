"""The knobs of the text side: which corpus, which vocabulary, which rows."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ALWAYS = object()  # the knob is as old as the first version


def knob(default: Any, *, before: Any = ALWAYS, **field: Any) -> Any:
    """A pydantic field for a knob. `before`: the value that every run had before the knob was added; never edit it."""
    return Field(default, json_schema_extra={} if before is ALWAYS else {"before": before}, **field)


class Section(BaseModel):
    """A section of a recipe: immutable, strictly typed, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataConfig(Section):
    """Where the text comes from and how it becomes rows of tokens."""

    corpus: Literal["files", "tfds", "bible", "toy"] = Field("files", description="kind of corpus")
    source_language: str = Field("en", min_length=1, description="language translated from, as in file names and TFDS")
    target_language: str = Field("de", min_length=1, description="language translated into")

    directory: str = Field(
        "",
        description="files: directory of the corpora, absolute or seen from where the command runs; "
        "tfds: where prepared data sets live (empty: TFDS's own default)",
    )
    train: list[list[str]] = Field(
        [],
        description="files: training corpora, each [source file, target file] or [one .tsv or .jsonl file], plain, "
        '.gz or .xz; empty: train.LANGUAGE in the directory; tfds: splits, such as [["train[1%:]"]]',
    )
    train_weights: list[float] = Field([], description="files: how often to draw from each corpus; empty: by size")
    validation: list[list[str]] = Field([], description="as train; empty: validation, valid, val or dev")
    test: list[list[str]] = Field([], description="as train; empty: test")
    dataset: str = Field("", description="tfds: name and config, such as wmt14_translate/de-en")
    source_version: str = Field("k", description="bible: key of the version translated from")
    target_version: str = Field("e", description="bible: key of the version translated into")
    toy_task: Literal["copy", "reverse"] = Field("reverse", description="toy: what the target does with the source")
    toy_symbols: int = Field(26, ge=2, le=26, description="toy: distinct letters")
    toy_length: int = Field(12, ge=1, description="toy: longest line, in letters")
    toy_pairs: int = Field(20000, ge=1, description="toy: training pairs")

    vocabulary: Literal["joint", "separate"] = Field("joint", description="one vocabulary for both sides, or one each")
    vocabulary_size: int = Field(8000, ge=8, description="pieces in a vocabulary, the special ones counted")
    subword_model: Literal["unigram", "bpe"] = Field("bpe", description="SentencePiece model")
    subword_sampling: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="subword regularisation in training; bpe: dropout of merges; unigram: smoothing alpha; 0: off",
    )
    byte_fallback: bool = Field(True, description="spell unknown characters in bytes, so that nothing is unknown")
    character_coverage: float = Field(
        0.9995, gt=0.0, le=1.0, description="share of characters with pieces of their own"
    )
    normalization: Literal["identity", "nfkc", "nmt_nfkc"] = Field("identity", description="Unicode normalisation")

    maximum_tokens: int = Field(
        128, ge=2, description="pairs with a longer side are dropped and counted; tokens with EOS"
    )
    maximum_ratio: float = Field(
        0.0, ge=0.0, description="drop pairs whose sides differ by more in tokens; 0: keep all"
    )
    drop_duplicates: bool = Field(False, description="drop pairs seen before in the training set")

    batching: Literal["packed", "bucketed"] = Field(
        "bucketed",
        description="packed: several pairs a row, one shape (GPU, TPU); bucketed: one pair a row, rows of "
        "like length together, few shapes (CPU)",
    )
    row_length: int = Field(
        128, ge=4, description="tokens of a packed row and of the longest bucket, source and target alike"
    )
    shuffle_block: int = Field(50000, ge=1, description="pairs that are shuffled, sorted and packed together")

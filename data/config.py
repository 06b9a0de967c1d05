"""The knobs of the text side: which corpus, which vocabulary, which rows. And how any knob is declared."""

from typing import Any, ClassVar, Literal, TypedDict, Unpack

from pydantic import BaseModel, ConfigDict, Field


class Facts(TypedDict, total=False):
    """What the program must know about a knob besides its type, range, default and meaning."""

    on_resume: Literal["fixed", "free"]  # may another value be given when a run resumes?
    shapes_parameters: bool  # would parameters mean something else under another value?
    changes_translation: bool  # may the same parameters translate differently under another value?
    orders_batches: bool  # would a saved place in the training data mean another place under another value?
    export: Literal["carried", "default_only", "unused"]  # how CTranslate2 searches; every knob of decoding says it
    before: Any  # of a knob that version 0.1.0 lacks: the value that all runs had before it was added
    formerly: str  # of a renamed knob: its first name, which recipes may use and stored states always do


class Section(BaseModel):
    """A section of a recipe: immutable, strictly typed, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Knobs(Section):
    """A section whose fields are knobs. `usual` holds for a plain `Field`; `knob` declares what differs from it."""

    usual: ClassVar[Facts]

    @classmethod
    def facts(cls) -> dict[str, Facts]:
        """The facts of each knob, by name."""
        declared: dict[str, Any] = {name: field.json_schema_extra or {} for name, field in cls.model_fields.items()}
        return {name: {**cls.usual, **facts} for name, facts in declared.items()}

    def identity(self, fact: Literal["shapes_parameters", "changes_translation", "orders_batches"]) -> dict[str, Any]:
        """The values of the knobs of which this is true, as they are stored or hashed beside what they decide.

        A later version gives the same for a stored config: a renamed knob keeps its first name, a knob that was added
        appears only where its value is not the one that all runs had before, and defaults play no part.
        """
        return {
            facts.get("formerly", name): getattr(self, name)
            for name, facts in self.facts().items()
            if facts.get(fact) and ("before" not in facts or getattr(self, name) != facts["before"])
        }


def knob(
    default: Any,
    *,
    description: str,
    ge: Any = None,
    gt: Any = None,
    le: Any = None,
    lt: Any = None,
    min_length: Any = None,
    **facts: Unpack[Facts],
) -> Any:
    """A pydantic field that declares some of its `Facts`; its section's `usual` has the others."""
    limits = {"ge": ge, "gt": gt, "le": le, "lt": lt, "min_length": min_length}
    declared: Any = facts
    return Field(default, description=description, json_schema_extra=declared, **limits)


class DataConfig(Knobs):
    """Where the text comes from and how it becomes rows of tokens."""

    usual = Facts(on_resume="fixed", shapes_parameters=False, changes_translation=False)

    corpus: Literal["files", "tfds", "bible", "toy"] = Field("files", description="kind of corpus")
    source_language: str = knob(
        "en", min_length=1, description="language translated from, as in file names and TFDS", changes_translation=True
    )
    target_language: str = knob("de", min_length=1, description="language translated into", changes_translation=True)

    # A run may move: the hash of the data in the manifest tells whether it is the same.
    directory: str = knob(
        "",
        description="files: directory of the corpora, absolute or seen from where the command runs; "
        "tfds: where prepared data sets live (empty: TFDS's own default)",
        on_resume="free",
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

    vocabulary: Literal["joint", "separate"] = knob(
        "joint", description="one vocabulary for both sides, or one each", shapes_parameters=True
    )
    vocabulary_size: int = Field(8000, ge=8, description="pieces in a vocabulary, the special ones counted")
    subword_model: Literal["unigram", "bpe"] = Field("bpe", description="SentencePiece model")
    subword_sampling: float = knob(
        0.0,
        ge=0.0,
        lt=1.0,
        description="subword regularisation in training; bpe: dropout of merges; unigram: smoothing alpha; 0: off",
        orders_batches=True,
    )
    byte_fallback: bool = Field(True, description="spell unknown characters in bytes, so that nothing is unknown")
    character_coverage: float = Field(
        0.9995, gt=0.0, le=1.0, description="share of characters with pieces of their own"
    )
    normalization: Literal["identity", "nfkc", "nmt_nfkc"] = Field("identity", description="Unicode normalisation")

    maximum_tokens: int = knob(
        128,
        ge=2,
        description="pairs with a longer side are dropped and counted; tokens with EOS",
        orders_batches=True,
        changes_translation=True,
    )
    maximum_side_ratio: float = knob(
        0.0,
        ge=0.0,
        description="drop pairs whose sides differ by more in tokens; 0: keep all",
        orders_batches=True,
        formerly="maximum_ratio",
    )
    drop_duplicates: bool = knob(False, description="drop pairs seen before in the training set", orders_batches=True)

    batching: Literal["packed", "bucketed"] = knob(
        "bucketed",
        description="packed: several pairs a row, one shape (GPU, TPU); bucketed: one pair a row, rows of "
        "like length together, few shapes (CPU)",
        orders_batches=True,
    )
    row_length: int = knob(
        128,
        ge=4,
        description="tokens of a packed row and of the longest bucket, source and target alike",
        orders_batches=True,
    )
    shuffle_block: int = knob(
        50000, ge=1, description="pairs that are shuffled, sorted and packed together", orders_batches=True
    )

"""The knobs of the text side (corpus, vocabulary, rows), and the declaration of knobs in general."""

from typing import Annotated, Any, ClassVar, Literal, TypedDict, Unpack

from pydantic import BaseModel, ConfigDict, Field, model_validator

LARGEST = 2**31
"""The end of the whole numbers that the arrays of an update can hold."""

LARGEST_FLOAT = 3.4e38
"""The largest number with a point: float32, in which updates and searches compute, ends a little later."""

SMALLEST_FLOAT = 1.2e-38
"""The smallest one above 0: smaller ones are 0 on most devices."""


class Facts(TypedDict, total=False):
    """The facts about a knob besides its type, range, default and description."""

    on_resume: Literal["fixed", "free"]  # may its value change when a run resumes?
    shapes_parameters: bool  # would saved parameters be invalid under another value?
    changes_translation: bool  # may the same parameters translate differently under another value?
    orders_batches: bool  # would a saved position in the training data be wrong under another value?
    keeps_text: bool  # of a knob that orders batches: are the texts of pairs the same under every value?
    export: Literal["carried", "default_only", "unused"]  # of a decoding knob: how exports treat it
    before: Any  # of a knob added after version 0.1.0: the value that runs had in effect before
    default_before: Any  # of a knob whose default has changed since version 0.1.0: the default until then
    formerly: str  # of a renamed knob: its first name, which recipes may use and stored states always use
    former_values: dict[str, str]  # values that stored configs may hold, but recipes no longer: the present ones


class Section(BaseModel):
    """A section of a recipe: immutable and strictly typed; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Knobs(Section):
    """A section whose fields are knobs. A plain `Field` has the facts of `usual`; `knob` declares different ones."""

    usual: ClassVar[Facts]

    @model_validator(mode="after")
    def check_sizes(self) -> "Knobs":
        for name in type(self).model_fields:
            value = getattr(self, name)
            key = f"{type(self).__name__.removesuffix('Config').lower()}.{name}"
            if isinstance(value, int) and value >= LARGEST:
                raise ValueError(f"{key} is {value}, expected a whole number below {LARGEST}")
            for number in value if isinstance(value, list) else [value]:
                if isinstance(number, float) and abs(number) > LARGEST_FLOAT:
                    raise ValueError(f"{key} is {number:g}, too large for float32: expected at most {LARGEST_FLOAT:g}")
                if isinstance(number, float) and 0 < abs(number) < SMALLEST_FLOAT:
                    raise ValueError(f"{key} is {number:g}, 0 in float32: expected at least {SMALLEST_FLOAT:g}")
        return self

    @classmethod
    def facts(cls) -> dict[str, Facts]:
        """The facts about each knob, by name."""
        declared: dict[str, Any] = {name: field.json_schema_extra or {} for name, field in cls.model_fields.items()}
        return {name: {**cls.usual, **facts} for name, facts in declared.items()}

    def identity(self, fact: Literal["shapes_parameters", "changes_translation", "orders_batches"]) -> dict[str, Any]:
        """The values of the knobs for which this fact is true, to store or hash together with what they decide.

        Later versions return the same for a stored config. A renamed knob keeps its first name; an added knob appears
        only if its value differs from the one that all runs had before it was added; defaults do not matter.
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
    """A pydantic field that declares some of its `Facts`; the others come from its section's `usual`."""
    limits = {"ge": ge, "gt": gt, "le": le, "lt": lt, "min_length": min_length}
    declared: Any = facts
    return Field(default, description=description, json_schema_extra=declared, **limits)


def share_of_pairs(change: str) -> Any:
    """The knob of an augmentation: to which share of the training pairs it is done, from 0 to 1."""
    return knob(
        0.0,
        ge=0.0,
        le=1.0,
        description=f"share of training pairs {change}",
        orders_batches=True,
        keeps_text=True,
        before=0.0,
    )


class DataConfig(Knobs):
    """Where the text comes from, and how it becomes rows of tokens."""

    usual = Facts(on_resume="fixed", shapes_parameters=False, changes_translation=False)

    def text_identity(self) -> dict[str, Any]:
        """The values of the knobs that decide how a text is read, besides where it is, to store with its tokens."""
        apart = {facts.get("formerly", name) for name, facts in self.facts().items() if facts.get("keeps_text")}
        return {name: value for name, value in self.identity("orders_batches").items() if name not in apart}

    corpus: Literal["files", "tfds", "bible", "toy"] = Field("files", description="kind of corpus")
    source_language: str = knob(
        "en",
        min_length=1,
        description="code of the source language, as in file names and TFDS: de, pt-BR, zho_Hans; or private, x-...",
        changes_translation=True,
    )
    target_language: str = knob(
        "de", min_length=1, description="code of the target language, likewise", changes_translation=True
    )

    # Free because data may be moved: the manifest's hash of the data shows whether it is the same.
    directory: str = knob(
        "",
        description="files: directory of the corpora, absolute or relative to the working directory; "
        "tfds: directory of the prepared data sets (empty: TFDS's default)",
        on_resume="free",
    )
    cache: str = knob(
        "",
        description="directory of prepared text, which runs and hosts may share; empty: that of the environment "
        "variable DRAGOMAN_DATA_CACHE, else ~/.cache/dragoman/data",
        on_resume="free",
        before="",
    )
    train: list[list[str]] = Field(
        [],
        description="files: training corpora, each [source file, target file] or [one .tsv or .jsonl file], plain, "
        '.gz, .xz or .zst; empty: train.LANGUAGE in the directory; tfds: splits, such as [["train[1%:]"]]',
    )
    train_weights: list[float] = Field([], description="files: how often to draw from each corpus; empty: by size")
    validation: list[list[str]] = knob(
        [], description="as train; empty: validation, valid, val or dev", on_resume="free"
    )
    test: list[list[str]] = knob([], description="as train; empty: test", on_resume="free")
    dataset: str = Field("", description="tfds: name and config, such as wmt14_translate/de-en")
    source_version: str = Field("k", description="bible: key of the source version")
    target_version: str = Field("e", description="bible: key of the target version")
    toy_task: Literal["copy", "reverse"] = Field("reverse", description="toy: how the target follows from the source")
    toy_symbols: int = Field(26, ge=2, le=26, description="toy: number of distinct letters")
    toy_length: int = Field(12, ge=1, le=1000, description="toy: longest line, in letters")
    toy_pairs: int = Field(20000, ge=1, le=10_000_000, description="toy: number of training pairs")

    vocabulary: Literal["joint", "separate"] = knob(
        "joint", description="one vocabulary for both sides, or one each", shapes_parameters=True
    )
    vocabulary_size: int = Field(8000, ge=8, description="pieces in a vocabulary, including special ones")
    vocabulary_lines: int = knob(
        10_000_000,
        ge=0,
        description="most lines that a vocabulary is learned from, drawn at random from the training text; 0: all",
        on_resume="free",
        before=0,
    )
    tokenizer: str | list[str] = knob(
        "",
        description="an existing SentencePiece model to take instead of learning one; separate vocabularies: "
        "[source model, target model]",
        on_resume="free",
        before="",
    )
    symbols: list[str] = knob(
        [],
        description="texts that are one piece each wherever they occur, such as placeholders and tags",
        before=[],
    )
    subword_model: Literal["unigram", "bpe"] = Field("bpe", description="SentencePiece model")
    subword_sampling: float = knob(
        0.0,
        ge=0.0,
        lt=1.0,
        description="subword regularisation in training; bpe: probability that a merge is left out of a step, as in "
        "BPE-dropout; unigram: smoothing alpha, as in SentencePiece; 0: off",
        orders_batches=True,
        keeps_text=True,
    )
    byte_fallback: bool = Field(True, description="spell unknown characters as bytes, so that nothing is unknown")
    character_coverage: float = Field(
        0.9995, ge=0.98, le=1.0, description="fraction of the text's characters that get their own pieces"
    )
    normalization: Literal["identity", "nfkc", "nmt_nfkc"] = Field("identity", description="Unicode normalisation")
    # Older runs learned from their text as it was. Lines that they translate are cleaned all the same.
    cleaning: Literal["all", "translation", "none"] = knob(
        "all",
        description="remove spaces and invisible characters that carry no meaning; all: from both sides of the "
        "training text and from lines to translate; translation: from lines to translate only",
        orders_batches=True,
        changes_translation=True,
        before="translation",
    )

    maximum_tokens: int = knob(
        128,
        ge=2,
        description="longest side of a pair, including EOS; longer pairs are dropped and counted",
        orders_batches=True,
        keeps_text=True,
        changes_translation=True,
    )
    maximum_side_ratio: float = knob(
        0.0,
        ge=0.0,
        description="drop pairs whose sides have a larger ratio of tokens; 0: keep all",
        orders_batches=True,
        keeps_text=True,
        formerly="maximum_ratio",
    )
    drop_duplicates: bool = knob(
        False, description="drop duplicate pairs of the training set", orders_batches=True, keeps_text=True
    )

    # Lines to translate are brought out of capitals anyway: see decoding.capitals.
    augment_capitals: float = share_of_pairs("put in capitals")
    augment_titles: float = share_of_pairs("put in Title Case")
    augment_typos: float = share_of_pairs("whose source gets typing errors")
    augment_joined: float = share_of_pairs("to which another pair is joined, as a second sentence")

    denoise_share: float = knob(
        0.15,
        gt=0.0,
        lt=1.0,
        description="denoising_encoder: share of the tokens that it must restore; of these, 80% are masked, 10% are "
        "replaced by others, and 10% stay as they are",
        before=0.15,
    )
    denoise_whole_words: bool = knob(
        False, description="denoising_encoder: all pieces of a word are restored, or none", before=False
    )
    denoise_sides: Literal["both", "source", "target"] = knob(
        "both",
        description="denoising_encoder: text that is read; both: that of either side, in alternation by chance",
        before="both",
    )

    batching: Literal["packed", "bucketed"] = knob(
        "packed",
        description="packed: several pairs a row, all rows of one length, so that one program is compiled; bucketed: "
        "one pair a row, batches of rows of similar length, and a program for each length",
        orders_batches=True,
        keeps_text=True,
        default_before="bucketed",
    )
    buckets: int = knob(
        6,
        ge=0,
        description="bucketed: largest number of row lengths; 0: no limit, lengths in steps of at least 4",
        orders_batches=True,
        keeps_text=True,
        before=0,
    )
    row_length: int = knob(
        128,
        ge=4,
        le=65536,
        description="tokens in a packed row, and in the longest bucket, on each side",
        orders_batches=True,
        keeps_text=True,
    )
    shuffle_block: int = knob(
        50000,
        ge=1,
        description="pairs that are shuffled, sorted and packed together",
        orders_batches=True,
        keeps_text=True,
    )
    workers: Annotated[int, Field(ge=0, le=1000)] | Literal["auto"] = knob(
        "auto",
        description="processes that draw the tokens of training pairs where they differ from epoch to epoch (subword "
        "sampling); batches do not depend on it; 0: a thread of the training process",
        on_resume="free",
        before=0,
    )

"""Text to SentencePiece ids and back, losslessly. The pieces are learned from the training pairs."""

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import sentencepiece

from data.batch import BOS, EOS, PAD, UNK, Pair, TokenPair
from data.config import DataConfig
from data.errors import InputError
from data.memory import available_memory, return_freed_memory
from data.random_numbers import Keys
from data.reporting import Note, ignore
from data.sources.corpus import Corpus
from data.text.scripts import split_words
from data.tokens.ragged import Ragged
from data.vocabulary.learning_text import LONGEST_LINE, LearningText, check_memory
from data.vocabulary.merges import Merge, merges_of
from data.vocabulary.model_file import model_of
from data.vocabulary.pieces import SPACE, TOKENIZER_FILES, escape, unescape
from data.vocabulary.sampling import SubwordSampler, segmenter_for
from data.vocabulary.symbols import check_symbols

Side = Literal["source", "target"]

SILENT = 10

FEW_LINES = 64
"""Up to this many lines are given to SentencePiece one by one: for a batch it first starts threads, which takes 100
microseconds (two cores of an AMD EPYC, November 2026)."""


def each(convert: Callable[[Any], Any], rows: list[Any]) -> list[Any]:
    """The results for each of the rows, by a method of SentencePiece that takes one row or many."""
    return [convert(row) for row in rows] if len(rows) <= FEW_LINES else convert(rows)


def processor_of(model: bytes) -> Any:
    """SentencePiece with a model. RuntimeError unless it is one.

    The constructor takes an empty model for none, and the first use of the processor fails.
    """
    processor: Any = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    return processor


class Tokenizer:
    """Converts text to ids and back. Ids 0 to 3 are PAD, UNK, BOS and EOS; the rest are pieces of text.

    With normalisation "identity" and byte fallback, `decode(encode_target(lines))` is the lines.
    """

    def __init__(self, models: Sequence[bytes]):
        sentencepiece.set_min_log_level(SILENT)
        self._models = tuple(models)
        processors = [processor_of(model) for model in models]
        self._source, self._target = processors[0], processors[-1]
        self._samplers: dict[tuple[str, float], SubwordSampler] = {}
        self.is_joint = len(models) == 1
        self.source_size: int = self._source.get_piece_size()
        self.target_size: int = self._target.get_piece_size()
        self.sha256 = hashlib.sha256(b"".join(hashlib.sha256(model).digest() for model in models)).hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy for another process has the models; the rest is made again."""
        return Tokenizer, (self._models,)

    @classmethod
    def load(cls, directory: str | Path) -> "Tokenizer":
        """The tokenizer saved in a directory: tokenizer.model, or tokenizer.source.model and tokenizer.target.model."""
        kinds = TOKENIZER_FILES.values()
        names = next((names for names in kinds if Path(directory, names[0]).is_file()), TOKENIZER_FILES["joint"])
        try:
            models = [Path(directory, name).read_bytes() for name in names]
        except OSError as error:
            raise InputError(f"{error.filename}: no tokenizer: {error.strerror}") from None
        for name, model in zip(names, models, strict=True):
            try:
                processor_of(model)
            except RuntimeError:
                raise InputError(f"{Path(directory, name)}: not a SentencePiece model: restore the file") from None
        return cls(models)

    def save(self, directory: str | Path) -> None:
        """Writes the models where `load` finds them."""
        names = TOKENIZER_FILES["joint" if self.is_joint else "separate"]
        for name, model in zip(names, self._models, strict=True):
            Path(directory, name).write_bytes(model)

    def encode_source(self, lines: Sequence[str]) -> list[list[int]]:
        """Ids of each line, ending with EOS."""
        return [[*ids, EOS] for ids in self.encode_plain("source", lines)]

    def encode_target(self, lines: Sequence[str]) -> list[list[int]]:
        """Ids of each line, with neither BOS nor EOS."""
        return self.encode_plain("target", lines)

    def encode_plain(self, side: Side, lines: Sequence[str]) -> list[list[int]]:
        """The ids of each line, without EOS. SentencePiece uses a thread for each core."""
        processor = self._source if side == "source" else self._target
        rows: list[list[int]] = each(processor.encode, [escape(line) for line in lines])
        return rows

    def resample(self, side: Side, lines: Ragged, rate: float, keys: Keys) -> Ragged:
        """Other ids of the same text, without EOS: those of a line depend on its key and its ids alone."""
        return self._sampler(side, rate).draw(lines, keys)

    def check_sampling(self) -> None:
        """InputError if there is no way to sample from a vocabulary of this type."""
        for processor in (self._source, self._target):
            segmenter_for(model_of(processor))

    def _sampler(self, side: Side, rate: float) -> SubwordSampler:
        side = "target" if self.is_joint else side
        if (side, rate) not in self._samplers:
            model = model_of(self._source if side == "source" else self._target)
            self._samplers[side, rate] = SubwordSampler(model, rate)
        return self._samplers[side, rate]

    def encode_pairs(self, pairs: Sequence[Pair]) -> list[TokenPair]:
        """The ids of both sides of each pair."""
        sources = self.encode_source([pair.source for pair in pairs])
        targets = self.encode_target([pair.target for pair in pairs])
        return [TokenPair(*pair) for pair in zip(sources, targets, strict=True)]

    def decode(self, rows: Iterable[Sequence[int]]) -> list[str]:
        """The text of target ids. Padding, BOS and EOS are skipped anywhere."""
        return self._decode(self._target, rows)

    def decode_source(self, rows: Iterable[Sequence[int]]) -> list[str]:
        """The text of source ids; otherwise as `decode`."""
        return self._decode(self._source, rows)

    def _decode(self, processor: Any, rows: Iterable[Sequence[int]]) -> list[str]:
        texts = [[int(id_) for id_ in row if id_ not in (PAD, BOS, EOS)] for row in rows]
        return [unescape(text) for text in each(processor.decode, texts)]

    def source_words(self, line: str) -> list[str]:
        """The words of a source line, by `split_words`, as the pieces spell them: escaped and normalised."""
        return self._words(self._source, line)

    def target_words(self, line: str) -> list[str]:
        """The words of a target line; otherwise as for the source."""
        return self._words(self._target, line)

    def _words(self, processor: Any, line: str) -> list[str]:
        spelled: list[str] = processor.normalize([escape(word) for word in split_words(line)])
        return ["".join(word.replace(SPACE, " ").split()) for word in spelled]

    def source_pieces(self, line: str) -> list[str]:
        """The pieces of a source line as SentencePiece writes them, EOS last: "a dog" -> ["▁a", "▁dog", "</s>"]."""
        return [self._source.id_to_piece(id_) for id_ in self.encode_source([line])[0]]

    def source_merges(self, ids: Sequence[int]) -> list[list[Merge]]:
        """For each source id, the merges of byte-pair encoding that made its piece: see `merges_of`."""
        return [merges_of(self._source, int(id_)) for id_ in ids]

    def source_vocabulary(self) -> list[str]:
        """All source pieces, in the order of their ids."""
        return [self._source.id_to_piece(id_) for id_ in range(self.source_size)]

    def target_vocabulary(self) -> list[str]:
        """All target pieces, in the order of their ids."""
        return [self._target.id_to_piece(id_) for id_ in range(self.target_size)]

    def target_pieces(self, ids: Sequence[int]) -> list[str]:
        """The pieces of target ids, including special ones."""
        return [self._target.id_to_piece(int(id_)) for id_ in ids]


def learn_tokenizer(config: DataConfig, corpora: Sequence[Corpus], *, note: Note = ignore) -> Tokenizer:
    """The tokenizer learned from the training pairs, or a sample of them: one vocabulary, or one for each side.

    It is deterministic. `note` gets a line about a sample, and one about each reason why lines were left out.
    InputError if there is too little memory for this many lines.
    """
    text = LearningText(corpora, most_lines=config.vocabulary_lines, is_joint=config.vocabulary == "joint")
    check_memory(config, text, available=available_memory())
    models = []
    for sides in [(0, 1)] if config.vocabulary == "joint" else [(0,), (1,)]:
        try:
            models.append(_learn(config, (line for side in sides for line in text.lines(side))))
        except RuntimeError as error:
            raise InputError(_explain(config, str(error), text)) from None
    tokenizer = Tokenizer(models)
    return_freed_memory()
    for line in text.notes():
        note(line)
    return tokenizer


def _learn(config: DataConfig, lines: Iterator[str]) -> bytes:
    check_symbols(config.symbols)
    sentencepiece.set_min_log_level(SILENT)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines,
        model_writer=model,
        model_type=config.subword_model,
        vocab_size=config.vocabulary_size,
        character_coverage=config.character_coverage,
        byte_fallback=config.byte_fallback,
        normalization_rule_name=config.normalization,
        remove_extra_whitespaces=config.normalization != "identity",
        max_sentence_length=LONGEST_LINE,
        user_defined_symbols=config.symbols,
        num_threads=1,  # the unigram vocabulary depends on it, and BPE is not faster with more
        pad_id=PAD,
        unk_id=UNK,
        bos_id=BOS,
        eos_id=EOS,
        minloglevel=SILENT,
    )
    return model.getvalue()


def _explain(config: DataConfig, message: str, text: LearningText) -> str:
    """SentencePiece's error about a text or a vocabulary size, in terms of what the user can change."""
    if "sentences_.empty()" in message:
        return "; ".join(["no line of the training text can be used to learn a vocabulary", *text.notes()])
    found = f"data.vocabulary_size is {config.vocabulary_size}"
    if largest := re.search(r"set it to a value <= (\d+)", message):
        return (
            f"{found}, and the training text gives at most {largest[1]} pieces: set {largest[1]} or less, or add text"
        )
    if smallest := re.search(r"\d+ vs (\d+)", message):
        needed = "characters and bytes" if config.byte_fallback else "characters"
        return f"{found}, and the {needed} alone need {smallest[1]}: set {smallest[1]} or more"
    return f"{found}, and SentencePiece cannot learn it from the training text: {' '.join(message.split())}"

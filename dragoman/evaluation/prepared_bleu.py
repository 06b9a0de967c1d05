"""BLEU of lines that are lower-cased and tokenised before sacrebleu sees them."""

from collections.abc import Callable

from sacrebleu.metrics import BLEU
from sacrebleu.metrics.bleu import BLEUSignature


class PreparedSignature(BLEUSignature):
    """BLEU's signature, and how lines were prepared."""

    def __init__(self, args: dict):
        super().__init__(args)
        self.how = args["how"]

    def format(self, short: bool = False) -> str:
        """The signature as text: "nrefs:1|...|prepared:lowercase,zh"."""
        return f"{super().format(short)}|prepared:lowercase,{self.how}"

    def __str__(self) -> str:
        return self.format()


class PreparedBLEU(BLEU):
    """BLEU over lower-cased lines that `tokenize` has split into words; `how` names the tokenizer for the signature."""

    _SIGNATURE_TYPE = PreparedSignature

    def __init__(self, tokenize: Callable[[str], str], how: str):
        super().__init__(tokenize="none", force=True)  # force: no warning that the text is tokenised
        self.split, self.how = tokenize, how

    def _preprocess_segment(self, sent: str) -> str:
        return super()._preprocess_segment(self.split(sent.lower()))

"""Scores of translations by sacrebleu, with signatures that say how they were computed."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import NamedTuple

from sacrebleu.metrics import BLEU, CHRF, TER

from data.errors import InputError
from dragoman.evaluation.edit_rate import SIGNATURE, character_edit_rate
from dragoman.evaluation.tokenizers import bleu_tokenizer, moses_language, unspaced_tokenizer


class Score(NamedTuple):
    """The score of a set of translations. Compare only scores with equal signatures."""

    name: str
    score: float
    signature: str


def bleu(hypotheses: Sequence[str], references: Sequence[str], language: str) -> Score:
    """Cased BLEU of detokenised text (Papineni et al., 2002; Post, 2018), over the words of `bleu_tokenizer`."""
    return _score("bleu", BLEU(tokenize=bleu_tokenizer(language, references)), hypotheses, references)


def chrf(hypotheses: Sequence[str], references: Sequence[str], language: str) -> Score:
    """chrF2: the F-score of character n-grams up to 6 (Popović, 2015)."""
    return _score("chrf", CHRF(), hypotheses, references)


def ter(hypotheses: Sequence[str], references: Sequence[str], language: str) -> Score:
    """Translation edit rate (Snover et al., 2006); where no spaces separate words, `character_edit_rate`."""
    if not unspaced_tokenizer(language, references):
        return _score("ter", TER(), hypotheses, references)
    _check(hypotheses, references)
    return Score("ter", character_edit_rate(hypotheses, references), SIGNATURE)


def bleu_lowercased_tokenized(hypotheses: Sequence[str], references: Sequence[str], language: str) -> Score:
    """BLEU as Multi30k and IWSLT papers report it: both sides lower-cased, normalised and tokenised by Moses.

    Moses splits at spaces. Where none separate words, the tokenizer of `bleu` takes its place. Not comparable with
    `bleu`, nor with the sacreBLEU that other papers report.
    """
    lowered = [[line.lower() for line in lines] for lines in (hypotheses, references)]
    if tokenizer := unspaced_tokenizer(language, references):
        prepared, how = [split(lines, tokenizer) for lines in lowered], tokenizer
    else:
        code, rules = moses_language(language)
        prepared = [tokenize_by_moses(lines, code) for lines in lowered]
        how = f"{rules}|sacremoses:{version('sacremoses')}"
    # force: sacrebleu would warn that the text is tokenised, which is intended
    score = _score("bleu_lowercased_tokenized", BLEU(tokenize="none", force=True), *prepared)
    return score._replace(signature=f"{score.signature}|prepared:lowercase,{how}")


def split(lines: Sequence[str], tokenizer: str) -> list[str]:
    """Lines with spaces between the words that one of sacreBLEU's tokenizers finds: "你好", "zh" -> "你 好"."""
    tokenize = BLEU(tokenize=tokenizer).tokenizer
    return [tokenize(line) for line in lines]


def tokenize_by_moses(lines: Sequence[str], code: str) -> list[str]:
    """Lines normalised and tokenised by Moses, with the rules of a language."""
    from sacremoses import MosesPunctNormalizer, MosesTokenizer  # slow to import, and used only here

    normalizer, tokenizer = MosesPunctNormalizer(code), MosesTokenizer(code)
    return [tokenizer.tokenize(normalizer.normalize(line), return_str=True) for line in lines]


def _score(name: str, metric: BLEU | CHRF | TER, hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    _check(hypotheses, references)
    score = metric.corpus_score(list(hypotheses), [list(references)]).score
    return Score(name, score, str(metric.get_signature()))


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    """InputError unless there are references, and a translation for each."""
    if len(hypotheses) != len(references):
        raise InputError(
            f"{len(hypotheses)} translations for {len(references)} references: line n of one scores line n of the other"
        )
    if not references:
        raise InputError("nothing to score: the test set has no lines")


class Metric(NamedTuple):
    """A way to score translations: `score(hypotheses, references, language)`, its name in reports, its direction."""

    score: Callable[[Sequence[str], Sequence[str], str], Score]
    label: str
    larger_is_better: bool = True

    def is_better(self, score: float, than: float) -> bool:
        """True if `score` is better than `than`; False if they are equal."""
        return score > than if self.larger_is_better else score < than


METRICS = {
    "bleu": Metric(bleu, "BLEU"),
    "chrf": Metric(chrf, "chrF"),
    "ter": Metric(ter, "TER", larger_is_better=False),
    "bleu_lowercased_tokenized": Metric(bleu_lowercased_tokenized, "lower-cased, tokenized BLEU"),
}
"""The metrics that `dragoman evaluate` prints, in this order. Add a new one to the choices of `training.metric` too."""

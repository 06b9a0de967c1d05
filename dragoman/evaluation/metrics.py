"""Scores of translations by sacrebleu, with signatures that say how they were computed."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import NamedTuple

from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.metrics.base import Metric as Scorer

from data.errors import InputError
from dragoman.evaluation.edit_rate import CharacterEditRate
from dragoman.evaluation.prepared_bleu import PreparedBLEU
from dragoman.evaluation.tokenizers import bleu_tokenizer, moses_language, unspaced_tokenizer


class Score(NamedTuple):
    """The score of a set of translations. Compare only scores with equal signatures."""

    name: str
    score: float
    signature: str


def bleu(language: str, references: Sequence[str]) -> Scorer:
    """Cased BLEU of detokenised text (Papineni et al., 2002; Post, 2018), over the words of `bleu_tokenizer`."""
    return BLEU(tokenize=bleu_tokenizer(language, references), force=True)  # plausibility.py warns of tokenised lines


def chrf(language: str, references: Sequence[str]) -> Scorer:
    """chrF2: the F-score of character n-grams up to 6 (Popović, 2015)."""
    return CHRF()


def chrf_plus_plus(language: str, references: Sequence[str]) -> Scorer:
    """chrF2++: as chrF2, with runs of one and two words too (Popović, 2017)."""
    return CHRF(word_order=2)


def ter(language: str, references: Sequence[str]) -> Scorer:
    """Translation edit rate (Snover et al., 2006); where no spaces separate words, the character edit rate."""
    return CharacterEditRate() if unspaced_tokenizer(language, references) else TER()


def bleu_lowercased_tokenized(language: str, references: Sequence[str]) -> Scorer:
    """BLEU as Multi30k and IWSLT papers report it: both sides lower-cased, normalised and tokenised by Moses.

    Moses splits at spaces. Where none separate words, the tokenizer of `bleu` takes its place. Not comparable with
    `bleu`, nor with the sacreBLEU that other papers report.
    """
    if tokenizer := unspaced_tokenizer(language, references):
        return PreparedBLEU(BLEU(tokenize=tokenizer).tokenizer, tokenizer)
    code, rules = moses_language(language)
    return PreparedBLEU(moses(code), f"{rules}|sacremoses:{version('sacremoses')}")


def moses(code: str) -> Callable[[str], str]:
    """A function that normalises and tokenises a line by Moses, with the rules of a language."""
    from sacremoses import MosesPunctNormalizer, MosesTokenizer  # slow to import, and used only here

    normalizer, tokenizer = MosesPunctNormalizer(code), MosesTokenizer(code)
    return lambda line: tokenizer.tokenize(normalizer.normalize(line), return_str=True)


class Metric(NamedTuple):
    """A way to score translations: its name, its scorer for a language and references, its name in reports.

    The scorer is a metric of sacrebleu's, or one with the same methods: so the resampling of `significance` is
    sacrebleu's own for each of them.
    """

    name: str
    scorer: Callable[[str, Sequence[str]], Scorer]
    label: str
    larger_is_better: bool = True

    def score(self, hypotheses: Sequence[str], references: Sequence[str], language: str) -> Score:
        """The score against one reference for each line."""
        return self.score_against(hypotheses, [references], language)

    def score_against(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]], language: str) -> Score:
        """The score against several references for each line: references[r][n] is one of line n."""
        check_lengths(hypotheses, references)
        scorer = self.scorer(language, references[0])
        score = scorer.corpus_score(list(hypotheses), [list(lines) for lines in references]).score
        return Score(self.name, score, str(scorer.get_signature()))

    def is_better(self, score: float, than: float) -> bool:
        """True if `score` is better than `than`; False if they are equal."""
        return score > than if self.larger_is_better else score < than


def check_lengths(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """InputError unless there are lines to score, and a translation for each line of each reference."""
    for lines in references:
        if len(hypotheses) != len(lines):
            raise InputError(
                f"{len(hypotheses)} translations for {len(lines)} references: line n of one scores line n of the other"
            )
    if not hypotheses:
        raise InputError("nothing to score: the test set has no lines")


METRICS = {
    metric.name: metric
    for metric in (
        Metric("bleu", bleu, "BLEU"),
        Metric("chrf", chrf, "chrF"),
        Metric("chrf++", chrf_plus_plus, "chrF++"),
        Metric("ter", ter, "TER", larger_is_better=False),
        Metric("bleu_lowercased_tokenized", bleu_lowercased_tokenized, "lower-cased, tokenized BLEU"),
    )
}
"""The metrics that `dragoman evaluate` prints, in this order. Add a new one to the choices of `training.metric` too."""

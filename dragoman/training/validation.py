"""Scores a model on held-out pairs: its loss, and the scores of its translations."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass

from data.batch import Batch, Pair
from data.batching.denoising import Denoising
from data.batching.pipeline import evaluation_batches
from data.errors import InputError
from data.sources.corpus import fingerprint_of
from data.text.statistics import SourceStatistics
from data.vocabulary.tokenizer import Tokenizer
from dragoman.evaluation.metrics import METRICS, Score
from dragoman.messages import warn
from dragoman.runs.storage import whole
from dragoman.signals import SharedStop
from dragoman.training.plan import Plan
from dragoman.translation.filling import Filler, restored
from dragoman.translation.loaded import NO_STATISTICS
from dragoman.translation.translator import Translator
from transformer.config import Config
from transformer.model import Parameters
from transformer.training.step import TrainState


@dataclass(frozen=True)
class Validation:
    """The validation set of a run, as pairs to translate and as batches for the loss."""

    plan: Plan
    tokenizer: Tokenizer
    pairs: Sequence[Pair]
    batches: Sequence[Batch]
    stop: SharedStop
    statistics: SourceStatistics = NO_STATISTICS

    def scores(self, state: TrainState) -> dict[str, float]:
        """The loss and the scores of translations. Raises Interrupted after a request to stop."""
        parameters = whole(self.plan.strategy.saved(state).parameters)
        return {"loss": self.loss(state), **self.translation_scores(parameters)}

    @functools.cached_property
    def identity(self) -> str:
        """A hash of the validation pairs and the search: scores on another set, or by another search, differ."""
        search = {
            name: x for name, x in self.plan.config.decoding.identity("changes_translation").items() if name != "rows"
        }
        texts = (text for pair in self.pairs for text in pair)
        return fingerprint_of([json.dumps(search, sort_keys=True), *texts])

    def loss(self, state: TrainState) -> float:
        """Cross-entropy in nats per real target token, including EOS."""
        sums = [self.plan.strategy.eval_step(state, batch) for batch in self.batches]
        return float(sum(s.loss for s in sums) / sum(s.tokens for s in sums))

    def translation_scores(self, parameters: Parameters) -> dict[str, float]:
        """The scores of translations, using the same search as `dragoman translate`, or those of restored texts."""
        if self.plan.config.model.assembly == "denoising_encoder":
            filler = Filler(self.plan.graph, parameters, self.plan.config, self.tokenizer)
            return {
                name: one.score
                for name, one in score_translations(filler.config, *restored(filler, self.pairs)).items()
            }
        translator = Translator.of(
            self.plan.graph, parameters, self.plan.config, self.tokenizer, statistics=self.statistics
        )
        sources = [pair.source for pair in self.pairs]
        hypotheses = translator.translate_together(sources, self.stop, label="validate")
        scores = score_translations(self.plan.config, hypotheses, [pair.target for pair in self.pairs])
        return {name: score.score for name, score in scores.items()}


def validation_batches(plan: Plan, tokenizer: Tokenizer, pairs: Sequence[Pair]) -> list[Batch]:
    """This process's rows of the validation set, in batches that need no more memory than a part of an update.

    Pairs that are too long for the model are left out, with a warning. InputError if none remain.
    """
    config = plan.config
    limit = min(config.data.row_length, config.model.maximum_length)
    batches, dropped = evaluation_batches(
        pairs,
        tokenizer,
        config.data.model_copy(update={"row_length": limit}),
        batch_tokens=max(plan.batch_tokens // config.training.accumulation, limit),
        share=plan.share,
    )
    for reason, count in dropped.items():
        warn(f"validation loss leaves out {count} of {len(pairs)} pairs: {reason}")
    if not batches:
        raise InputError(f"no validation pair fits a row of {limit} tokens: see data.row_length")
    if config.model.assembly == "denoising_encoder":
        denoising = Denoising.of(config.data, tokenizer, seed=0)
        return [denoising.corrupt(batch, 0) for batch in batches]
    return batches


def score_translations(config: Config, hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Score]:
    """BLEU, chrF, and training.metric if it is neither."""
    names = dict.fromkeys(("bleu", "chrf", config.training.metric))
    return {name: METRICS[name].score(hypotheses, references, config.data.target_language) for name in names}


def show_scores(scores: dict[str, float]) -> str:
    """Scores as they are printed: "BLEU 26.44, chrF 49.73"; the loss is left out."""
    return ", ".join(f"{METRICS[name].label} {score:.2f}" for name, score in scores.items() if name in METRICS)

"""Compares an exported model with its run: the tokens, the score of each token, and the translations.

Both compute in float32. Three conventions differ:

- Length penalty: in the exported translate.py, CTranslate2 searches without one until as many hypotheses as the beam
  have ended, which is when our search ends at the latest. The results are then ranked by the run's penalty.
- PAD, UNK and BOS, which are never written: CTranslate2 removes them before the softmax. Our search removes them after
  it, so their probability does not go to other tokens. The comparison that must agree follows CTranslate2; agreement
  with the run's own search is reported separately. (`score_batch` removes nothing, so token scores need no adjustment.)
- Rounding: if two hypotheses differ in score only by rounding, either is right, and the line counts as a tie.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from data.batch import EOS, UNK
from dragoman.exchange import standalone
from dragoman.exchange.reference import BEAM, ROWS_PER_BATCH, Reference, token_scores
from transformer.decoding.searcher import Hypothesis

TOLERANCE = 1e-4  # of a token's log-probability, in float32


class Agreement(NamedTuple):
    """How many translations of one search agree. The four counts sum to the number of lines."""

    same: int
    ties: int  # the translations differ, but the run's model scores them equally
    cut: int  # one side met the length limit; the two rank such hypotheses differently
    different: list[int]  # line numbers

    def as_json(self) -> dict[str, Any]:
        """The values as a dict for JSON."""
        return self._asdict() | {"different": len(self.different), "lines": self.different}


class Parity(NamedTuple):
    """The result of a comparison."""

    lines: int
    same_tokens: int  # lines with the same tokens
    finished: int  # of the run's own translations, those that did not meet the length limit
    tokens: int
    largest_difference: float  # of a token's log-probability
    searches: dict[str, Agreement]  # these must agree
    own: Agreement  # with the run's own search and length penalty; for information only

    def as_json(self) -> dict[str, Any]:
        """The values as a dict for JSON."""
        searches = {name: found.as_json() for name, found in self.searches.items()}
        return self._asdict() | {"searches": searches, "own": self.own.as_json()}

    def problems(self) -> list[str]:
        """The differences, in words; none if the export behaves like the run."""
        found = []
        if self.same_tokens < self.lines:
            found.append(f"{self.lines - self.same_tokens} of {self.lines} lines have different tokens")
        if not self.largest_difference <= TOLERANCE:  # so that NaN is a problem
            found.append(f"a token's score differs by {self.largest_difference:.1e}, more than {TOLERANCE:.0e}")
        for name, agreement in self.searches.items():
            if agreement.different:
                numbers = ", ".join(map(str, agreement.different[:5]))
                more = ", ..." if len(agreement.different) > 5 else ""
                found.append(
                    f"{len(agreement.different)} of {self.lines} translations differ ({name}): lines {numbers}{more}"
                )
        return found


def compare(reference: Reference, exported: standalone.Translator, lines: Sequence[str]) -> Parity:
    """The comparison of an exported model with the run's, on the lines that the reference was made from."""
    trained = reference.trained
    ids = {piece: id_ for id_, piece in enumerate(trained.source_vocabulary)}
    pieces = exported.encode(lines)
    same_tokens = sum(
        [*(ids.get(piece, UNK) for piece in row), EOS] == list(source)
        for row, source in zip(pieces, reference.sources, strict=True)
    )
    theirs = {alpha: exported.search(pieces, beam=BEAM, length_penalty=alpha) for alpha in reference.searches}
    searches = {
        f"beam {BEAM}, length penalty {alpha:g}": agree(reference, ours, theirs[alpha], alpha)
        for alpha, ours in reference.searches.items()
    }
    targets = [[trained.target_vocabulary[id_] for id_ in target] for target in reference.targets]
    scored = exported.model.score(pieces, targets, size=ROWS_PER_BATCH)
    differences = [
        np.abs(scores - np.array(found)).max() for scores, found in zip(reference.scores, scored, strict=True)
    ]
    return Parity(
        lines=len(lines),
        same_tokens=same_tokens,
        finished=sum(found.is_finished for found in reference.own),
        tokens=sum(map(len, reference.scores)),
        largest_difference=float(np.max(differences, initial=0.0)),
        searches=searches,
        own=agree(reference, reference.own, theirs[reference.length_penalty], reference.length_penalty),
    )


def agree(
    reference: Reference, ours: Sequence[Hypothesis], theirs: Sequence[standalone.Hypothesis], alpha: float
) -> Agreement:
    """How many translations agree, and how many others differ only by rounding or by the length limit."""
    ids = {piece: id_ for id_, piece in enumerate(reference.trained.target_vocabulary)}
    penalty = reference.trained.config.decoding.penalty
    found = [[ids[piece] for piece in hypothesis.pieces] for hypothesis in theirs]
    others = [index for index, own in enumerate(ours) if own.tokens != found[index]]
    cut = [index for index in others if not (ours[index].is_finished and theirs[index].is_finished)]
    judged = [index for index in others if index not in cut]
    rows = [reference.sources[index] for index in judged]
    own_scores = token_scores(reference.trained, reference.graph, rows, [ours[index].tokens for index in judged])
    their_scores = token_scores(reference.trained, reference.graph, rows, [found[index] for index in judged])
    different = [
        reference.numbers[index]
        for index, own, their in zip(judged, own_scores, their_scores, strict=True)
        if abs(score(own, alpha, penalty) - score(their, alpha, penalty)) > TOLERANCE * max(len(own), len(their))
    ]
    return Agreement(len(ours) - len(others), len(judged) - len(different), len(cut), different)


def score(log_probabilities: Float[np.ndarray, " T"], alpha: float, penalty: str) -> float:
    """The score of a hypothesis, from the log-probabilities of its tokens and EOS."""
    return float(log_probabilities.sum()) * standalone.BASES[penalty](len(log_probabilities)) ** -alpha

"""Does an exported model do what the run does? Its tokens, the score of each token, and its translations, side by side.

Both compute in float32. Three conventions differ:

- Length penalty: the exported translate.py has CTranslate2 search without one, until as many hypotheses as the beam
  have ended, which is where ours ends at the latest, and ranks what it finds by the run's.
- PAD, UNK and BOS, which are never written: CTranslate2 takes them out before the softmax, our search after it, so that
  other tokens do not share their probability. What must agree is compared as CTranslate2 does it; the run's own search
  is counted beside it. (`score_batch` takes nothing out: the scores of tokens are compared as they are.)
- Rounding. Of two hypotheses that are equally good but for that either is right: such a line is a tie.
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
    """The translations of one search, counted: the four sum to the number of lines."""

    same: int
    ties: int  # differ, and to the run's model they are equally good
    cut: int  # one side met the length limit; how cut hypotheses rank among others is not the same on both
    different: list[int]  # the numbers of the lines

    def as_json(self) -> dict[str, Any]:
        """The same for json.dumps."""
        return self._asdict() | {"different": len(self.different), "lines": self.different}


class Parity(NamedTuple):
    """What was compared, and how far it agrees."""

    lines: int
    same_tokens: int  # lines
    finished: int  # of the run's own translations, those that met no length limit
    tokens: int
    largest_difference: float  # of a token's log-probability
    searches: dict[str, Agreement]  # which must agree
    own: Agreement  # with the run's own search and length penalty: for information

    def as_json(self) -> dict[str, Any]:
        """The same for json.dumps."""
        searches = {name: found.as_json() for name, found in self.searches.items()}
        return self._asdict() | {"searches": searches, "own": self.own.as_json()}

    def problems(self) -> list[str]:
        """What differs, in words; nothing for an export that does what the run does."""
        found = []
        if self.same_tokens < self.lines:
            found.append(f"{self.lines - self.same_tokens} of {self.lines} lines have other tokens")
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
    """The exported model beside the run's, on the lines that the reference's sources were made of."""
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
    scored = exported.model.score_batch(
        pieces,
        [[trained.target_vocabulary[id_] for id_ in target] for target in reference.targets],
        max_batch_size=ROWS_PER_BATCH,
        max_input_length=0,
    )
    differences = [
        np.abs(scores - np.array(found.log_probs)).max() for scores, found in zip(reference.scores, scored, strict=True)
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
    """Which translations are the same, and which of the others are a matter of rounding or of the length limit."""
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
    """The score of a hypothesis from those of its tokens, EOS included."""
    return float(log_probabilities.sum()) * standalone.BASES[penalty](len(log_probabilities)) ** -alpha

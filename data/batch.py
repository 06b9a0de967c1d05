"""The batch that data/ passes to transformer/: pairs of sentences as rows of token ids."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

PAD, UNK, BOS, EOS = 0, 1, 2, 3


class Pair(NamedTuple):
    """One sentence and its translation, as text."""

    source: str
    target: str


class TokenPair(NamedTuple):
    """One pair as ids. The source ends with EOS; the target has neither BOS nor EOS."""

    source: list[int]
    target: list[int]


class Batch(NamedTuple):
    """Rows of packed sentence pairs. Segment 0 is padding; sentence n of a row has segment n on both sides.

    Positions count from 0 within each sentence. Targets are shifted for each sentence before packing, so that
    `target_inputs` begins each segment with BOS and `target_labels` ends it with EOS:

        source                 a1 a2 </s> b1 </s>  .      target_inputs    <s> x1 x2  <s> y1   .
        source_segments         1  1  1    2  2    0      target_labels    x1  x2 </s> y1 </s> .
        source_positions        0  1  2    0  1    0      target_segments   1   1  1   2   2   0
    """

    source: Int[np.ndarray, "B S"]
    source_segments: Int[np.ndarray, "B S"]
    source_positions: Int[np.ndarray, "B S"]
    target_inputs: Int[np.ndarray, "B T"]
    target_labels: Int[np.ndarray, "B T"]
    target_segments: Int[np.ndarray, "B T"]
    target_positions: Int[np.ndarray, "B T"]

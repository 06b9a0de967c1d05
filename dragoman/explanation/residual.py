"""The residual stream: how large it is before and after each sub-layer, and what each sub-layer adds."""

from typing import NamedTuple

import numpy as np

from dragoman.explanation.trace import Trace, plain


class SublayerSize(NamedTuple):
    """Sizes of vectors at a sub-layer: mean Euclidean lengths over the tokens."""

    layer: int
    sublayer: str
    before: float  # the residual stream
    read: float  # what the sub-layer reads: the stream after normalisation, in pre-norm models
    added: float  # what the sub-layer adds
    after: float  # the residual stream after the addition, and in post-norm models after normalisation
    share: float  # added / (before + added), mean over the tokens


def residual_sizes(trace: Trace, stack: str) -> list[SublayerSize]:
    """The sizes at each sub-layer of the encoder or the decoder, in the order of the flow."""
    stream, sizes = trace.stream(stack), []
    for number, (layer, kind) in enumerate(trace.sublayers(stack)):
        residual = getattr(getattr(trace.assembled, stack)[layer], f"{kind}_residual")
        read = residual.norm(stream[number]) if trace.assembled.pre_norm else stream[number]
        arrays = (stream[number], read, trace.shown[f"{stack}/{layer}/{kind}/added"], stream[number + 1])
        before, read_, added, after = (np.linalg.norm(plain(array), axis=-1) for array in arrays)
        share = added / np.maximum(before + added, np.finfo(np.float32).tiny)
        means = [float(size.mean()) for size in (before, read_, added, after, share)]
        sizes.append(SublayerSize(layer, kind, *means))
    return sizes

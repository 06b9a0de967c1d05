"""The score of a hypothesis: the one formula by which hypotheses are ranked and searches are bounded."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from transformer.decoding.plan import SearchPlan


def scores_of(
    log_probabilities: Float[Array, "*shape"], lengths: Int[Array, "*shape"], plan: SearchPlan
) -> Float[Array, "*shape"]:
    """log P / penalty(length), of hypotheses of these lengths, EOS counted; larger is better.

    Beam search bounds what a live hypothesis can reach by the score that its log-probability would have at the length
    limit. Whatever is added here must keep that true: scores rise with the log-probability, and, as that is never
    positive, with the length.
    """
    return log_probabilities * jnp.asarray(inverse_length_penalties(plan))[lengths]


def inverse_length_penalties(plan: SearchPlan) -> Float[np.ndarray, " lengths"]:
    """1 / penalty(n) for n = 0 .. length: a score is a log-probability times the factor of its length n, EOS counted.

    gnmt:   ((5 + n) / 6) ** alpha, Wu et al. 2016 (arXiv:1609.08144), equation 14
    power:  n ** alpha, the mean log-probability for alpha 1; what Fairseq, CTranslate2 and Hugging Face use

    A table from NumPy, and a product, because the bound of beam search needs factors that fall with n, rounding
    included, and because compilers are free to round powers and quotients differently from place to place.
    """
    lengths = np.arange(plan.length + 1)
    base = (5 + lengths) / 6 if plan.decoding.penalty == "gnmt" else np.maximum(lengths, 1)
    return (base**-plan.decoding.length_penalty).astype(np.float32)

"""The score of a hypothesis: one formula ranks hypotheses and bounds searches."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from transformer.decoding.plan import SearchPlan


def scores_of(
    log_probabilities: Float[Array, "*shape"], lengths: Int[Array, "*shape"], plan: SearchPlan
) -> Float[Array, "*shape"]:
    """log P / penalty(length) of hypotheses with these lengths, including EOS; larger is better.

    Beam search takes the score of a live hypothesis's log-probability at the length limit as an upper bound on its
    final score. Any change must keep this true: scores must rise with the log-probability, and with the length, since
    log-probabilities are never positive.
    """
    factors = jnp.asarray(inverse_length_penalties(plan)) if plan.factors is None else plan.factors
    return log_probabilities * factors[lengths]


def inverse_length_penalties(plan: SearchPlan) -> Float[np.ndarray, " lengths"]:
    """1 / penalty(n) for n = 0 .. length. A score is a log-probability times the factor of its length, with EOS.

    gnmt:   ((5 + n) / 6) ** alpha, Wu et al. 2016 (arXiv:1609.08144), equation 14
    power:  n ** alpha, the mean log-probability for alpha 1; used by Fairseq, CTranslate2 and Hugging Face

    A NumPy table and a product, because the bound of beam search needs factors that fall with n even after rounding,
    and compilers may round powers and quotients differently from one place to the next.
    """
    lengths = np.arange(plan.length + 1)
    base = (5 + lengths) / 6 if plan.decoding.penalty == "gnmt" else np.maximum(lengths, 1)
    return (base**-plan.decoding.length_penalty).astype(np.float32)

"""Dropout whose random bits depend on a feature's position in the batch, and not on the devices."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, UInt32


def scrambled(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """Each number with its bits mixed: the two-multiplication hash `lowbias32` (Wellons 2018), a bijection."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


class DropoutKey(NamedTuple):
    """The key of dropout's random bits, and `part`, the number of the slice of the batch that these rows are.

    Slices have equal sizes. `part` only offsets the numbering of their features, so that no two share random bits.
    """

    key: Key[Array, ""]
    part: Int[Array, ""] | int = 0

    def fold_slice(self, number: Int[Array, ""] | int) -> "DropoutKey":
        """The key of one of the slices of the rows that are computed one after the other."""
        return self._replace(key=jax.random.fold_in(self.key, number))


@jax.named_scope("dropout")
def dropout(x: Float[Array, "..."], rate: float, key: DropoutKey | None) -> Float[Array, "..."]:
    """`x` with a fraction `rate` of its features set to 0 and the rest divided by 1 - `rate`; `x` itself without a key.

    The random bits of a feature are its index in the whole batch, hashed twice, each time with one word of the key. So
    they are the same however devices divide the rows. Unlike numbers from `jax.random`, they fuse with their use.
    """
    if key is None or rate == 0.0:
        return x
    first, second = jax.random.bits(key.key, (2,), jnp.uint32)
    indices = jax.lax.iota(jnp.uint32, x.size).reshape(x.shape) + jnp.uint32(x.size) * jnp.uint32(key.part)
    keep = scrambled(scrambled(indices ^ first) ^ second) >= jnp.uint32(round(rate * 2**32))
    return jnp.where(keep, x / (1 - rate), 0).astype(x.dtype)


def fold_site(key: DropoutKey | None, site: Int[Array, ""] | int) -> DropoutKey | None:
    """The dropout key of one site under `key`; None stays None."""
    return None if key is None else key._replace(key=jax.random.fold_in(key.key, site))

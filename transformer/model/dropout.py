"""Dropout whose random bits depend on a feature's position in the batch, and not on the devices."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, UInt32

from transformer.compiler import member, opaque

WITHIN = 4
"""The largest number of sites within a site: those of a layer."""


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


class DropoutSite(NamedTuple):
    """A place in the model that drops features, or a layer with such places: a row of `words`, and the `part` of rows.

    `words` holds two random words for every site of the model, in the order of `dropout_sites`.
    """

    words: UInt32[Array, "sites 2"]
    row: Int[Array, ""] | int
    part: Int[Array, ""] | int


def dropout_sites(key: DropoutKey | None, count: int) -> DropoutSite | None:
    """Site 0 of `count` sites, for `fold_site`; None without a key.

    The words of all sites are computed at once: one by one, they were half of the operations that XLA had to compile.
    Site n has the words of the key folded with n, and site m within it those of that key folded with m.
    """
    if key is None:
        return None
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key.key, jnp.arange(count))
    within = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))(keys, jnp.arange(WITHIN))
    every = jnp.concatenate([keys[:, None], within], axis=1).reshape(-1)
    return DropoutSite(jax.vmap(lambda one: jax.random.bits(one, (2,), jnp.uint32))(every), 0, key.part)


def fold_site(first: DropoutSite | None, number: Int[Array, ""] | int) -> DropoutSite | None:
    """The site of this number, given site 0; None stays None."""
    return None if first is None else first._replace(row=number * (1 + WITHIN))


def site_within(site: DropoutSite | None, number: int) -> DropoutSite | None:
    """The site of this number within a site, such as a layer; None stays None."""
    return None if site is None else site._replace(row=site.row + 1 + number)


@jax.named_scope("dropout")
def dropout(x: Float[Array, "..."], rate: float, site: DropoutSite | None) -> Float[Array, "..."]:
    """`x` with a fraction `rate` of its features set to 0, the rest divided by 1 - `rate`; `x` itself without a site.

    The random bits of a feature are its index in the whole batch, hashed twice, each time with one word of the site. So
    they are the same however devices divide the rows. Unlike numbers from `jax.random`, they fuse with their use.
    The gradient is dropped like `x`. On a GPU its bits are computed again, so that they need no memory until then.
    """
    return x if site is None or rate == 0.0 else _dropout(x, site, rate)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _dropout(x, site, rate):
    first, second = member(site.words, site.row)
    indices = jax.lax.iota(jnp.uint32, x.size).reshape(x.shape) + jnp.uint32(x.size) * jnp.uint32(site.part)
    keep = scrambled(scrambled(indices ^ first) ^ second) >= jnp.uint32(round(rate * 2**32))
    return jnp.where(keep, x / (1 - rate), 0).astype(x.dtype)


def _forward(x, site, rate):
    return _dropout(x, site, rate), site


def _backward(rate, site, gradient):
    return _dropout(gradient, opaque(site), rate), None


_dropout.defvjp(_forward, _backward)

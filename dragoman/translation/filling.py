"""What a denoising encoder makes of texts: the likeliest pieces at masked places, and whole texts restored."""

import functools
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from data.batch import EOS, PAD, Pair
from data.batching.denoising import MASK
from data.errors import InputError
from data.text.cleaning import one_line
from data.vocabulary.pieces import BYTE, SPACE
from data.vocabulary.tokenizer import Tokenizer
from dragoman.translation.arguments import check_is_number, check_is_string
from dragoman.translation.members import load_member
from transformer.config import Config
from transformer.decoding.batches import fill, in_order, make_batches
from transformer.model import Parameters, merge

MARK = "[MASK]"
ROWS = 8  # texts that are restored side by side
CONTINUES = "##"
"""Before a piece that continues a word, as BERT writes it."""


class Filler(NamedTuple):
    """A denoising encoder with its vocabulary."""

    graph: nnx.GraphDef
    parameters: Parameters
    config: Config
    tokenizer: Tokenizer


class Filled(NamedTuple):
    """A text with its masked places filled by their likeliest pieces, and the candidates for each place."""

    text: str
    candidates: list[list[tuple[str, float]]]  # words and probabilities, likeliest first


def load_filler(run: str | Path, checkpoint: str | int | Path = "best") -> Filler:
    """The filler of a run or a checkpoint. InputError if it is not a denoising encoder."""
    member = load_member(run, checkpoint)
    if (assembly := member.config.model.assembly) != "denoising_encoder":
        raise InputError(
            f'{run}: model.assembly is "{assembly}", which is not trained to fill masked places: only a '
            '"denoising_encoder" is'
        )
    return Filler(member.graph, jax.device_put(member.parameters), member.config, member.tokenizer)


def fill_text(filler: Filler, text: str, *, top: int = 5) -> Filled:
    """The `top` likeliest words (0: the whole vocabulary) at each `[MASK]` of a text, which is otherwise unchanged.

    Probabilities are over the pieces that are text, so not special ones or single bytes. A place is filled with one
    piece, which may continue the word before it. InputError for a text that is too long for the model.
    """
    check_is_string("text", text)
    check_is_number("top", top)
    parts = text.split(MARK)
    tokens = tokens_of(filler.tokenizer, parts)
    if len(tokens) > (longest := filler.config.model.maximum_length):
        raise InputError(f"the text has {len(tokens)} tokens with its end; the model reads at most {longest}")
    bucket = make_batches([len(tokens)], maximum_length=longest, batch_size=1)[0].bucket
    pieces = filler.tokenizer.target_vocabulary()
    texts = np.array([id_ for id_, piece in enumerate(pieces) if id_ > EOS and not BYTE.fullmatch(piece)])
    found = np.asarray(log_probabilities(filler.graph, filler.parameters, fill(1, [tokens], bucket)))[0][:, texts]
    candidates = []
    for place in np.flatnonzero(np.array(tokens) == MASK):
        probabilities = np.exp(found[place] - np.logaddexp.reduce(found[place]))
        order = np.argsort(-probabilities, kind="stable")[: top or None]
        candidates.append([(word_of(pieces[texts[n]]), float(probabilities[n])) for n in order])
    filled = parts[0]
    for likeliest_words, part in zip(candidates, parts[1:], strict=True):
        word = likeliest_words[0][0]
        is_end = word.startswith(CONTINUES)
        filled = (filled.rstrip() + word.removeprefix(CONTINUES) if is_end else filled + word) + part
    return Filled(filled, candidates)


def tokens_of(tokenizer: Tokenizer, parts: Sequence[str]) -> list[int]:
    """The tokens of the parts of a text, with MASK between them and EOS at the end."""
    pieces = tokenizer.target_vocabulary()
    ids = {piece: id_ for id_, piece in enumerate(pieces)}
    tokens: list[int] = []
    for number, (part, row) in enumerate(zip(parts, tokenizer.encode_target(parts), strict=True)):
        if number and row and not part.startswith(" "):  # a space was added before it, as before a word
            bare = pieces[row[0]].removeprefix(SPACE)
            row = [*([ids[bare]] if bare in ids else row[:1] if bare else []), *row[1:]]
        tokens += [*row, MASK]
    return [*tokens[:-1], EOS]


def word_of(piece: str) -> str:
    """A piece as a word: "▁horse" -> "horse", "s" -> "##s"."""
    return piece.removeprefix(SPACE) if piece.startswith(SPACE) and piece != SPACE else CONTINUES + piece


def restored(filler: Filler, pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    """Texts restored after `data.denoise_share` of their tokens were masked, and the texts as they were.

    They are the sides that training reads, of both sides in alternation. The same tokens of a text are always masked.
    Texts that are blank or too long for the model are left out.
    """
    sides = filler.config.data.denoise_sides
    texts = [
        pair.source if sides == "source" or (sides == "both" and number % 2 == 0) else pair.target
        for number, pair in enumerate(pairs)
    ]
    rows = [[*row, EOS] for row in filler.tokenizer.encode_target(texts)]
    longest = filler.config.model.maximum_length
    kept = [index for index, row in enumerate(rows) if 1 < len(row) <= longest]
    rows = [rows[index] for index in kept]
    masks = [masked_places(row, filler.config.data.denoise_share) for row in rows]
    filled = restored_rows(filler, rows, masks)
    return [one_line(text) for text in filler.tokenizer.decode(filled)], [texts[index] for index in kept]


def restored_rows(filler: Filler, rows: Sequence[Sequence[int]], masks: Sequence[np.ndarray]) -> list[list[int]]:
    """Rows of tokens with the likeliest ones where they are masked."""
    longest = filler.config.model.maximum_length
    masked = [np.where(mask, MASK, row).tolist() for row, mask in zip(rows, masks, strict=True)]
    batches = []
    for indices, bucket in make_batches([len(row) for row in rows], maximum_length=longest, batch_size=ROWS):
        given = fill(ROWS, [masked[index] for index in indices], bucket)
        found = np.asarray(likeliest(filler.graph, filler.parameters, given))
        batches.append((indices, list(found[: len(indices)])))
    guesses = in_order(batches, len(rows))
    return [
        np.where(mask, guess[: len(row)], row).tolist() for row, mask, guess in zip(rows, masks, guesses, strict=True)
    ]


def masked_places(row: Sequence[int], share: float) -> np.ndarray:
    """The tokens of a text to mask: never its end, and at least one."""
    random = np.random.default_rng(zlib.crc32(np.array(row, np.int32).tobytes()))
    drawn = random.random(len(row))
    mask = drawn < max(share, float(drawn[:-1].min()) + 1e-9)
    mask[-1] = False
    return mask


@functools.partial(jax.jit, static_argnames="graph")
def log_probabilities(
    graph: nnx.GraphDef, parameters: Parameters, tokens: Int[Array | np.ndarray, "B S"]
) -> Float[Array, "B S V"]:
    """The log-probability of every token at every place."""
    model = merge(graph, parameters)
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    features = model.encode(jnp.asarray(tokens), (tokens != PAD).astype(jnp.int32), positions)  # type: ignore[attr-defined]
    return jax.nn.log_softmax(model.output().logits(features), axis=-1)


@functools.partial(jax.jit, static_argnames="graph")
def likeliest(graph: nnx.GraphDef, parameters: Parameters, tokens: Int[Array | np.ndarray, "B S"]) -> Int[Array, "B S"]:
    """The likeliest token at every place, among those that are text."""
    found = log_probabilities(graph, parameters, tokens)
    return found[..., EOS + 1 :].argmax(-1).astype(jnp.int32) + EOS + 1
